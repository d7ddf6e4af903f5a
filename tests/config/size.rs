//! Large and hostile configs.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::{EXAMPLE, parse};

#[test]
fn ten_thousand_twins_are_read() {
    let mut text = EXAMPLE.to_owned();
    for i in 0..10_000 {
        let _ =
            write!(text, "[twin.H{i}]\ntype = \"Heater\"\nplc = \"line1\"\ndevice = \"HTR{i}\"\nparameter.C = 50.5\n");
    }
    let config = parse(&text).unwrap();
    assert_eq!(config.twins.twins.len(), 10_002);
    assert_eq!(config.twins.series_len(), 10_002 * 13);
}

#[test]
fn more_faults_than_anybody_mends_are_counted() {
    let mut text = String::new();
    for i in 0..100_000 {
        let _ = write!(text, "[twin.H{i}]\ntype = \"Heatr{i}\"\n[plc.a{i}]\nendpoint = \"opc.tcp://h:1\"\n");
    }
    let faults = parse(&text).unwrap_err();
    assert_eq!(faults.len(), 1_000);
    assert!(faults[999].remedy.ends_with("(and 99000 faults more)"), "{}", faults[999]);
}

#[test]
fn hostile_texts_give_faults() {
    let deep_key = format!("{}a = 1", "a.".repeat(100_000));
    let deep_list = format!("a = {}", "[".repeat(100_000));
    let deep_table = format!("[{}a]", "a.".repeat(100_000));
    let deep_expression = format!("[twin_type.A.model]\noutput.y.expr = \"{}\"", "(".repeat(10_000));
    let many_faults = "[twin.a]\n".repeat(20_000);
    for text in [
        deep_key,
        deep_list,
        deep_table,
        deep_expression,
        many_faults,
        "\0".into(),
        "\u{feff}".repeat(3),
        "a = \"".into(),
    ] {
        assert!(parse(&text).is_err(), "{}", &text[..text.len().min(40)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is cut out, put in or doubled: a config or faults, never a panic.
    #[test]
    fn a_mutated_config_never_panics(edits in prop::collection::vec((0..EXAMPLE.len(), 0usize..12, "[\\[\\]{}\"'.=,:;/&%°a-z0-9\n -]{0,8}"), 1..6)) {
        let mut text = EXAMPLE.to_owned();
        for (at, cut, put) in edits {
            let floor = |at: usize, text: &str| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (start, end) = (floor(at, &text), floor(at + cut, &text));
            text.replace_range(start..end, &put);
        }
        if let Err(faults) = parse(&text) {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                prop_assert!(fault.line >= 1 && fault.column >= 1 && fault.line <= text.lines().count() + 1, "{}", fault);
            }
        }
    }
}
