//! `uatwin fit` and `uatwin simulate` as a person at a terminal uses them: files in, text, JSON and pictures out.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// One heated body, with a parameter that does nothing where `idle` is asked for.
const MODEL: &str = r#"[state.T]
init = "T0"
[parameter]
C = { value = 500, min = 50, max = 5e4, scale = "log", unit = "J/K" }
k = { value = 5, min = 0.05, max = 500, scale = "log", unit = "W/K" }
T0 = { value = 20, min = -50, max = 500, unit = "°C" }
[input]
P = { variable = "HeaterPower" }
Ta = { hold = "linear" }
[equation]
T = "(P - k*(T - Ta))/C"
[output.Temperature]
expr = "T"
sigma = 0.2
unit = "°C"
"#;

const TRUTH: [(&str, f64); 3] = [("C", 900.0), ("k", 2.2), ("T0", 35.0)];

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("model.toml", MODEL);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_uatwin")).current_dir(self.0.path()).args(arguments).output().unwrap()
    }

    /// The object that a command with `--json` prints.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "expected {words:?}: {said}");
}

/// Rows of time, power, ambient and temperature: exact from row to row, with noise of 0.2 K.
fn heated(rows: usize, first: f64, seed: u64) -> Vec<[f64; 4]> {
    let mut random = seed;
    let mut normal = || {
        // Irwin–Hall: the sum of twelve has σ = 1.
        let mut sum = -6.0;
        for _ in 0..12 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (random >> 11) as f64 / (1_u64 << 53) as f64;
        }
        sum
    };
    let (c, k, step) = (TRUTH[0].1, TRUTH[1].1, 5.0);
    let (tau, mut temperature) = (c / k, first);
    let power = |row: usize| [0.0, 250.0, 40.0, 400.0, 100.0][row / 60 % 5];
    let ambient = |row: usize| 20.0 + (row as f64 / 50.0).sin();
    let mut all = Vec::new();
    for row in 0..rows {
        all.push([step * row as f64, power(row), ambient(row), temperature + 0.2 * normal()]);
        let slope = (ambient(row + 1) - ambient(row)) / step;
        let aim = ambient(row) + power(row) / k;
        temperature = aim + slope * (step - tau) + (temperature - aim + slope * tau) * (-step / tau).exp();
    }
    all
}

fn csv(rows: &[[f64; 4]]) -> String {
    let mut text = "time,P,Ta,Temperature\n".to_owned();
    rows.iter().for_each(|[t, p, ta, y]| writeln!(text, "{t},{p},{ta},{y}").unwrap());
    text
}

fn number(json: &Value, path: &str) -> f64 {
    json.pointer(path).unwrap_or_else(|| panic!("no {path}: {json}")).as_f64().unwrap_or(f64::NAN)
}

const FIT: [&str; 5] = ["fit", "--model", "model.toml", "--data", "data.csv"];

#[test]
fn a_fit_finds_the_truth_within_its_own_uncertainty_and_says_all_of_the_contract() {
    let place = Place::new();
    place.write("data.csv", &csv(&heated(900, 35.0, 1)));
    let json = place.json(&FIT);
    for (name, truth) in TRUTH {
        let of = |key: &str| number(&json, &format!("/parameters/{name}/{key}"));
        let distance = (of("value") - truth).abs() / of("standard_error");
        assert!(distance < 4.0 && of("standard_error") < 0.02 * truth, "{name}: {json}");
        assert!(of("lower95") < of("value") && of("value") < of("upper95"));
        assert_eq!(json.pointer(&format!("/parameters/{name}/at_bound")), Some(&Value::Bool(false)));
    }
    assert!(
        (number(&json, "/outputs/Temperature/rmse") - 0.2).abs() < 0.02 && (number(&json, "/rmse") - 0.2).abs() < 0.02
    );
    for path in
        ["/outputs/Temperature/r_squared", "/outputs/Temperature/fit_percent", "/r_squared", "/condition_number"]
    {
        assert!(number(&json, path) > 0.99, "{path}");
    }
    assert_eq!((json["samples"].as_u64(), json["degrees_of_freedom"].as_u64()), (Some(900), Some(897)));
    assert!((number(&json, "/cost") - 900.0).abs() < 120.0, "χ² of 897 degrees of freedom");
    assert!(json["iterations"].as_u64() > Some(0) && json["null_directions"].as_array().unwrap().is_empty());
    assert!(json["stop"].as_str().unwrap().starts_with("converged") && number(&json, "/duration_s") > 0.0);
    let starts = json["starts"].as_array().unwrap();
    assert_eq!(starts.len(), 8, "as many as the model says");
    assert!(number(&starts[0], "/cost") > 0.0 && number(&starts[0], "/parameters/C") > 0.0);
    assert_eq!(json["validation"], Value::Null);
    // The order of the model, not of the alphabet.
    let text = String::from_utf8(place.run(&[&FIT[..], &["--json"]].concat()).stdout).unwrap();
    assert!(text.find("\"C\"") < text.find("\"k\"") && text.find("\"k\"") < text.find("\"T0\""));
}

#[test]
fn the_same_fit_gives_the_same_text_and_its_options_do_what_they_say() {
    let place = Place::new();
    place.write("data.csv", &csv(&heated(300, 35.0, 2)));
    let without_time = |output: Output| {
        assert!(output.stderr.is_empty(), "no bar where nobody looks: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.contains("degrees of freedom")).collect::<Vec<_>>().join("\n")
    };
    let text = without_time(place.run(&FIT));
    assert_eq!(text, without_time(place.run(&FIT)));
    for words in ["300 measurements in 300 rows over 1495 s", "J/K", "°C", "Durbin–Watson", "of 8 starts", "converged"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json =
        place.json(&[&FIT[..], &["--parameters", "k,T0", "--set", "C=900", "--starts", "3", "--seed", "5"]].concat());
    assert_eq!(json["starts"].as_array().unwrap().len(), 3);
    let names: Vec<&String> = json["parameters"].as_object().unwrap().keys().collect();
    assert_eq!((names.len(), json["parameters"]["C"].is_null()), (2, true), "{names:?}");
    assert!((number(&json, "/parameters/k/value") - 2.2).abs() < 0.01);
    expect(&place.run(&[&FIT[..], &["--parameters", "K1"]].concat()), 2, "no parameter `K1`");
    expect(&place.run(&[&FIT[..], &["--set", "Cc=3"]].concat()), 2, "did you mean `C`?");
    expect(&place.run(&[&FIT[..], &["--set", "C"]].concat()), 2, "NAME=VALUE");
    expect(&place.run(&[&FIT[..], &["--set", "C=1"]].concat()), 1, "outside its bounds 50 to 50000");
    expect(&place.run(&[&FIT[..], &["--starts", "0"]].concat()), 2, "1..=1000");
    expect(&place.run(&[&FIT[..], &["--keep-initial"]].concat()), 2, "--validate");
    expect(&place.run(&["fit", "--help"]), 0, "RFC 3339");
}

/// Where the model is linear in the parameter near the optimum, its profile is the interval by the standard error.
#[test]
fn a_profile_is_given_where_it_is_asked_for() {
    let place = Place::new();
    place.write("data.csv", &csv(&heated(300, 35.0, 12)));
    let json = place.json(&[&FIT[..], &["--profile", "k,T0", "--starts", "1"]].concat());
    assert_eq!(json["profiles"].as_object().unwrap().len(), 2);
    for name in ["k", "T0"] {
        let of = |path: &str| number(&json, path.replace("NAME", name).as_str());
        let half = of("/parameters/NAME/upper95") - of("/parameters/NAME/value");
        for (end, sign) in [("lower", -1.0), ("upper", 1.0)] {
            let distance = sign * (of(&format!("/profiles/NAME/{end}")) - of("/parameters/NAME/value"));
            assert!((distance / half - 1.0).abs() < 0.05, "{name} {end}: {distance} and {half}");
            assert_eq!(json["profiles"][name][format!("{end}_end")], "crossed");
        }
    }
    expect(&place.run(&[&FIT[..], &["--profile", "k"]].concat()), 0, "crossed, crossed");
    expect(&place.run(&[&FIT[..], &["--profile", "kk"]].concat()), 2, "did you mean `k`?");
}

#[test]
fn validation_estimates_only_initial_states_anew_unless_told_to_keep_them() {
    let place = Place::new();
    place.write("data.csv", &csv(&heated(600, 35.0, 3)));
    place.write("other.csv", &csv(&heated(300, 120.0, 4)));
    let validated = [&FIT[..], &["--validate", "other.csv"]].concat();
    let json = place.json(&validated);
    assert!((number(&json, "/validation/rmse") - 0.2).abs() < 0.03, "{}", json["validation"]);
    assert!(number(&json, "/validation/fit_percent") > 98.0);
    assert!((number(&json, "/validation/initial/T0") - 120.0).abs() < 0.5);
    let alone = place.json(&FIT);
    for key in ["parameters", "cost", "samples"] {
        assert_eq!(json[key], alone[key], "{key} is that of the fit");
    }
    let kept = place.json(&[&validated[..], &["--keep-initial"]].concat());
    assert!(number(&kept, "/validation/rmse") > 10.0, "{}", kept["validation"]);
    // Where nothing of it was estimated, nothing is.
    let fixed = place.json(&[&validated[..], &["--parameters", "C,k", "--set", "T0=35"]].concat());
    assert!(
        number(&fixed, "/validation/rmse") > 10.0 && fixed["validation"]["initial"].as_object().unwrap().is_empty()
    );
    expect(&place.run(&validated), 0, "estimated anew, as they belong to the data: T0 = 12");
    place.write("other.csv", "time,P,Ta,Temperature\n0,1,2,\n1,1,2,\n");
    expect(&place.run(&validated), 1, "no output of the model was measured");
}

#[test]
fn several_files_are_fitted_together_each_with_a_start_of_its_own() {
    let place = Place::new();
    let starts = [35.0, 90.0, 150.0];
    for (name, start) in ["a.csv", "b.csv", "c.csv"].iter().zip(starts) {
        place.write(name, &csv(&heated(150, start, start as u64)));
    }
    let fit = ["fit", "--model", "model.toml", "--data", "a.csv", "--data", "b.csv", "--data", "c.csv"];
    let json = place.json(&fit);
    let alone = place.json(&fit[..5]);
    for (name, truth) in &TRUTH[..2] {
        let of = |json: &Value, key: &str| number(json, &format!("/parameters/{name}/{key}"));
        assert!((of(&json, "value") - truth).abs() < 4.0 * of(&json, "standard_error"), "{name}: {json}");
        assert!(of(&json, "standard_error") < 0.7 * of(&alone, "standard_error"), "three times the data");
    }
    assert!(json["parameters"].get("T0").is_none() && number(&alone, "/parameters/T0/value") > 0.0);
    assert_eq!((json["samples"].as_u64(), json["degrees_of_freedom"].as_u64()), (Some(450), Some(445)));
    let experiments = json["experiments"].as_array().unwrap();
    for ((experiment, start), name) in experiments.iter().zip(starts).zip(["a.csv", "b.csv", "c.csv"]) {
        let of = |key: &str| number(experiment, &format!("/parameters/T0/{key}"));
        assert!((of("value") - start).abs() < 4.0 * of("standard_error") && of("lower95") < of("upper95"));
        assert_eq!(
            (&experiment["data"], &experiment["end"], experiment["samples"].as_u64()),
            (&Value::from(name), &Value::from("745"), Some(150))
        );
    }
    assert_eq!(alone["experiments"][0]["parameters"], serde_json::json!({}));
    let text =
        String::from_utf8(place.run(&[&fit[..], &["--plot", "all.svg", "--profile", "T0"]].concat()).stdout).unwrap();
    assert!(text.contains("fitted to a.csv, b.csv, c.csv: 450 measurements in 450 rows"), "{text}");
    let row =
        text.lines().find(|line| line.contains("c.csv") && line.contains("T0")).unwrap_or_else(|| panic!("{text}"));
    assert!(row.split_whitespace().any(|word| word.starts_with("149.") || word.starts_with("150.")), "{row}");
    assert!(text.contains("T0 of experiment 3"), "{text}");
    let picture = fs::read_to_string(place.path("all.svg")).unwrap();
    assert!(["a.csv", "b.csv", "c.csv"].iter().all(|name| picture.contains(&format!("fitted to {name}"))));
    // What else belongs to a run says so: here the loss, as if the vessel were insulated anew each time.
    place.write(
        "model.toml",
        &MODEL.replace("max = 500, scale = \"log\"", "max = 500, scale = \"log\", per_experiment = true"),
    );
    let json = place.json(&fit);
    assert_eq!(json["parameters"].as_object().unwrap().keys().collect::<Vec<_>>(), ["C"]);
    for experiment in json["experiments"].as_array().unwrap() {
        assert!((number(experiment, "/parameters/k/value") / 2.2 - 1.0).abs() < 0.1, "{experiment}");
    }
    expect(&place.run(&["simulate", "--model", "model.toml", "--data", "a.csv", "--data", "b.csv"]), 2, "--data");
    expect(&place.run(&["fit", "--model", "model.toml"]), 2, "--data");
}

#[test]
fn behind_a_gap_of_an_input_is_another_experiment() {
    let place = Place::new();
    let rows = heated(400, 35.0, 9);
    // While the power was switched on and off again nobody recorded it.
    let mut text = "time,P,Ta,Temperature\n".to_owned();
    for (index, [t, p, ta, y]) in rows.iter().enumerate() {
        let power = if (110..250).contains(&index) { String::new() } else { p.to_string() };
        writeln!(text, "{t},{power},{ta},{y}").unwrap();
    }
    place.write("data.csv", &text);
    let held = place.json(&FIT);
    assert!(number(&held, "/rmse") > 5.0 && held["experiments"].as_array().unwrap().len() == 1);
    let model = MODEL.replace("\"HeaterPower\" }", "\"HeaterPower\", max_gap = \"20s\" }");
    place.write("model.toml", &model);
    let json = place.json(&FIT);
    assert_eq!(json["samples"].as_u64(), Some(110 + 150));
    assert!((number(&json, "/rmse") - 0.2).abs() < 0.03, "{json}");
    for (name, truth) in &TRUTH[..2] {
        let of = |key: &str| number(&json, &format!("/parameters/{name}/{key}"));
        assert!((of("value") - truth).abs() < 4.0 * of("standard_error"), "{name}: {json}");
    }
    let experiments = json["experiments"].as_array().unwrap();
    let spans: Vec<_> = experiments.iter().map(|one| (&one["start"], &one["end"])).collect();
    assert_eq!(spans, [(&Value::from("0"), &Value::from("545")), (&Value::from("1250"), &Value::from("1995"))]);
    assert!((number(&experiments[0], "/parameters/T0/value") - 35.0).abs() < 0.5);
    assert!((number(&experiments[1], "/parameters/T0/value") - rows[250][3]).abs() < 1.0);
    let output = place.run(&[&FIT[..], &["--plot", "gap.svg", "--validate", "data.csv"]].concat());
    expect(&output, 0, "140 measurements are left out: an input has no value for longer than its `max_gap`");
    expect(&output, 0, "in experiment 2");
    let picture = fs::read_to_string(place.path("gap.svg")).unwrap();
    let line = picture
        .lines()
        .find(|line| line.contains("stroke=\"#0072b2\" stroke-width=\"1.6\" stroke-linejoin") && line.contains('L'));
    assert_eq!(line.unwrap().matches('M').count(), 2, "the line is broken where nothing is known");
    // What is simulated says nothing there, and starts anew behind it.
    let set = ["--set", "C=900", "--set", "k=2.2", "--set", "T0=35", "--output", "out.csv"];
    let json = place.json(&[&["simulate", "--model", "model.toml", "--data", "data.csv"][..], &set].concat());
    assert_eq!(json["outputs"]["Temperature"]["samples"].as_u64(), Some(260));
    let out = fs::read_to_string(place.path("out.csv")).unwrap();
    let cell = |row: usize| out.lines().nth(1 + row).unwrap().rsplit(',').next().unwrap().parse::<f64>().ok();
    assert_eq!(
        (cell(0), cell(109).is_some(), cell(110), cell(249), cell(250)),
        (Some(35.0), true, None, None, Some(35.0))
    );
    place.write("model.toml", &MODEL.replace("\"HeaterPower\" }", "\"HeaterPower\", max_gap = \"0s\" }"));
    expect(&place.run(&FIT), 3, "max_gap");
}

#[test]
fn what_is_simulated_can_be_fitted_and_gives_the_parameters_back() {
    let place = Place::new();
    let inputs = heated(400, 0.0, 5)
        .iter()
        .fold("time,HeaterPower,Ta\n".to_owned(), |text, [t, p, ta, _]| format!("{text}{t},{p},{ta}\n"));
    place.write("inputs.csv", &inputs);
    let simulate = ["simulate", "--model", "model.toml", "--data", "inputs.csv", "--output", "data.csv"];
    let set = ["--set", "C=900", "--set", "k=2.2", "--set", "T0=35"];
    let json = place.json(&[&simulate[..], &set].concat());
    assert_eq!((json["rows"].as_u64(), json["samples"].as_u64(), &json["rmse"]), (Some(400), Some(0), &Value::Null));
    let first = fs::read_to_string(place.path("data.csv")).unwrap();
    assert_eq!(first.lines().take(2).collect::<Vec<_>>(), ["time,P,Ta,Temperature", "0,0,20,35"]);
    let json = place.json(&FIT);
    for (name, truth) in TRUTH {
        let value = number(&json, &format!("/parameters/{name}/value"));
        assert!((value / truth - 1.0).abs() < 1e-6, "{name}: {value}");
    }
    // Beside its own result the model has no residuals.
    let again = place.json(&[&["simulate", "--model", "model.toml", "--data", "data.csv"][..], &set].concat());
    assert!(number(&again, "/rmse") < 1e-9 && number(&again, "/outputs/Temperature/fit_percent") > 99.999);
    expect(&place.run(&[&simulate[..], &set].concat()), 0, "400 rows over 1995 s");
}

#[test]
fn instants_semicolons_and_decimal_commas_say_the_same_as_plain_seconds() {
    let place = Place::new();
    let rows = heated(200, 35.0, 6);
    place.write("data.csv", &csv(&rows));
    let plain = place.json(&FIT);
    let mut text = "\u{feff}time;HeaterPower;Ta;Temperature;remark\r\n".to_owned();
    for [t, p, ta, y] in &rows {
        let (minute, second) = (t / 60.0, t % 60.0);
        let instant = format!("2026-03-01T{:02}:{:02}:{second:02}+01:00", (minute / 60.0) as u32, minute as u32 % 60);
        writeln!(
            text,
            "{instant};{p};{ta};\" {y} \";n/a\r",
            ta = ta.to_string().replace('.', ","),
            y = y.to_string().replace('.', ",")
        )
        .unwrap();
    }
    place.write("data.csv", &text);
    let other = place.json(&FIT);
    assert_eq!((&plain["parameters"], &plain["cost"]), (&other["parameters"], &other["cost"]));
}

#[test]
fn missing_cells_are_missing_samples_and_when_leaves_samples_out() {
    let place = Place::new();
    let rows = heated(400, 35.0, 7);
    let mut text = "time,P,Ta,Temperature,Mode\n".to_owned();
    for (index, [t, p, ta, y]) in rows.iter().enumerate() {
        let temperature = match index {
            0..20 => y.to_string(),
            20..40 => "NaN".to_owned(),
            // While the mode is 2 the sensor lies.
            200..250 => "-77".to_owned(),
            _ if index % 4 > 0 => String::new(),
            _ => y.to_string(),
        };
        let mode = if index % 50 > 0 {
            ""
        } else if index == 200 {
            "2"
        } else {
            "1"
        };
        // Given once in ten rows, and from the third row on.
        let ambient = if index >= 2 && index % 10 == 2 { ta.to_string() } else { String::new() };
        writeln!(text, "{t},{p},{ambient},{temperature},{mode}").unwrap();
    }
    place.write("data.csv", &text);
    let all = place.json(&FIT);
    assert_eq!(all["samples"].as_u64(), Some(18 + 40 + 50 + 37));
    assert!(number(&all, "/rmse") > 5.0);
    place.write("model.toml", &format!("{MODEL}[fit]\nwhen = \"Mode != 2\"\n"));
    let json = place.json(&FIT);
    assert_eq!(json["samples"].as_u64(), Some(18 + 40 + 37));
    assert!(number(&json, "/rmse") < 0.3, "{json}");
    let output = place.run(&FIT);
    for note in [
        "the first 2 rows are left out: an input has no value yet",
        "50 measurements are left out by the model's `when`",
    ] {
        expect(&output, 0, note);
    }
    place.write("model.toml", &format!("{MODEL}[fit]\nwhen = \"Mod != 2\"\n"));
    expect(&place.run(&FIT), 3, "model.toml:17:9: fit.when: unknown name `Mod`; did you mean `Mode`?");
}

#[test]
fn what_the_data_do_not_determine_is_null_and_named() {
    let place = Place::new();
    let model =
        MODEL.replace("[input]", "idle = { value = 1, min = 0, max = 2 }\n[input]").replace("k*(T", "(k + 0*idle)*(T");
    place.write("model.toml", &model);
    place.write("data.csv", &csv(&heated(200, 35.0, 8)));
    let json = place.json(&FIT);
    assert_eq!(json["parameters"]["idle"]["standard_error"], Value::Null);
    assert_eq!(json["condition_number"], Value::Null, "infinite");
    assert_eq!(json["null_directions"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["idle"]);
    expect(&place.run(&FIT), 0, "no standard error, see below");
    expect(&place.run(&FIT), 0, "the data do not determine `idle`");
    let bounded = MODEL
        .replace("max = 500, scale", "max = 10, min_ = 0, scale")
        .replace(", min_ = 0", "")
        .replace("min = 0.05, max = 10", "min = 4, max = 10");
    place.write("model.toml", &bounded);
    let json = place.json(&FIT);
    assert_eq!((&json["parameters"]["k"]["at_bound"], number(&json, "/parameters/k/value")), (&Value::Bool(true), 4.0));
    expect(&place.run(&FIT), 0, "at its lower bound 4");
}

#[test]
fn faults_of_a_models_file_are_all_said_with_their_places_and_end_with_3() {
    let place = Place::new();
    place.write("data.csv", &csv(&heated(20, 35.0, 9)));
    let model = MODEL
        .replace("(P - k*(T", "(P - kk*(T")
        .replace("sigma = 0.2", "sigme = 0.2")
        .replace("value = 20", "value = 999");
    place.write("model.toml", &model);
    for command in ["fit", "simulate"] {
        let output = place.run(&[command, "--model", "model.toml", "--data", "data.csv"]);
        for fault in [
            "model.toml:6:6: parameter.T0: value 999 is outside its bounds -50 to 500; move the value or the bounds",
            "model.toml:11:11: equation.T: unknown name `kk`; did you mean `k`?",
            "model.toml:14:1: output.Temperature.sigme: this key is not known; did you mean `sigma`?",
        ] {
            expect(&output, 3, fault);
        }
        // The model's faults are said whatever is wrong with the data.
        expect(&place.run(&[command, "--model", "model.toml", "--data", "none.csv"]), 3, "model.toml:11:11");
        expect(&place.run(&[command, "--model", "none.toml", "--data", "data.csv"]), 3, "none.toml: cannot be read");
    }
    place.write("model.toml", MODEL);
    expect(&place.run(&["fit", "--model", "model.toml", "--data", "none.csv"]), 1, "reading `none.csv`");
    expect(&place.run(&["fit", "--model", "model.toml"]), 2, "--data");
}

#[test]
fn faults_of_the_data_have_line_and_column_and_are_not_endless() {
    let place = Place::new();
    let good = "time,P,Ta,Temperature\n0,1,20,20\n1,1,20,21\n";
    for (text, fault) in [
        ("", "data.csv:1:1: the file is empty"),
        ("time,P,Ta,Temperature\n", "data.csv:1:1: there are no rows"),
        ("Time,P,Ta,Temperature\n", "data.csv:1:1: time: the first line names no column `time`; did you mean `Time`?"),
        ("zeit;P;Ta\n", "there is zeit, P, Ta; columns are parted by comma, semicolon or tab"),
        (
            &good.replace("P,", "HeatrPower,"),
            "data.csv:1:1: P: the input has no column of its name, P or HeaterPower; did you mean `HeatrPower`?",
        ),
        (&good.replace(",Ta", ",P"), "data.csv:1:1: P: two columns have this name"),
        (&good.replace(",20,", ",,"), "data.csv:1:1: Ta: an input without any value"),
        (&good.replace("20,21", "20,2l"), "data.csv:3:8: Temperature: \"2l\" is not a number"),
        (&good.replace("1,1,20", "1, inf,20"), "data.csv:3:4: P: \"inf\" is not a finite number"),
        (
            &good.replace("\n1,1", "\n0,1"),
            "data.csv:3:1: time: \"0\" is not later than the time before, 0; sort the rows",
        ),
        (&good.replace("\n1,1", "\n,1"), "data.csv:3:1: time: the time is missing"),
        (
            &good.replace("\n1,1", "\n2026-01-01T00:00:00Z,1"),
            "data.csv:3:1: time: \"2026-01-01T00:00:00Z\" is not a number",
        ),
        (
            &good.replace("\n0,1", "\n2026-01-01 00:00,1"),
            "data.csv:2:1: time: \"2026-01-01 00:00\" is neither seconds nor RFC 3339",
        ),
        (&good.replace("20,21", "20"), "data.csv:3:1: 3 cells, but the first line names 4 columns"),
        (&good.replace("20,21", "20,\"21"), "data.csv:3:8: a quote is not closed"),
        (&good.replace("20,21", "20,\0"), "data.csv:3:1: this is not text in UTF-8"),
        (&format!("{good}2,{}", "9".repeat(2 << 20)), "data.csv:4:1: the line is longer than 1 MiB"),
        (
            &good.replace("Temperature", "Temprature"),
            "the output `Temperature` has no column; did you mean `Temprature`?",
        ),
    ] {
        place.write("data.csv", text);
        expect(&place.run(&FIT), 1, fault);
    }
    let wrong = (0..1000).fold("time,P,Ta,Temperature\n".to_owned(), |text, i| format!("{text}{i},x,20,y\n"));
    place.write("data.csv", &wrong);
    let output = place.run(&FIT);
    expect(&output, 1, "… and 1980 faults more");
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 21);
    fs::File::create(place.path("data.csv")).unwrap().set_len(300 << 20).unwrap();
    expect(&place.run(&FIT), 1, "data.csv: the file is larger than 256 MiB");
}

#[test]
fn what_cannot_be_fitted_or_simulated_fails_with_a_sentence() {
    let place = Place::new();
    place.write("data.csv", "time,P,Ta,Temperature\n0,1,20,20\n1,1,20,21\n");
    expect(&place.run(&FIT), 1, "2 samples are too few to estimate 3 parameters");
    place.write("model.toml", &MODEL.replace("(P - k*(T - Ta))/C", "T^2 + 1"));
    place.write("data.csv", &csv(&heated(20, 35.0, 9)));
    expect(&place.run(&["simulate", "--model", "model.toml", "--data", "data.csv"]), 1, "simulating: ");
    expect(&place.run(&FIT), 1, "the model can't be simulated with the parameters in force");
    place.write("model.toml", MODEL);
    let nowhere = [&FIT[..], &["--plot", "no/folder.svg"]].concat();
    expect(&place.run(&nowhere), 1, "writing `no/folder.svg`");
}

/// Numbers behind `d="` of every path, and what else the picture must be.
fn check_picture(path: &Path, bytes_max: u64) -> String {
    assert!(fs::metadata(path).unwrap().len() < bytes_max, "{}", fs::metadata(path).unwrap().len());
    let svg = fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    for tag in ["text", "g", "clipPath"] {
        assert_eq!(svg.matches(&format!("<{tag} ")).count(), svg.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    svg
}

#[test]
fn pictures_show_data_simulation_residuals_and_bands_and_stay_small() {
    let place = Place::new();
    place.write("model.toml", &MODEL.replace("[output.Temperature]", "[output.\"A<B & C\"]"));
    let renamed = |rows: usize, seed: u64| csv(&heated(rows, 35.0, seed)).replace("Temperature", "\"A<B & C\"");
    place.write("data.csv", &renamed(200_000, 10));
    place.write("other.csv", &renamed(300, 11));
    let picture = ["--validate", "other.csv", "--plot", "fit.svg", "--starts", "1"];
    expect(&place.run(&[&FIT[..], &picture].concat()), 0, "converged");
    let svg = check_picture(&place.path("fit.svg"), 400_000);
    for words in [
        "A&lt;B &amp; C in °C",
        "measured − simulated in °C",
        "fitted to data.csv",
        "validated with other.csv",
        "RMSE 0.",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(svg.contains("time in d") && svg.contains("time in min") && svg.contains("95 % of simulation"));
    // 200,000 measurements of 300 rows of pixels: strokes that reach as far as the noise.
    assert!(svg.matches("V").count() > 1_000);
    let simulate = ["simulate", "--model", "model.toml", "--data", "other.csv", "--plot", "simulation.svg"];
    expect(&place.run(&simulate), 0, "A<B & C");
    assert!(
        !check_picture(&place.path("simulation.svg"), 100_000).contains("95 %"),
        "nothing is known of the parameters"
    );
}

#[test]
fn every_ready_made_model_simulates_from_a_file() {
    let place = Place::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/models");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let model = uatwin::config::load_model(&path, &[]).unwrap().model;
        let mut text = "time".to_owned();
        model.inputs().iter().for_each(|input| write!(text, ",{}", input.variable).unwrap());
        for second in 0..50 {
            write!(text, "\n{second}").unwrap();
            model.inputs().iter().for_each(|_| write!(text, ",{}", second / 10 + 1).unwrap());
        }
        place.write("data.csv", &text);
        let json = place.json(&["simulate", "--model", path.to_str().unwrap(), "--data", "data.csv"]);
        assert_eq!(json["outputs"].as_object().unwrap().len(), model.outputs().len(), "{}", path.display());
        assert_eq!(json["rows"].as_u64(), Some(50));
    }
}
