//! Calls: by whose MethodId, with which arguments, as whom.

use opcua::types::*;
use uatwin::northbound::Role;

use crate::support::{Client, Fixture};

async fn call(client: &Client, object: NodeId, method: NodeId, arguments: Vec<Variant>) -> CallMethodResult {
    client.call_one((object, method, Some(arguments))).await.unwrap()
}

fn time(seconds: i64) -> Variant {
    Variant::from(DateTime::from(133_000_000_000_000_000 + seconds * 10_000_000))
}

fn texts(texts: &[&str]) -> Variant {
    Variant::from(texts.iter().map(|text| UAString::from(*text)).collect::<Vec<_>>())
}

fn fit(start: Variant, end: Variant, parameters: Variant, wait: Variant) -> Vec<Variant> {
    vec![start, end, parameters, wait]
}

fn set_points(apply: bool) -> Vec<Variant> {
    vec!["Temperature".into(), 50.0.into(), 60_000.0.into(), apply.into()]
}

/// Whether a call came as far as the service behind the methods.
fn was_served(result: &CallMethodResult) -> bool {
    !matches!(
        result.status_code,
        StatusCode::BadMethodInvalid
            | StatusCode::BadNodeIdUnknown
            | StatusCode::BadInvalidArgument
            | StatusCode::BadUserAccessDenied
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_named_each() {
    use StatusCode as S;
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let good = S::Good;
    let doubles = |x: &[f64]| Variant::from(x.to_vec());
    let no_time = || Variant::from(DateTime::null());
    let cases: Vec<(&str, Vec<Variant>, Vec<StatusCode>)> = vec![
        ("Fit", fit(time(10), time(10), texts(&[]), 0.0.into()), vec![good, S::BadOutOfRange, good, good]),
        (
            "Fit",
            fit(no_time(), no_time(), texts(&["C", "X"]), 0.0.into()),
            vec![good, good, S::BadInvalidArgument, good],
        ),
        (
            "Fit",
            fit("now".into(), no_time(), 5u32.into(), "long".into()),
            vec![S::BadTypeMismatch, good, S::BadTypeMismatch, S::BadTypeMismatch],
        ),
        ("SetParameters", vec![texts(&["C"]), doubles(&[1.0, 2.0])], vec![good, S::BadInvalidArgument]),
        ("SetParameters", vec![texts(&["C"]), doubles(&[5000.0])], vec![good, S::BadOutOfRange]),
        ("SetParameters", vec![texts(&["C", "C"]), doubles(&[60.0, 61.0])], vec![S::BadInvalidArgument, good]),
        ("SetParameters", vec![texts(&["C"]), doubles(&[f64::NAN])], vec![good, S::BadOutOfRange]),
        ("SetParameters", vec![Variant::Empty, Variant::Empty], vec![S::BadInvalidArgument, good]),
        (
            "Simulate",
            vec![time(0), time(10), "Pressure".into(), Variant::Empty, Variant::Empty],
            vec![good, good, S::BadInvalidArgument, good, good],
        ),
        (
            "OptimizeSetpoints",
            vec!["Pressure".into(), f64::NAN.into(), 0.0.into(), 1.0.into()],
            vec![S::BadInvalidArgument, S::BadOutOfRange, S::BadOutOfRange, S::BadTypeMismatch],
        ),
        (
            "OptimizeSetpoints",
            vec!["Temperature".into(), "hot".into(), (-5.0).into(), true.into()],
            vec![good, S::BadTypeMismatch, S::BadOutOfRange, good],
        ),
        ("Correlate", vec![time(0), time(10), texts(&["Batch"])], vec![good, good, S::BadInvalidArgument]),
    ];
    for (method, arguments, expected) in cases {
        let result =
            call(&client, client.id("Heater1"), client.id(&format!("Heater1.{method}")), arguments.clone()).await;
        assert_eq!(result.status_code, S::BadInvalidArgument, "{method} {arguments:?}");
        assert_eq!(result.input_argument_results, Some(expected), "{method} {arguments:?}");
    }
    for (arguments, expected) in
        [(vec![time(0)], S::BadArgumentsMissing), (vec![0u32.into(); 5], S::BadTooManyArguments)]
    {
        let result = call(&client, client.id("Heater1"), client.id("Heater1.Fit"), arguments).await;
        assert_eq!(result.status_code, expected);
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn null_means_empty_and_numbers_are_taken_of_any_type() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let empty = Variant::from(Vec::<UAString>::new());
    for arguments in [
        fit(Variant::Empty, Variant::Empty, Variant::Empty, 0u32.into()),
        fit(Variant::from(DateTime::null()), Variant::Empty, empty, 0i64.into()),
    ] {
        let result = call(&client, client.id("Heater1"), client.id("Heater1.Fit"), arguments).await;
        assert!(was_served(&result), "{result:?}");
    }
    let integers = vec![texts(&["C"]), Variant::from(vec![60i32])];
    let result = call(&client, client.id("Heater1"), client.id("Heater1.SetParameters"), integers).await;
    assert!(was_served(&result), "{result:?}");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_method_ids_work_on_the_instance_and_others_do_not() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let of_type = |id: u32| NodeId::new(client.types, id);
    let arguments = || fit(Variant::Empty, Variant::Empty, Variant::Empty, 0.0.into());
    let fits = [of_type(7020), client.id("Heater1.Fit")];
    for method in fits {
        let result = call(&client, client.id("Heater1"), method.clone(), arguments()).await;
        assert!(was_served(&result), "{method} {result:?}");
    }
    let statistics = client.id("Heater1.Statistics");
    for method in [of_type(7100), NodeId::new(client.ia, 7001u32), client.id("Heater1.Statistics.ResetStatistics")] {
        let result = call(&client, statistics.clone(), method.clone(), Vec::new()).await;
        assert!(was_served(&result), "{method} {result:?}");
    }
    for (object, method, expected) in [
        (client.id("Bare1"), of_type(7020), StatusCode::BadMethodInvalid),
        (client.id("Heater1"), client.id("Heater2.Fit"), StatusCode::BadMethodInvalid),
        (client.id("Heater1"), of_type(7100), StatusCode::BadMethodInvalid),
        (client.id("Heater1.Statistics"), of_type(7020), StatusCode::BadMethodInvalid),
        (client.id("type:Heater"), of_type(7020), StatusCode::BadMethodInvalid),
        (client.id("Nobody"), of_type(7020), StatusCode::BadNodeIdUnknown),
        (client.id("Heater1"), client.id("Heater1.Nothing"), StatusCode::BadMethodInvalid),
    ] {
        let result = call(&client, object.clone(), method.clone(), arguments()).await;
        assert_eq!(result.status_code, expected, "{object} {method}");
    }
    let both = [
        (client.id("Bare1"), of_type(7010), Some(vec![time(0), time(10), Variant::Empty])),
        (ObjectId::Server.into(), MethodId::Server_GetMonitoredItems.into(), Some(vec![Variant::UInt32(0)])),
    ];
    let results = client.call(both.map(CallMethodRequest::from).to_vec()).await.unwrap();
    assert!(was_served(&results[0]), "{results:?}");
    // The core manager's own answer: there are no subscriptions yet.
    assert_eq!(results[1].status_code, StatusCode::BadSessionIdInvalid);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_call_what_its_row_says() {
    for (role, may_fit, may_set) in
        [(Role::Observer, false, false), (Role::Operator, true, false), (Role::Engineer, true, true)]
    {
        let fixture = Fixture::start_as(role).await;
        let client = fixture.connect().await;
        let set = vec![texts(&["C"]), Variant::from(vec![60.0])];
        let cases = [
            ("Fit", fit(Variant::Empty, Variant::Empty, Variant::Empty, 0.0.into()), may_fit),
            ("SetParameters", set, may_set),
            ("OptimizeSetpoints", set_points(false), may_fit),
            ("OptimizeSetpoints", set_points(true), may_set),
            ("Correlate", vec![time(0), time(10), Variant::Empty], may_fit),
        ];
        for (method, arguments, may) in cases {
            let result = call(&client, client.id("Heater1"), client.id(&format!("Heater1.{method}")), arguments).await;
            assert_eq!(result.status_code == StatusCode::BadUserAccessDenied, !may, "{method} as {role:?}: {result:?}");
        }
        fixture.stop().await;
    }
}
