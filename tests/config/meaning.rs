//! What a good config means.

use std::{path::PathBuf, time::Duration};

use uatwin::{
    config::Store,
    northbound::{Limits, Role},
    preprocess::{FilterSpec, OutOfRange, Outlier, describe},
    sample::TwinId,
    southbound::{Credentials, NodeAddress, PathElement, PlcId, SecurityMode},
    statistics::{Window, control::RuleSet, correlation::Method},
    twin::{Activation, CorrelateSettings, DataType},
};

use crate::{DEMO, EXAMPLE, MINIMAL, faults_of, parse, parse_with};

fn id(namespace: &str, identifier: &str) -> Option<NodeAddress> {
    Some(NodeAddress::Id { namespace: Some(namespace.into()), identifier: identifier.into() })
}

#[test]
fn the_example_has_no_fault_and_no_warning() {
    assert_eq!(faults_of(EXAMPLE, &[]), [""; 0]);
    let config = parse(EXAMPLE).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.twins.twins.len(), 2);
    // Per twin: 6 variables, 1 output with Simulated and Residual, 3 parameters, 1 state, the revision.
    assert_eq!(config.twins.series_len(), 2 * (6 + 2 + 3 + 1 + 1));
}

#[test]
fn limits_are_the_example_s_unless_said_otherwise() {
    let default = Limits::default();
    assert_eq!((&parse(MINIMAL).unwrap().server.limits, &parse(EXAMPLE).unwrap().server.limits), (&default, &default));
    let text =
        "[server.limits]\nsessions = 20\nconnections = 30\nfits = 4\nsession_timeout = \"1m\"\nmessage_size = 1048576";
    let limits = parse(text).unwrap().server.limits;
    let expected = Limits {
        sessions: 20,
        // No more than there are sessions.
        unactivated_sessions: 20,
        connections: 30,
        fits: 4,
        session_timeout: Duration::from_secs(60),
        message_size: 1 << 20,
        ..default.clone()
    };
    assert_eq!(limits, expected);
    assert!(limits.worst_case().total() < default.worst_case().total());
}

#[test]
fn limits_that_would_shut_everybody_out_are_faults() {
    let check = |line: &str, said: &str| {
        let faults = faults_of(&format!("[server.limits]\n{line}"), &[]);
        assert!(faults.len() == 1 && faults[0].contains(said), "{line}: {faults:?}");
    };
    check("sessions = 0", "0 is out of range; give a value from 1 to 10000");
    check("sessions = 400", "400 sessions need more than 400 connections; let connections be above sessions");
    check("unactivated_sessions = 201", "200 sessions cannot have 201 that are not activated");
    check("message_size = 8191", "give a value from 8192 to 268435456");
    check("session_timeout = \"0s\"", "zero is too short");
    check("sesions = 3", "this key is not known; did you mean `sessions`?");
}

#[test]
fn the_minimal_config_has_the_documented_defaults() {
    let config = parse(MINIMAL).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let server = &config.server;
    assert_eq!((server.host.as_str(), server.port), ("0.0.0.0", 4840));
    assert_eq!(server.policies, ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]);
    assert_eq!(server.anonymous, Some(Role::Observer));
    assert_eq!((server.advertise.as_deref(), server.twins_namespace.as_str()), (None, "urn:uatwin:twins"));
    assert_eq!((&config.data_dir, &server.pki_dir), (&PathBuf::from("plant/data"), &PathBuf::from("plant/certs")));
    assert_eq!((config.history.store, config.history.retention), (Store::Sled, None));
    assert_eq!(server.continuation_point_timeout, Duration::from_secs(600));
    let plc = &config.plcs[0];
    assert_eq!(
        (plc.security_mode, plc.backfill, plc.publishing_interval),
        (SecurityMode::None, None, Duration::from_millis(500))
    );
    assert_eq!(plc.credentials, Credentials::Anonymous);
    let variable = &config.twins.types[0].variables[0];
    assert_eq!(variable.data_type, DataType::Double);
    assert_eq!((variable.historize, variable.stepped, variable.writable), (true, false, false));
    assert_eq!(variable.sampling_interval, Duration::from_secs(1));
    assert_eq!(config.twins.types[0].statistics.window, Window::Duration(600.0));
    assert_eq!(config.twins.twins[0].sources, [id("urn:plant", "s=Tank1.Level")]);
    assert_eq!(config.twins.twins[0].plc, Some(PlcId(0)));
}

#[test]
fn the_example_means_what_it_says() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.server.advertise.as_deref(), Some("line1-twins.plant.example"));
    assert_eq!(config.data_dir, PathBuf::from("plant/../data"));
    assert_eq!(
        (config.plcs[0].security_mode, config.plcs[0].backfill),
        (SecurityMode::SignAndEncrypt, Some(Duration::from_secs(3600)))
    );
    let heater = &config.twins.types[0];
    let names: Vec<&str> = heater.variables.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["Temperature", "HeaterPower", "Ambient", "Mode", "Loss", "Remark"], "in the order of the file");
    let temperature = &heater.variables[0];
    assert_eq!((temperature.range, temperature.limits), (Some((0.0, 150.0)), Some((60.0, 90.0))));
    assert_eq!(
        temperature.preprocess,
        [
            FilterSpec::Scale { factor: 0.1, offset: 0.0 },
            FilterSpec::Hampel { window: 7, sigmas: 4.0, least: 0.0, outlier: Outlier::Uncertain },
            FilterSpec::Range { low: 0.0, high: 150.0, outside: OutOfRange::Uncertain }
        ]
    );
    assert!(heater.variables[3].stepped && heater.variables[5].stepped, "discrete and text variables are stepped");
    assert_eq!(heater.variables[3].states, ["Off", "Heating", "Cooling"]);
    // The grid is that of the slower one.
    let correlate = CorrelateSettings { variables: vec![0, 1], step_s: 1.0, method: Method::Pearson };
    assert_eq!(heater.correlate, Some(correlate));
    let windows = [temperature.statistics.window, heater.variables[1].statistics.window, heater.statistics.window];
    assert_eq!(windows, [3600.0, 600.0, 600.0].map(Window::Duration), "its own, else the type's");
    assert!(temperature.statistics.when.is_some() && temperature.statistics.lot.is_none());
    let model = heater.model.as_ref().unwrap();
    assert_eq!((&model.inputs[..], &model.outputs[..]), (&[1, 2][..], &[0][..]));
    assert_eq!(
        (model.fit.window, model.fit.starts, model.fit.activate),
        (Duration::from_secs(3600), 8, Activation::IfBetter)
    );
    assert!(model.fit.when.is_some());
    assert_eq!(model.forecast_horizon, Some(Duration::from_secs(600)));

    let [first, second] = &config.twins.twins[..] else { panic!("{:?}", config.twins.twins) };
    assert_eq!(first.parameters, [60.0, 2.5, 22.0]);
    assert_eq!(second.parameters, [55.0, 2.5, 22.0]);
    assert_eq!(first.sources[0], id("urn:plant", "s=HTR01.Temperature"));
    assert_eq!(second.sources[0], id("urn:plant", "i=5042"));
    let any = |name: &str| PathElement { namespace: None, name: name.into() };
    assert_eq!(first.sources[2], Some(NodeAddress::Path(vec![any("Objects"), any("HTR01"), any("Ambient")])));
    assert_eq!((&first.sources[4], &first.sources[5]), (&None, &None), "a derived variable and an internal one");
    let loss = heater.variables[4].derived.as_ref().unwrap();
    assert_eq!((loss.expr.text(), &loss.inputs[..]), ("2.5*(Temperature - Ambient)", &[0, 2][..]));
    assert_eq!(config.twins.series_names()[0], "Heater1.Temperature");
    assert_eq!(config.twins.type_of(TwinId(1)).name, "Heater");
}

#[test]
fn every_filter_has_its_defaults_and_its_words() {
    let variables = r#"[twin_type.A.variable]
T = { unit = "°C", range = [0, 200], preprocess = [
    { order = { late = "drop" } }, { unit = { from = "degF" } }, { hampel = {} }, { lowpass = { time_constant = "5s" } },
    { deadband = { percent = 1, max_interval = "1m" } }, { resample = { step = "1s" } } ] }
On = { data_type = "Boolean", preprocess = [{ debounce = { time = "500ms" } }, { resample = { step = "1s" } }] }
"#;
    let config = parse(variables).unwrap();
    let [t, on] = &config.twins.types[0].variables[..] else { panic!() };
    let words = "order(late: drop, duplicates: keep) → unit(degF to °C) → hampel(window: 7, sigmas: 3, least: 0, outlier: uncertain) → \
        lowpass(time_constant: 5s) → deadband(1 %, max_interval: 60s) → resample(1s, linear)";
    assert_eq!(describe(&t.preprocess), words);
    assert_eq!(describe(&on.preprocess), "debounce(500ms) → resample(1s, previous)");
    let FilterSpec::Unit { factor, offset, .. } = t.preprocess[1] else { panic!("{:?}", t.preprocess) };
    assert!((factor * 212.0 + offset - 100.0).abs() < 1e-9, "{factor} {offset}");
    assert!(matches!(t.preprocess[4], FilterSpec::Deadband { band: 2.0, .. }), "{:?}", t.preprocess);
}

#[test]
fn of_a_lot_everything_counts_unless_there_is_a_window() {
    let window = |of_type: &str, own: &str| {
        let text = format!(
            "[twin_type.A.statistics]\n{of_type}\n[twin_type.A.variable]\nLot = {{}}\nV = {{ statistics = {{ {own} }} }}\n"
        );
        parse(&text).unwrap().twins.types[0].variables[1].statistics.clone()
    };
    let lot = "lot = \"Lot\"";
    let since_reset = window(lot, "uncertain = false");
    assert_eq!((since_reset.window, since_reset.lot, since_reset.uncertain), (Window::SinceReset, Some(0), false));
    assert_eq!(window("", lot).window, Window::SinceReset);
    assert_eq!(window("window = \"1h\"", lot).window, Window::Duration(3600.0));
    assert_eq!(window(lot, "window_values = 9").window, Window::Values(9));
    let period = window("reference = { start = \"2026-01-01T00:00:00Z\", end = \"2026-01-02T00:00:00Z\" }", "")
        .reference
        .unwrap();
    assert_eq!(period.1.seconds_since(period.0), 86_400.0);
}

#[test]
fn charts_are_of_what_is_a_number_and_has_history_and_a_reference() {
    let period =
        |year: u32| format!("reference = {{ start = \"{year}-01-01T00:00:00Z\", end = \"{year}-02-01T00:00:00Z\" }}");
    let text = format!(
        "[twin_type.A.statistics]\n{}\nchart = {{ arl = 500 }}\n[twin_type.A.variable]\nV = {{}}\nOn = {{ data_type = \"Boolean\" }}\n\
         Passing = {{ historize = false }}\nOwn = {{ statistics = {{ {}, chart = {{ rules = \"nelson\", k = 1, lambda = 1 }} }} }}\n",
        period(2025),
        period(2026)
    );
    let twins = parse(&text).unwrap().twins;
    let chart = |v: usize| twins.types[0].variables[v].statistics.chart;
    let of_type = chart(0).unwrap();
    assert_eq!(
        (of_type.rules, of_type.arl0, of_type.cusum.k, of_type.ewma.lambda),
        (RuleSet::WesternElectric, 500.0, 0.5, 0.2)
    );
    assert_eq!((chart(1), chart(2)), (None, None));
    let own = chart(3).unwrap();
    assert_eq!((own.rules, own.arl0, own.cusum.k), (RuleSet::Nelson, 370.0, 1.0));
    // Of single samples the limits are Shewhart's.
    assert!((own.ewma.width - 3.0).abs() < 1e-3, "{}", own.ewma.width);
}

#[test]
fn history_is_kept_and_read_as_it_says() {
    let config =
        parse("[history]\nretention = \"2h\"\ncontinuation_point_timeout = \"90s\"\n[history.store.memory]").unwrap();
    let seconds = |s| Duration::from_secs(s);
    assert_eq!((config.history.store, config.history.retention), (Store::Memory, Some(seconds(7_200))));
    assert_eq!(config.server.continuation_point_timeout, seconds(90));
    let faults = faults_of("[history]\ncontinuation_point_timeout = \"0s\"", &[]);
    assert!(faults.len() == 1 && faults[0].contains("above zero"), "{faults:?}");
}

#[test]
fn a_cluster_is_named_with_its_defaults_and_its_password_is_never_shown() {
    let of = |text: &str| parse(&format!("[history.store.clickhouse]\n{text}")).unwrap();
    let Store::ClickHouse { options, keep } = of("urls = [\"http://h:8123/\"]").history.store else { panic!() };
    assert_eq!((options.urls, options.database.as_str()), (vec!["http://h:8123".to_owned()], "uatwin"));
    assert_eq!((options.user, options.cluster, options.quorum), (None, None, None));
    assert_eq!(keep, Duration::from_secs(7 * 86_400));
    let text = "urls = [\"http://h:1\", \"http://i:1\"]\ncluster = \"all\"\nquorum = 2\nkeep = \"2d\"";
    let Store::ClickHouse { options, keep } = of(text).history.store else { panic!() };
    assert_eq!((options.urls.len(), options.cluster.as_deref(), options.quorum), (2, Some("all"), Some(2)));
    assert_eq!(keep, Duration::from_secs(2 * 86_400));
}

#[test]
fn a_model_may_stand_in_a_file_of_its_own() {
    let config = "[twin_type.A]\nmodel = \"models/a.toml\"\n[twin_type.A.variable]\nY = {}\nU = {}\n[twin.T]\ntype = \"A\"\nparameter.a = 3\n";
    let model = "[parameter.a]\nvalue = 2\n[input.U]\n[output.Y]\nexpr = \"a*U\"\n";
    let config = parse_with(config, &[("plant/models/a.toml", model)]).unwrap();
    let twin_model = config.twins.types[0].model.as_ref().unwrap();
    assert_eq!((&twin_model.inputs[..], &twin_model.outputs[..]), (&[1][..], &[0][..]));
    assert_eq!(config.twins.twins[0].parameters, [3.0]);
}

#[test]
fn a_password_comes_from_the_environment_and_is_not_shown() {
    let config = parse("[plc.a]\nendpoint = \"opc.tcp://h:1\"\nsecurity_policy = \"Basic256Sha256\"\nuser.password = { name = \"u\", env = \"LINE1_PASSWORD\" }\n").unwrap();
    assert_eq!(config.plcs[0].credentials, Credentials::Password { name: "u".into(), password: "secret".into() });
    assert_eq!(config.plcs[0].security_mode, SecurityMode::SignAndEncrypt, "a policy encrypts unless told otherwise");
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn the_application_uri_is_made_of_host_and_port() {
    let uri = |text: &str| parse_with(text, &[("/proc/sys/kernel/hostname", "box7\n")]).unwrap().server.application_uri;
    for (text, expected) in [
        ("", "urn:box7:uatwin"),
        ("[server]\nadvertise = \"line1.example\"", "urn:line1.example:uatwin"),
        ("[server]\nendpoint = \"opc.tcp://127.0.0.1:4855\"", "urn:box7:uatwin:4855"),
        ("[server]\napplication_uri = \"urn:a:b\"", "urn:a:b"),
    ] {
        assert_eq!(uri(text), expected, "{text}");
    }
}

#[test]
fn a_plc_without_a_word_on_security_is_warned_of() {
    let warnings =
        |line: &str| parse(&format!("[plc.a]\nendpoint = \"opc.tcp://h:1\"\n{line}\n")).unwrap().warnings.len();
    assert_eq!((warnings(""), warnings("security_policy = \"None\"")), (1, 0));
}

#[test]
fn the_demo_is_a_laboratory_on_this_host_alone() {
    let config = parse(DEMO).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.1", 4840));
    assert_eq!(config.server.policies, ["None", "Basic256Sha256"]);
    assert_eq!(config.server.anonymous, Some(Role::Engineer));
    assert_eq!(
        (config.plcs[0].endpoints[0].as_str(), config.plcs[0].backfill),
        ("opc.tcp://127.0.0.1:4841", Some(Duration::from_secs(3600)))
    );
    let names: Vec<&str> = config.twins.twins.iter().map(|twin| twin.name.as_str()).collect();
    assert_eq!(names, ["Oven1", "Oven2", "Tanks1", "Pump1"]);
    assert_eq!(config.twins.twins[1].sources[0], id("urn:uatwin:plant", "s=Oven2.Temperature"));
    for twin_type in &config.twins.types {
        assert!(twin_type.model.is_some(), "{} is simulated and can be fitted", twin_type.name);
    }
}

#[test]
fn was_tells_the_old_name_of_every_series_of_a_renamed_twin_or_variable() {
    let text = r#"
[twin_type.A.variable]
Y = { was = "Z" }
U = {}
[twin_type.A.model]
parameter.a = { value = 1 }
input.U = {}
output.Y.expr = "a*U"
[twin.T]
type = "A"
[twin.New]
type = "A"
was = "Old"
"#;
    let config = parse(text).unwrap();
    let renames: Vec<(&str, &str)> = config.renames.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
    assert_eq!(
        renames,
        [
            ("T.Z", "T.Y"),
            ("T.Z.Simulated", "T.Y.Simulated"),
            ("T.Z.Residual", "T.Y.Residual"),
            ("Old.Z", "New.Y"),
            ("New.Z", "New.Y"),
            ("Old.Y", "New.Y"),
            ("Old.U", "New.U"),
            ("Old.Z.Simulated", "New.Y.Simulated"),
            ("New.Z.Simulated", "New.Y.Simulated"),
            ("Old.Y.Simulated", "New.Y.Simulated"),
            ("Old.Z.Residual", "New.Y.Residual"),
            ("New.Z.Residual", "New.Y.Residual"),
            ("Old.Y.Residual", "New.Y.Residual"),
            ("Old.Model.Parameters.a", "New.Model.Parameters.a"),
            ("Old.Model.Revision", "New.Model.Revision"),
        ]
    );
    assert!(parse(MINIMAL).unwrap().renames.is_empty());
}

#[test]
fn an_aggregate_configuration_is_the_variables_own_and_leaves_no_share_without_status() {
    let with = |aggregate: &str| MINIMAL.replacen("source =", &format!("aggregate = {aggregate}\nsource ="), 1);
    let given =
        parse(&with("{ treat_uncertain_as_bad = false, percent_data_bad = 60, percent_data_good = 40 }")).unwrap();
    let aggregate = given.twins.types[0].variables[0].aggregate;
    assert_eq!((aggregate.treat_uncertain_as_bad, aggregate.use_sloped_extrapolation), (false, false));
    assert_eq!((aggregate.percent_data_bad, aggregate.percent_data_good), (60, 40));
    assert!(given.warnings.is_empty());
    let faults = faults_of(&with("{ percent_data_bad = 60, percent_data_good = 39 }"), &[]);
    assert!(faults.len() == 1 && faults[0].contains("percent_data_good"), "{faults:?}");
}
