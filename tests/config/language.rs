//! The documentation of the model language against the reader of models.

use std::path::Path;

use uatwin::{
    config::{self, Fault},
    simulate::{Method, Options},
};

const TEXT: &str = include_str!("../../src/model/language.md");

/// The blocks of TOML in the documentation.
fn blocks() -> Vec<&'static str> {
    TEXT.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

fn faults(text: &str) -> Vec<Fault> {
    config::parse_model(text, "model.toml", &[]).err().unwrap_or_default()
}

#[test]
fn every_model_of_the_documentation_is_one() {
    assert!(blocks().len() >= 3);
    for block in blocks() {
        assert_eq!(faults(block), [], "{block}");
    }
}

#[test]
fn every_key_that_is_read_is_documented_in_its_section() {
    for (section, table) in [
        ("state", "state.x"),
        ("parameter", "parameter.p"),
        ("input", "input.u"),
        ("output", "output.y"),
        ("fit", "fit"),
        ("live", "live"),
        ("solver", "solver"),
    ] {
        // The fault of an unknown key lists those that are known.
        let faults = faults(&format!("[{table}]\nquite_unlike_any = 1\n"));
        let fault = faults.iter().find(|fault| fault.message.contains("not known")).unwrap();
        let keys = fault.remedy.strip_prefix("there is ").unwrap_or_else(|| panic!("{fault}"));
        let (_, after) = TEXT.split_once(&format!("\n## `[{section}")).unwrap();
        let documented = after.split("\n#").next().unwrap();
        for key in keys.split(", ") {
            assert!(documented.contains(&format!("`{key}`")), "[{section}] says nothing of `{key}`");
        }
    }
    let faults = faults("quite_unlike_any = 1\n");
    let tables = faults.iter().find(|fault| fault.message.contains("not known")).unwrap();
    for table in tables.remedy.strip_prefix("there is ").unwrap().split(", ") {
        assert!(TEXT.contains(&format!("\n## `[{table}")), "nothing is said of [{table}]");
    }
}

/// The faults that the documentation shows, made by the model of its first chapter with one thing wrong each.
#[test]
fn faults_are_as_the_documentation_shows_them() {
    let model = blocks()[0];
    for (right, wrong) in [
        ("loss = \"k*(T", "loss = \"kk*(T"),
        ("T = \"(P - loss)/C\"", "T = \"(P - loss/C\""),
        ("max = 5e5", "max = 500"),
        ("scale = \"log\"", "scal = \"log\""),
    ] {
        assert!(model.contains(right), "{right}");
        let faults = config::parse_model(&model.replacen(right, wrong, 1), "heater.toml", &[]).unwrap_err();
        // Lines move with the text; what is said does not.
        let said = faults[0].to_string().splitn(4, ':').nth(3).unwrap().to_owned();
        assert!(TEXT.contains(&said), "{}", faults[0]);
        assert!(faults.len() == 1 && faults[0].line > 0 && faults[0].column > 0, "{faults:?}");
    }
}

#[test]
fn a_models_file_is_read_without_a_twin() {
    let text = "[parameter.a]\nvalue = 2\n[input.U]\nvariable = \"Valve\"\n[output.Y]\nexpr = \"a*U\"\nunit = \"m\"\n[fit]\n\
                when = \"Mode == 1 && Valve > 0 && Y < 9\"\nseed = 7\n";
    let columns = ["time".to_owned(), "Mode".to_owned()];
    let file = config::parse_model(text, "a.toml", &columns).unwrap();
    assert_eq!((file.fit.seed, file.fit.starts, file.output_units), (7, 8, vec!["m".to_owned()]));
    assert_eq!(file.names, ["time", "Mode", "U", "Valve", "Y"]);
    assert_eq!(file.fit.when.unwrap().uses(), [false, true, false, true, true]);
    let unknown = config::parse_model(text, "a.toml", &[]).unwrap_err();
    assert_eq!(unknown[0].to_string().split(": ").next(), Some("a.toml:9:9"), "{unknown:?}");
    let missing = config::load_model(Path::new("/nowhere/a.toml"), &[]).unwrap_err();
    assert!(missing[0].to_string().starts_with("/nowhere/a.toml: cannot be read"), "{missing:?}");
}

#[test]
fn a_solver_is_read_and_all_its_faults_are_said_where_they_stand() {
    let model = "[output.y]\nexpr = \"1\"\n[solver]\n";
    let options = |keys: &str| config::parse_model(&format!("{model}{keys}"), "a.toml", &[]).map(|file| file.solver);
    let defaults = options("").unwrap();
    assert_eq!(defaults, Options::default());
    assert_eq!(
        options("method = \"radau5\"\nrtol = 1e-9\natol = 1e-15\nmax_steps = 1_000\n").unwrap(),
        Options { rtol: 1e-9, atol: 1e-15, steps_max: 1_000, method: Method::Radau5 }
    );
    assert_eq!(options("method = \"dopri5\"\n").unwrap().method, Method::Dopri5);
    assert_eq!(options("method = \"bdf\"\n").unwrap().method, Method::Radau5);
    // What the documentation says of them.
    let said = TEXT.split_once("\n## `[solver]`").unwrap().1.split("\n#").next().unwrap();
    assert!(said.contains(&format!("Default {}", defaults.steps_max)));
    assert!(
        said.contains(&format!("Default {:e}", defaults.rtol))
            && said.contains(&format!("Default {:e}", defaults.atol))
    );

    let faults = options("method = \"euler\"\nrtol = 0.5\natol = 0\nmax_steps = 0\nrtoll = 1\n").unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(places, [(4, 10), (5, 8), (6, 8), (7, 13), (8, 1)], "{faults:?}");
}
