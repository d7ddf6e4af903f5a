//! What is said about a faulty config: every fault at once, where it is, and what to do.

use crate::{faults_of, parse_with};

#[test]
fn all_faults_of_a_file_are_said_at_once_with_their_places() {
    let text = r#"[server]
endpoint = "opc.tcp://0.0.0.0"
nmae = "x"
[server.security]
policies = ["Basic256"]
anonymous = "observr"
[plc.line1]
endpoint = "10.0.0.5:4840"
publishing_interval = 100
user.password = { name = "twin", env = "NOT_SET" }
[twin_type.Heater.variable."Temp.1"]
[twin_type.Heater.variable.Fit]
[twin_type.Heater.variable.Temperature]
source = "ns=3;s={device}.T"
data_type = "double"
range = [150, 0]
sampling_interval = "fast"
preprocess = [{ hampel = { window = 2 } }, { scale = { faktor = 2 } }]
[twin_type.Heater.model]
state.T = { init = 20 }
equation.T = "(P - kk*T)/C"
parameter.C = { value = 2000, min = 5, max = 1000 }
input.P = { variable = "HeaterPower" }
output.Temprature = { expr = "T" }
[twin.Twins]
type = "Heatr"
plc = "line2"
[twin.Heater1]
plc = "line1"
[history.store.clickhouse]
"#;
    let expected = [
        r#"plant/twins.toml:3:1: server.nmae: this key is not known; did you mean `name`?"#,
        r#"plant/twins.toml:5:13: server.security.policies[0]: Basic256 is broken and no longer part of OPC UA; use Basic256Sha256"#,
        r#"plant/twins.toml:6:13: server.security.anonymous: "observr" is not known here; did you mean `observer`?"#,
        r#"plant/twins.toml:8:12: plc.line1.endpoint: "10.0.0.5:4840" is not an endpoint; write opc.tcp://HOST:PORT, as in opc.tcp://10.0.0.5:4840"#,
        r#"plant/twins.toml:9:23: plc.line1.publishing_interval: expected a duration, found an integer; give it with its unit: "100ms", "1s", "10m", "1h", "1d""#,
        r#"plant/twins.toml:10:40: plc.line1.user.password.env: the environment variable "NOT_SET" is not set; set it to the password before starting"#,
        r#"plant/twins.toml:11:28: twin_type.Heater.variable."Temp.1": a name must not contain '.': it joins the parts of NodeIds and paths; use letters, digits, `_` or `-`"#,
        r#"plant/twins.toml:12:28: twin_type.Heater.variable.Fit: `Fit` is taken: every twin or its server already has a node of that name; choose another name"#,
        r#"plant/twins.toml:14:10: twin_type.Heater.variable.Temperature.source: the namespace is given by its index, which may change when the PLC restarts; write nsu=<the namespace's URI>;s={device}.T (the URI of index 3 stands in the PLC's NamespaceArray)"#,
        r#"plant/twins.toml:15:13: twin_type.Heater.variable.Temperature.data_type: "double" is not known here; did you mean `Double`?"#,
        r#"plant/twins.toml:16:9: twin_type.Heater.variable.Temperature.range: 150 is not below 0; put the smaller one first"#,
        r#"plant/twins.toml:17:21: twin_type.Heater.variable.Temperature.sampling_interval: "fast" is not a duration; give a number and a unit: ms, s, m (minutes), h, d, w or y, as in "10m""#,
        r#"plant/twins.toml:18:37: twin_type.Heater.variable.Temperature.preprocess[0].hampel.window: 2 is out of range; give a value from 3 to 1001"#,
        r#"plant/twins.toml:18:56: twin_type.Heater.variable.Temperature.preprocess[1].scale.faktor: this key is not known; did you mean `factor`?"#,
        r#"plant/twins.toml:21:20: twin_type.Heater.model.equation.T: unknown name `kk`; use a state, parameter, input or let of this model, `t` or `pi`"#,
        r#"plant/twins.toml:22:15: twin_type.Heater.model.parameter.C: value 2000 is outside its bounds 5 to 1000; move the value or the bounds"#,
        r#"plant/twins.toml:23:24: twin_type.Heater.model.input.P.variable: there is no variable `HeaterPower`; there is Temp.1, Fit, Temperature"#,
        r#"plant/twins.toml:24:21: twin_type.Heater.model.output.Temprature: there is no variable `Temprature`; did you mean `Temperature`?"#,
        r#"plant/twins.toml:25:7: twin.Twins: `Twins` is taken: every twin or its server already has a node of that name; choose another name"#,
        r#"plant/twins.toml:26:8: twin.Twins.type: there is no twin type `Heatr`; did you mean `Heater`?"#,
        r#"plant/twins.toml:27:7: twin.Twins.plc: there is no PLC `line2`; did you mean `line1`?"#,
        r#"plant/twins.toml:28:7: twin.Heater1.type: this key is missing; add type = "a twin type""#,
        r#"plant/twins.toml:30:16: history.store.clickhouse.urls: this key is missing; add urls = ["http://HOST:8123"]"#,
    ];
    assert_eq!(faults_of(text, &[]), expected);
}

/// One fault each: the text (a whole config), where it is said to be, and a word of what is said.
#[test]
fn each_kind_of_fault_has_its_place_and_words() {
    let plc = "[plc.a]\nendpoint = \"opc.tcp://h:1\"\nsecurity_policy = \"None\"\n";
    let variable = "[twin_type.A.variable.V]\n";
    let model = "[twin_type.A.variable]\nY = {}\nU = {}\n[twin_type.A.model]\ninput.U = {}\n";
    let mut wrong = Vec::new();
    for (before, text, place, words) in [
        ("", "a = \"x", "1:7", "not TOML"),
        ("", "[server]\nname = \"a\"\nname = \"b\"", "3:1", "already there"),
        ("", "[serer]", "1:2", "did you mean `server`?"),
        ("", "server = 3", "1:10", "expected a table, found an integer"),
        ("", "[server.security]\npolicies = []", "2:12", "no client could connect"),
        ("", "[server]\nendpoint = \"opc.tcp://h:70000\"", "2:12", "opc.tcp://HOST:PORT"),
        ("", "[server]\nadvertise = \"opc.tcp://h\"", "2:13", "not a host name"),
        ("", "[history.store]\nsled = {}\nmemory = {}", "3:1", "already kept in sled"),
        ("", "[history.store.clickhouse]\nurls = []", "2:8", "no server is named"),
        ("", "[history.store.clickhouse]\nurls = [\"https://h:8443\"]", "2:9", "no TLS"),
        ("", "[history.store.clickhouse]\nurls = [\"h:8123\"]", "2:9", "http://HOST:PORT"),
        ("", "[history.store.clickhouse]\nurls = [\"http://h:1\"]\ndatabase = \"a b\"", "3:12", "letters, digits"),
        ("", "[history.store.clickhouse]\nurls = [\"http://h:1\"]\nquorum = 2", "3:10", "name the cluster"),
        ("", "[history.store.clickhouse]\nurls = [\"http://h:1\", \"http://i:1\"]", "1:16", "replicas of a cluster"),
        ("", "[history.store.clickhouse]\nurls = [\"http://h:1\"]\nkeep = \"0s\"", "3:8", "too short"),
        ("", "[plc.a]", "1:6", "endpoint = "),
        ("", "[plc.\"a:b\"]\nendpoint = \"opc.tcp://h:1\"\nsecurity_policy = \"None\"", "1:6", "must not contain ':'"),
        (plc, "security_mode = \"Sign\"", "4:17", "does not go with"),
        (plc, "user.password.name = \"x\"", "4:6", "env = \"NAME\""),
        (plc, "backfill = \"0s\"", "4:12", "too short"),
        (variable, "source = \"s=a\"\npath = \"/a\"", "3:1", "keep one of"),
        (variable, "path = \"/3:a\"", "2:8", "index"),
        (variable, "unit = 3", "2:8", "expected a string"),
        (variable, "historize = \"yes\"", "2:13", "expected true or false"),
        (variable, "range = [1]", "2:9", "expected 2 numbers"),
        (variable, "range = [1, nan]", "2:13", "finite"),
        (variable, "preprocess = [{ range = {} }]", "2:17", "no range to filter by"),
        (variable, "preprocess = [{ scale = {}, range = {} }]", "2:15", "expected one filter, found 2"),
        (
            variable,
            "source = \"i=1\"\nexpr = \"W\"\n[twin_type.A.variable.W]",
            "3:1",
            "keep one of source, path and expr",
        ),
        (variable, "writable = true\nexpr = \"W\"\n[twin_type.A.variable.W]", "3:1", "cannot be written"),
        (
            variable,
            "preprocess = [{ scale = {} }]\nexpr = \"W\"\n[twin_type.A.variable.W]",
            "3:1",
            "no filters of its own",
        ),
        (variable, "data_type = \"String\"\nexpr = \"W\"\n[twin_type.A.variable.W]", "3:1", "gives a number"),
        (variable, "expr = \"2*Flwo\"\n[twin_type.A.variable.Flow]", "2:11", "did you mean `Flow`?"),
        (variable, "expr = \"1 +\"", "2:12", "ends where"),
        (variable, "expr = \"1\"", "2:8", "follows from no variable"),
        (variable, "expr = \"W\"\n[twin_type.A.variable.W]\narray = true", "2:8", "`W` is no number"),
        (variable, "expr = \"V + 1\"", "2:8", "`V` follows from itself"),
        (
            variable,
            "expr = \"W\"\n[twin_type.A.variable.W]\nexpr = \"X/2\"\n[twin_type.A.variable.X]\nexpr = \"V + U\"\n[twin_type.A.variable.U]",
            "2:8",
            "in a circle: V from W from X from V",
        ),
        (
            variable,
            "expr = \"W\"\n[twin_type.A.variable.W]\n[twin.a]\ntype = \"A\"\nvariable.V.source = \"i=1\"",
            "6:10",
            "computes this",
        ),
        (variable, "preprocess = [{ hampl = {} }]", "2:17", "did you mean `hampel`?"),
        (variable, "preprocess = [{ scale = 3 }]", "2:25", "expected a table"),
        (variable, "preprocess = [{ unit = { from = \"degF\" } }]", "2:17", "no unit to convert to"),
        (variable, "unit = \"°C\"\npreprocess = [{ unit = {} }]", "3:17", "from"),
        (variable, "unit = \"°C\"\npreprocess = [{ unit = { from = \"degf\" } }]", "3:33", "did you mean `degF`"),
        (
            variable,
            "unit = \"°C\"\npreprocess = [{ unit = { from = \"bar\" } }]",
            "3:33",
            "a temperature; convert from K, °F",
        ),
        (variable, "unit = \"°C\"\npreprocess = [{ unit = { from = \"pH\" } }]", "3:33", "no conversion of `pH`"),
        (
            variable,
            "unit = \"Stück\"\npreprocess = [{ unit = { from = \"bar\" } }]",
            "3:33",
            "no conversion to `Stück`",
        ),
        (variable, "preprocess = [{ lowpass = {} }]", "2:17", "time_constant"),
        (variable, "preprocess = [{ deadband = {} }]", "2:17", "absolute = 0.5"),
        (variable, "preprocess = [{ deadband = { percent = 1 } }]", "2:30", "no range to take percent of"),
        (variable, "preprocess = [{ deadband = { absolute = 1, percent = 1 } }]", "2:44", "keep one of"),
        (variable, "preprocess = [{ debounce = { time = \"1s\" } }]", "2:17", "lowpass or hampel"),
        (variable, "preprocess = [{ resample = { step = \"1us\" } }]", "2:37", "finer than a millisecond"),
        (
            variable,
            "data_type = \"String\"\npreprocess = [{ resample = { step = \"1s\", method = \"linear\" } }]",
            "3:17",
            "only numbers",
        ),
        (variable, "preprocess = [{ order = { late = \"no\" } }]", "2:34", "keep"),
        (variable, "array = true\npreprocess = [{ scale = {} }]", "3:17", "only numbers"),
        (variable, "states = [\"a\"]", "2:10", "only a Boolean or an integer"),
        (variable, "data_type = \"Boolean\"\nstates = [\"a\"]", "3:10", "2 states"),
        (variable, "was = 3", "2:7", "expected a string"),
        (variable, "was = \"V\"", "2:7", "still a variable `V`"),
        (variable, "was = \"W\"\n[twin_type.A.variable.U]\nwas = \"W\"", "4:7", "`V` has the history of `W` already"),
        (variable, "[twin.a]\ntype = \"A\"\nwas = \"b\"\n[twin.b]\ntype = \"A\"", "4:7", "still a twin `b`"),
        (variable, "alarm = { high = 9, severity = 1001 }", "2:32", "1 to 1000"),
        (variable, "[twin_type.A.statistics]\nwindow = \"1m\"\nwindow_values = 3", "4:1", "keep one of"),
        (variable, "statistics = { window = \"1m\", window_values = 3 }", "2:31", "keep one of"),
        (variable, "statistics = { when = \"W > 1\" }", "2:24", "`W`"),
        (variable, "statistics = { lot = \"W\" }", "2:22", "no variable `W`"),
        (
            variable,
            "statistics = { reference = { start = \"2026-01-02T00:00:00Z\", end = \"2026-01-01T00:00:00Z\" } }",
            "2:28",
            "does not end after",
        ),
        (variable, "statistics = { chart = {} }", "2:16", "reference period, and `V` has none"),
        (variable, "[twin_type.A.statistics]\nchart = {}", "3:1", "reference period, and `V` has none"),
        (variable, "statistics = { chart = { arl = 1 } }", "2:32", "2 to 1000000000"),
        (variable, "statistics = { chart = { k = 0 } }", "2:30", "0.1 to 3"),
        (variable, "statistics = { chart = { lambda = 1.5 } }", "2:35", "0.01 to 1"),
        (variable, "statistics = { chart = { rules = \"western\" } }", "2:34", "western_electric"),
        (variable, "statistics = { chart = { arl = 100, k = 3 } }", "2:24", "longer arl"),
        (
            variable,
            "statistics = { reference = { start = \"2026-01-01T00:00:00Z\", end = \"2026-01-02T00:00:00Z\" }, chart = { h = 4 } }",
            "2:104",
            "not known",
        ),
        (variable, "data_type = \"Boolean\"\nstatistics = { chart = {} }", "3:16", "no number"),
        (variable, "historize = false\nstatistics = { chart = {} }", "3:16", "historize = true"),
        (variable, "statistics = { correlate = [] }", "2:16", "not known"),
        (variable, "data_type = \"String\"\nstatistics = {}", "3:1", "no statistics"),
        (
            variable,
            "[twin_type.A.statistics]\nreference = { start = \"2026-01-01T00:00:00Z\" }",
            "3:13",
            "write reference",
        ),
        (variable, "[twin_type.A.statistics]\ncorrelate = [\"W\"]", "3:14", "no variable `W`"),
        (variable, "[twin_type.A.statistics]\ncorrelate = [\"V\"]", "3:13", "1 variables"),
        (variable, "[twin_type.A.statistics]\ncorrelate = [\"V\", \"V\"]", "3:19", "already there"),
        (variable, "[twin_type.A.statistics]\nalign = \"1s\"", "3:1", "no correlation to be made"),
        (variable, "[twin_type.A.statistics]\ncorrelate_method = \"pearson\"", "3:1", "no correlation to be made"),
        (
            variable,
            "[twin_type.A.variable.W]\n[twin_type.A.statistics]\ncorrelate = [\"V\", \"W\"]\ncorrelate_method = \"kendall\"",
            "5:20",
            "not known here",
        ),
        (
            variable,
            "[twin_type.A.variable.W]\n[twin_type.A.statistics]\ncorrelate = [\"V\", \"W\"]\nalign = \"10us\"",
            "5:9",
            "finer than",
        ),
        (variable, "[twin_type.A.variable.Spe]", "2:23", "taken"),
        ("", "[twin_type.A]", "1:12", "variable.NAME"),
        (model, "output.Y.expr = \"2*U\"\nparameter.a = {}", "7:11", "value = "),
        (model, "output.Y.expr = \"U*x\"", "6:20", "`x`"),
        (model, "output.Y.expr = 'U*x'", "6:20", "`x`"),
        (model, "output.Y.expr = \"\"\"\nU*\nx\"\"\"", "8:1", "`x`"),
        (model, "output.Y.expr = \"U*\\u0078\"", "6:17", "`x`"),
        (model, "output.Y = { expr = \"U\", sigma = 0 }", "6:34", "not above zero"),
        (model, "output.Y.expr = \"U\"\ninput.V = { variable = \"U\", max_gap = \"0s\" }", "7:39", "too short"),
        (model, "output.Y.expr = \"U\"\nfit.uncertain = 1.5", "7:17", "1.5"),
        (model, "output.Y.expr = \"U\"\nfit.windows = [[\"2026-01-01T00:00:00Z\"]]", "7:16", "a start and an end"),
        (
            model,
            "output.Y.expr = \"U\"\nfit.windows = [[\"yesterday\", \"2026-01-01T00:00:00Z\"]]",
            "7:17",
            "no instant",
        ),
        (
            model,
            "output.Y.expr = \"U\"\nfit.windows = [[\"2026-01-01T00:00:00Z\", \"2026-01-01T00:00:00Z\"]]",
            "7:16",
            "exchange",
        ),
        (
            model,
            "output.Y.expr = \"U\"\nfit.windows = [[\"2026-01-02T00:00:00Z\",\"2026-01-03T00:00:00Z\"],[\"2026-01-01T00:00:00Z\",\"2026-01-02T00:00:01Z\"]]",
            "7:64",
            "in their order",
        ),
        (model, "output.Y.expr = \"U\"\nfit.when = \"U > 0 && W > 0\"", "7:22", "`W`"),
        (model, "output.Y.expr = \"U\"\nfit.starts = 0", "7:14", "1 to 1000"),
        (model, "output.Y.expr = \"U\"\nlive.observer = \"ekf\"", "7:17", "process noise"),
        (variable, "[twin_type.A.optimize]\nmove.U = { min = 0, max = 1 }", "2:14", "no model to foresee with"),
        (model, "output.Y.expr = \"U\"\nlive.forecast_horizon = \"0s\"", "7:25", "too short"),
        (model, "output.Y.expr = \"U\"\nlive = { period = \"2s\", forecast_horizon = \"1s\" }", "7:44", "no point"),
        (model, "output.Y.expr = \"U\"\nlive.forecast_horizon = \"10001s\"", "7:25", "at most 10000 times"),
        (variable, "[twin.a]\ntype = \"A\"\ndevice = \"d\"\nvariable.W.source = \"i=1\"", "5:10", "no variable `W`"),
        (variable, "source = \"i=1\"\n[twin.a]\ntype = \"A\"", "3:7", "plc = "),
        (
            variable,
            "source = \"s={device}\"\n[plc.p]\nendpoint=\"opc.tcp://h:1\"\n[twin.a]\ntype = \"A\"\nplc = \"p\"",
            "5:7",
            "device = ",
        ),
        (model, "output.Y.expr = \"U\"\n[twin.a]\ntype = \"A\"\nparameter.b = 1", "9:11", "no parameter `b`"),
        (
            model,
            "output.Y.expr = \"U\"\nparameter.b = { value = 1, max = 2 }\n[twin.a]\ntype = \"A\"\nparameter.b = 3",
            "10:15",
            "bounds",
        ),
    ] {
        let faults = faults_of(&format!("{before}{text}\n"), &[]);
        let at = format!("plant/twins.toml:{place}: ");
        if !matches!(&faults[..], [fault] if fault.starts_with(&at) && fault.contains(words)) {
            wrong.push(format!("{before}{text}: expected {place} {words}, said {faults:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_may_be_moved_and_must_be_kept_is_looked_up() {
    let text = r#"[twin_type.A.variable]
Y = {}
U = { range = [0, 5] }
V = {}
B = { data_type = "Boolean" }
[twin_type.A.model]
state.x.init = 0
input = { U = {}, V = {}, B = {} }
equation.x = "U + V + B - x"
output.Y.expr = "x"
[twin_type.A.optimize]
move.U = { cost = -1, rate = 3 }
move.V = { min = 0 }
move.W = { min = 0, max = 1 }
move.B = {}
keep.x = {}
keep.Y = { min = 2, max = 1 }
keep.z = { max = 1 }
watch = "0s"
"#;
    let expected = [
        "plant/twins.toml:12:19: twin_type.A.optimize.move.U.cost: -1 is below 0",
        "plant/twins.toml:12:23: twin_type.A.optimize.move.U.rate: this key is not known",
        "plant/twins.toml:13:6: twin_type.A.optimize.move.V: how far it may be moved is not bounded; add min and max, or a range to the variable `V`",
        "plant/twins.toml:14:6: twin_type.A.optimize.move.W: the model has no input `W`; there is U, V, B",
        "plant/twins.toml:15:6: twin_type.A.optimize.move.B: `B` is no number",
        "plant/twins.toml:16:6: twin_type.A.optimize.keep.x.max: this key is missing; give max, min or both",
        "plant/twins.toml:17:10: twin_type.A.optimize.keep.Y: min = 2 is above max = 1",
        "plant/twins.toml:18:6: twin_type.A.optimize.keep.z: the model has no state or output `z`",
        "plant/twins.toml:19:9: twin_type.A.optimize.watch: ",
    ];
    let said = faults_of(text, &[]);
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}, expected {expected}");
    }
    let ranged = text.lines().take(11).chain(["move.U = {}"]).collect::<Vec<_>>().join("\n");
    let config = parse_with(&ranged, &[]).unwrap();
    let optimize = config.twins.types[0].optimize.as_ref().unwrap();
    assert_eq!((optimize.moves[0].min, optimize.moves[0].max), (0.0, 5.0), "of the variable's range");
}

#[test]
fn a_fault_in_a_model_file_is_shown_in_that_file() {
    let config = "[twin_type.A]\nmodel = \"models/a.toml\"\nvariable.Y = {}\n[twin_type.B]\nmodel = \"b.toml\"\nvariable.Y = {}\n";
    let model = "# Größe\n[output.Y]\nexpr = \"1 + äh\"\n";
    let faults = faults_of(config, &[("plant/models/a.toml", model)]);
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults[0].starts_with("plant/models/a.toml:3:13: output.Y.expr: "), "{}", faults[0]);
    assert!(
        faults[1].starts_with("plant/twins.toml:5:9: twin_type.B.model: cannot read plant/b.toml"),
        "{}",
        faults[1]
    );
}
