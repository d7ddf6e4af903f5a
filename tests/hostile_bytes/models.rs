//! Texts that are no models, or models that nobody means: what is wrong is said, whatever they try.

use std::fmt::Write as _;

use uatwin::config::parse_model;

use super::limited_to;

/// For any of them.
const MOST: u64 = 64 << 20;

pub(crate) fn hostile_models() {
    let equation = |expression: String| {
        format!(
            "[state.x]\ninit = 0\n[parameter.a]\nvalue = 1\n[equation]\nx = \"{expression}\"\n[output.y]\nexpr = \"x\"\n"
        )
    };
    let many = |table: &dyn Fn(usize) -> String, count: usize| {
        (0..count).fold(equation("a".into()), |mut text, i| {
            let _ = writeln!(text, "{}", table(i));
            text
        })
    };
    let nested = |n: usize| format!("{}x{}", "(".repeat(n), ")".repeat(n));
    // Of helpers that each use the one before twice: 2^200 operations if they were written out.
    let doubling = |i: usize| format!("h{} = \"h{i} + h{i}\"", i + 1);
    let texts = [
        ("a million parentheses", equation(nested(1_000_000))),
        ("as many as an expression may have", equation(nested(8_000))),
        ("parentheses without end", equation("(".repeat(16_000))),
        ("a million operations", equation(vec!["a*x"; 1_000_000].join("+"))),
        ("operations in helpers", many(&|i| format!("let.h{i} = \"{}\"", vec!["t*x"; 4_000].join("+")), 28)),
        ("a million signs", equation("-".repeat(1_000_000))),
        ("towers of powers", equation(vec!["x"; 8_000].join("^"))),
        ("a name of five million letters", equation("q".repeat(5_000_000))),
        ("a key of five million letters", format!("{} = 1", "q".repeat(5_000_000))),
        ("two hundred thousand states", many(&|i| format!("[state.s{i}]\ninit = 0"), 200_000)),
        ("states as many as fit", many(&|i| format!("[state.s{i}]\ninit = 0"), 18_000)),
        ("parameters as many as fit", many(&|i| format!("[parameter.p{i}]\nvalue = 0"), 15_000)),
        ("keys as many as fit", many(&|i| format!("k{i}=1"), 50_000)),
        ("lists in lists", format!("a = {}", "[".repeat(500_000))),
        ("tables in tables", format!("[{}a]", "a.".repeat(250_000))),
        ("a circle", many(&|_| "[let]\nb = \"c\"\nc = \"b\"".into(), 1)),
        (
            "helpers that double, and one unknown",
            many(&|i| if i == 0 { "[let]\nh0 = \"zz\"".into() } else { doubling(i - 1) }, 200),
        ),
    ];
    for (name, text) in texts {
        let refused = limited_to(MOST, || parse_model(&text, "m.toml", &[]).is_err());
        assert!(refused, "{name}");
    }
}
