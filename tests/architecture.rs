//! The order of `mod` lines in `src/lib.rs` is the import order: a module uses only modules declared above it. Reading
//! order, data flow and dependencies are therefore one list, and these tests keep it true.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The only places that speak OPC UA; `sample` re-exports its StatusCode.
const SPEAK_OPC_UA: [&str; 6] = ["ua", "pki", "southbound/opcua_client", "northbound", "plant", "sample"];

#[test]
fn modules_import_only_modules_declared_above_them() {
    let order = declared_modules(&read(&source_root().join("lib.rs")));
    assert!(order.len() > 10, "lib.rs is not read right: {order:?}");
    let mut wrong = Vec::new();
    for (path, source) in sources() {
        let module = path.split(['/', '.']).next().unwrap_or_default().to_owned();
        let Some(own) = rank(&order, &module) else { continue }; // lib.rs and main.rs stand above all
        for used in crate_paths(&source) {
            if rank(&order, &used).is_some_and(|used_rank| own < used_rank) {
                wrong.push(format!("{path} uses crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the flow:\n{}", wrong.join("\n"));
}

#[test]
fn opc_ua_is_spoken_only_at_the_edges() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(path, source)| {
            !SPEAK_OPC_UA.iter().any(|place| path.starts_with(place)) && code(source).contains("opcua::")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "opcua:: outside its places: {wrong:?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(_, source)| !(source.starts_with("//!") || source.starts_with("#![doc")))
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "no //! at the top of: {wrong:?}");
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below `src`, by its path from there.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = source_root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.iter().map(|path| (path.strip_prefix(&root).unwrap().display().to_string(), read(path))).collect()
}

fn declared_modules(lib_rs: &str) -> Vec<String> {
    let name =
        |line: &str| Some(line.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?.to_owned());
    lib_rs.lines().filter_map(name).collect()
}

fn rank(order: &[String], name: &str) -> Option<usize> {
    order.iter().position(|module| module == name)
}

/// Without comments and without a file's unit tests, which may look around freely.
fn code(source: &str) -> String {
    let body = source.split("#[cfg(test)]").next().unwrap_or_default();
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// First segments of every `crate::a` and `crate::{a::B, c}` path.
fn crate_paths(source: &str) -> Vec<String> {
    let code = code(source);
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => found.push(identifier(rest)),
            Some(group) => found.extend(group_heads(group)),
        }
    }
    found
}

fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.push(identifier(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => (),
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn finds_paths_in_groups_and_ignores_comments() {
    let paths = crate_paths("use crate::{app::{run, Exit}, sample};\n// crate::nope\nlet x = crate::history::y;");
    assert_eq!(paths, ["app", "sample", "history"]);
}
