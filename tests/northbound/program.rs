//! `FitProgram` as a client finds it: the members of OPC 10000-10, the states and transitions of the standard, changes as
//! they happen, methods by role and state.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use opcua::{client::DataChangeCallback, types::*};
use uatwin::{
    fit::{self, Experiment, FitOptions, FitReport, Measured},
    model::{Loss, Model, ModelSource, OutputSource, ParameterSource},
    northbound::Role,
    program::{Program, ProgramState, Transition},
    twin::{FitState, LastFit},
};

use crate::support::{Client, Fixture};

/// Start, Suspend, Resume, Halt, Reset in the standard and in our types.
const METHODS: [(&str, u32, u32); 5] = [
    ("Start", 2426, 7230),
    ("Suspend", 2427, 7240),
    ("Resume", 2428, 7220),
    ("Halt", 2429, 7200),
    ("Reset", 2430, 7210),
];

fn stand(fixture: &Fixture, program: Program) {
    fixture.state.write(fixture.twin("Heater1")).program = program;
}

/// A line through eight points that are not quite on it.
fn line() -> FitReport {
    let parameter = |name: &str| ParameterSource {
        name: name.into(),
        value: 1.0,
        min: -10.0,
        max: 10.0,
        log: false,
        per_experiment: false,
        free: true,
        unit: String::new(),
    };
    let model = Model::compile(&ModelSource {
        states: Vec::new(),
        parameters: vec![parameter("a"), parameter("b")],
        inputs: Vec::new(),
        lets: Vec::new(),
        equations: Vec::new(),
        outputs: vec![OutputSource { name: "y".into(), expr: "a + b*t".into(), sigma: 1.0, loss: Loss::Squares }],
    });
    let times: Vec<f64> = (0..8).map(f64::from).collect();
    let values = times.iter().map(|t| 2.0 + 0.5 * t + 0.1 * (9.0 * t).sin()).collect();
    let outputs = vec![Measured { times, values, weights: vec![] }];
    let experiment = Experiment { inputs: vec![], outputs, span: None };
    fit::fit(&model.unwrap(), &[experiment], &FitOptions::default(), &false.into(), &|_| ()).unwrap()
}

async fn call(client: &Client, object: NodeId, method: NodeId) -> StatusCode {
    client.call_one((object, method, None::<Vec<Variant>>)).await.unwrap().status_code
}

/// The value of a property of a node of the standard, and the node's name.
async fn of_standard(client: &Client, node: &NodeId, property: &str) -> (String, Option<Variant>) {
    let name = match client.read_attribute(node, AttributeId::BrowseName).await.value {
        Some(Variant::QualifiedName(name)) => name.name.to_string(),
        other => panic!("{node}: {other:?}"),
    };
    let references = client.references(node, 0).await;
    let property = references.iter().find(|r| r.browse_name.name.as_ref() == property).unwrap();
    (name, client.read_value(&property.node_id.node_id).await.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_the_members_of_a_program_and_ours() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let program = client.id("Heater1.FitProgram");
    let references = client.references(&program, 0).await;
    let definition = references.iter().find(|r| r.reference_type_id == ReferenceTypeId::HasTypeDefinition).unwrap();
    assert_eq!(definition.node_id.node_id, ObjectTypeId::ProgramStateMachineType);
    let children: BTreeMap<_, _> = references
        .iter()
        .filter(|r| r.is_forward && r.reference_type_id != ReferenceTypeId::HasTypeDefinition)
        .map(|r| (r.browse_name.name.to_string(), r))
        .collect();
    let expected: &[(&str, u16, NodeClass, ReferenceTypeId)] = &[
        ("AutoDelete", 0, NodeClass::Variable, ReferenceTypeId::HasProperty),
        ("CurrentState", 0, NodeClass::Variable, ReferenceTypeId::HasComponent),
        ("Deletable", 0, NodeClass::Variable, ReferenceTypeId::HasProperty),
        ("FinalResultData", 0, NodeClass::Object, ReferenceTypeId::HasComponent),
        ("Halt", 0, NodeClass::Method, ReferenceTypeId::HasComponent),
        ("LastTransition", 0, NodeClass::Variable, ReferenceTypeId::HasComponent),
        ("Progress", client.types, NodeClass::Variable, ReferenceTypeId::HasComponent),
        ("RecycleCount", 0, NodeClass::Variable, ReferenceTypeId::HasProperty),
        ("Reset", 0, NodeClass::Method, ReferenceTypeId::HasComponent),
        ("Resume", 0, NodeClass::Method, ReferenceTypeId::HasComponent),
        ("Start", 0, NodeClass::Method, ReferenceTypeId::HasComponent),
        ("Suspend", 0, NodeClass::Method, ReferenceTypeId::HasComponent),
    ];
    let found: Vec<_> = children
        .iter()
        .map(|(name, r)| (name.as_str(), r.browse_name.namespace_index, r.node_class, r.reference_type_id.clone()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, namespace, class, kind)| (*name, *namespace, *class, NodeId::from(*kind)))
        .collect();
    assert_eq!(found, expected);
    // What the standard's type calls mandatory is there, with its data type.
    let declared = client.references(&ObjectTypeId::ProgramStateMachineType.into(), 0).await;
    let mut checked = 0;
    for r in declared.iter().filter(|r| r.is_forward && r.node_class == NodeClass::Variable) {
        let rules = client.references(&r.node_id.node_id, 0).await;
        if !rules.iter().any(|rule| rule.node_id.node_id == ObjectId::ModellingRule_Mandatory) {
            continue;
        }
        let own = client.id(&format!("Heater1.FitProgram.{}", r.browse_name.name));
        for attribute in [AttributeId::DataType, AttributeId::ValueRank] {
            let [of_type, of_own] = [&r.node_id.node_id, &own].map(|node| client.read_attribute(node, attribute));
            assert_eq!(of_type.await.value, of_own.await.value, "{own} {attribute:?}");
        }
        let own_definition = client.references(&own, 0).await;
        let own_definition = own_definition.iter().find(|r| r.reference_type_id == ReferenceTypeId::HasTypeDefinition);
        let definition = rules.iter().find(|r| r.reference_type_id == ReferenceTypeId::HasTypeDefinition);
        assert_eq!(definition.unwrap().node_id, own_definition.unwrap().node_id, "{own}");
        checked += 1;
    }
    assert_eq!(checked, 5, "CurrentState, LastTransition, Deletable, AutoDelete, RecycleCount");
    for path in ["Bare1.FitProgram", "Heater1.Start", "Heater1.FitProgram.Fit", "Heater1.FitProgram.Id"] {
        let class = client.read_attribute(&client.id(path), AttributeId::NodeClass).await;
        assert_eq!(class.status, Some(StatusCode::BadNodeIdUnknown), "{path}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_and_transitions_are_those_of_the_standard() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let value = async |member: &str| client.value(&format!("Heater1.FitProgram.{member}")).await.value.unwrap();
    assert_eq!(value("CurrentState").await, LocalizedText::new("en", "Ready").into());
    for null in ["LastTransition", "LastTransition.Id", "LastTransition.Number", "LastTransition.TransitionTime"] {
        assert_eq!(value(null).await, Variant::Empty, "there was none");
    }
    assert_eq!((value("Progress").await, value("RecycleCount").await), (0.0.into(), 0i32.into()));
    assert_eq!((value("Deletable").await, value("AutoDelete").await), (false.into(), false.into()));
    let at = fixture.now();
    for transition in Transition::ALL {
        let (_, state) = transition.ends();
        stand(&fixture, Program { state, last: Some((transition, at)), recycled: 3, progress: 41.5 });
        for (text, id, number, of_standard_number, expected) in [
            ("CurrentState", "CurrentState.Id", "CurrentState.Number", "StateNumber", format!("{state:?}")),
            (
                "LastTransition",
                "LastTransition.Id",
                "LastTransition.Number",
                "TransitionNumber",
                format!("{transition:?}"),
            ),
        ] {
            assert_eq!(value(text).await, LocalizedText::new("en", &expected).into());
            let Variant::NodeId(id) = value(id).await else { panic!("{expected}: no NodeId") };
            let (name, standard) = of_standard(&client, &id, of_standard_number).await;
            assert_eq!((name, standard), (expected, Some(value(number).await)));
        }
        let stamped = client.value("Heater1.FitProgram.CurrentState").await.source_timestamp.unwrap();
        assert_eq!(value("LastTransition.TransitionTime").await, stamped.into());
        assert_eq!((value("RecycleCount").await, value("Progress").await), (3i32.into(), 41.5.into()));
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_see_each_change_however_soon_the_next_comes() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let received: Arc<Mutex<Vec<DataValue>>> = Arc::default();
    let sink = Arc::clone(&received);
    let callback = DataChangeCallback::new(move |value, _| sink.lock().unwrap().push(value));
    let subscription =
        client.create_subscription(Duration::from_millis(50), 1000, 3, 0, 0, true, callback).await.unwrap();
    let mut request: MonitoredItemCreateRequest = client.id("Heater1.FitProgram.CurrentState").into();
    request.requested_parameters.queue_size = 100;
    client.create_monitored_items(subscription, TimestampsToReturn::Both, vec![request]).await.unwrap();
    let seen = || -> Vec<String> {
        let text = |value: &DataValue| match &value.value {
            Some(Variant::LocalizedText(text)) => text.text.to_string(),
            other => format!("{other:?}"),
        };
        received.lock().unwrap().iter().map(text).collect()
    };
    let until = async |expected: &[&str]| {
        for _ in 0..1_000 {
            if seen() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", seen());
    };
    until(&["Ready"]).await;
    fixture.publisher.tick(fixture.now()); // what a new item may have missed
    let twin = fixture.twin("Heater1");
    let mut program = Program::default();
    for to in [ProgramState::Running, ProgramState::Suspended, ProgramState::Running, ProgramState::Ready] {
        assert!(program.go(to, fixture.now()));
        // As the ingest stage does; the present may already be further when the publisher comes to it.
        stand(&fixture, Program::default());
        fixture.publisher.program(twin, &program);
    }
    until(&["Ready", "Running", "Suspended", "Running", "Ready"]).await;
    fixture.publisher.program(fixture.twin("Heater2"), &Program { state: ProgramState::Halted, ..program });
    // The present that is already further does not overtake what is on its way.
    stand(&fixture, Program { state: ProgramState::Suspended, ..program });
    fixture.publisher.tick(fixture.now());
    assert!(program.go(ProgramState::Halted, fixture.now()));
    fixture.publisher.program(twin, &program);
    until(&["Ready", "Running", "Suspended", "Running", "Ready", "Halted"]).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_obey_the_state_by_whichever_id_they_are_called() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let program = client.id("Heater1.FitProgram");
    for (state, allowed) in [
        (ProgramState::Ready, &["Start", "Halt"][..]),
        (ProgramState::Running, &["Suspend", "Halt"]),
        (ProgramState::Suspended, &["Resume", "Halt", "Reset"]),
        (ProgramState::Halted, &["Reset"]),
    ] {
        stand(&fixture, Program { state, ..Program::default() });
        for (name, standard, ours) in METHODS {
            let own = client.id(&format!("Heater1.FitProgram.{name}"));
            let is_allowed = allowed.contains(&name);
            for attribute in [AttributeId::Executable, AttributeId::UserExecutable] {
                let value = client.read_attribute(&own, attribute).await.value;
                assert_eq!(value, Some(is_allowed.into()), "{name} in {state:?}: {attribute:?}");
            }
            for method in [own, NodeId::new(0, standard), NodeId::new(client.types, ours)] {
                let status = call(&client, program.clone(), method.clone()).await;
                // In this world nobody takes what it would lead to.
                let expected = match (is_allowed, name) {
                    (false, _) => StatusCode::BadInvalidState,
                    (true, "Start") => StatusCode::BadNoData,
                    (true, _) => StatusCode::BadResourceUnavailable,
                };
                assert_eq!(status, expected, "{name} by {method} in {state:?}");
            }
        }
    }
    for (object, method, expected) in [
        (client.id("Heater1"), NodeId::new(0, 2426u32), StatusCode::BadMethodInvalid),
        (client.id("Heater1"), client.id("Heater1.FitProgram.Start"), StatusCode::BadMethodInvalid),
        (program.clone(), client.id("Heater2.FitProgram.Start"), StatusCode::BadMethodInvalid),
        (program.clone(), NodeId::new(client.types, 7000u32), StatusCode::BadMethodInvalid),
        (program, NodeId::new(0, 11489u32), StatusCode::BadMethodInvalid),
        (client.id("Bare1"), NodeId::new(0, 2426u32), StatusCode::BadMethodInvalid),
    ] {
        assert_eq!(call(&client, object.clone(), method.clone()).await, expected, "{object} {method}");
    }
    let arguments = Some(vec![Variant::from(1.0)]);
    let many = client.call_one((client.id("Heater1.FitProgram"), NodeId::new(0, 2429u32), arguments)).await.unwrap();
    assert_eq!(many.status_code, StatusCode::BadTooManyArguments);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_may_look_on_and_an_operator_may_call() {
    for (role, may) in [(Role::Observer, false), (Role::Operator, true)] {
        let fixture = Fixture::start_as(role).await;
        let client = fixture.connect().await;
        let program = client.id("Heater1.FitProgram");
        for (name, standard, ours) in METHODS {
            let own = client.id(&format!("Heater1.FitProgram.{name}"));
            let is_executable = ["Start", "Halt"].contains(&name);
            let read = async |attribute| client.read_attribute(&own, attribute).await.value.unwrap();
            assert_eq!(read(AttributeId::Executable).await, is_executable.into(), "{name}");
            assert_eq!(read(AttributeId::UserExecutable).await, (is_executable && may).into(), "{name} as {role:?}");
            for method in [own.clone(), NodeId::new(0, standard), NodeId::new(client.types, ours)] {
                let status = call(&client, program.clone(), method.clone()).await;
                assert_eq!(status == StatusCode::BadUserAccessDenied, !may, "{name} by {method} as {role:?}: {status}");
            }
        }
        assert_eq!(client.value("Heater1.FitProgram.CurrentState.Number").await.value, Some(12u32.into()));
        fixture.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn final_results_are_those_of_the_last_fit() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let twin = fixture.twin("Heater1");
    let value =
        async |member: &str| client.value(&format!("Heater1.FitProgram.FinalResultData.{member}")).await.value.unwrap();
    let numbers = ["Values", "StandardErrors", "Lower95", "Upper95"];
    for member in numbers.into_iter().chain(["State", "Revision", "Names", "Rmse", "RSquared", "Iterations", "Message"])
    {
        assert_eq!(value(member).await, Variant::Empty, "{member} before the first fit");
    }
    let report = FitReport { standard_errors: vec![0.5, f64::NAN], ..line() };
    let expected = report.clone();
    let completed = LastFit {
        state: FitState::Completed,
        message: "in force".into(),
        revision: 4,
        report: Some(Arc::new(report)),
        ..LastFit::default()
    };
    fixture.state.write(twin).last_fit = completed;
    assert_eq!(value("State").await, "Completed".into());
    assert_eq!(value("Revision").await, 4u32.into());
    assert_eq!(value("Names").await, vec![UAString::from("a"), UAString::from("b")].into());
    assert_eq!(value("Values").await, expected.values.into());
    assert_eq!((value("Lower95").await, value("Upper95").await), (expected.lower95.into(), expected.upper95.into()));
    let Variant::Array(errors) = value("StandardErrors").await else { panic!("no array") };
    assert!(matches!(errors.values[..], [Variant::Double(0.5), Variant::Double(x)] if x.is_nan()), "{errors:?}");
    assert_eq!((value("Rmse").await, value("RSquared").await), (expected.rmse.into(), expected.r_squared.into()));
    assert_eq!(value("Iterations").await, u32::try_from(expected.iterations).unwrap().into());
    assert_eq!(value("Message").await, LocalizedText::new("en", "in force").into());
    fixture.state.write(twin).last_fit = LastFit { state: FitState::Running, ..LastFit::default() };
    assert_eq!((value("State").await, value("Revision").await), ("Running".into(), Variant::Empty));
    assert_eq!(value("Values").await, Variant::Empty);
    fixture.stop().await;
}
