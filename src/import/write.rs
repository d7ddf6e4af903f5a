//! The config as text: what runs, and in comments what was found besides.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::{
    devices::{Device, Member, devices},
    names,
    toml_text::{Key, Text, comment},
    tree::Tree,
    twin_types::{self, TwinType, twin_types},
};
use crate::{
    config::NameKind,
    southbound::{
        SecurityMode,
        survey::{Facts, Shape, Survey, What},
    },
    twin::DataType,
};

/// Places that a comment names before it only counts.
const NAMED_MAX: usize = 5;
/// A config's own sampling interval, where it says none.
const SAMPLING_DEFAULT: Duration = Duration::from_secs(1);

/// Where the survey comes from, and what the config needs to say of it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Of the PLC's server.
    pub url: String,
    /// For `[plc.NAME]`.
    pub plc: String,
    /// The endpoint's policy.
    pub policy: String,
    /// The endpoint's mode.
    pub mode: SecurityMode,
    /// Name, and the environment variable that holds the password.
    pub user: Option<(String, String)>,
    /// When, in words.
    pub at: String,
    /// Where the survey began, if not at Objects.
    pub root: Option<String>,
    /// Where the twins' server listens.
    pub port: u16,
    /// Of the certificates; `None`: the default.
    pub pki_dir: Option<String>,
}

/// A config, and what it holds.
#[derive(Clone, Debug)]
pub struct Written {
    /// The whole file.
    pub text: String,
    /// Nodes of the survey.
    pub nodes: usize,
    /// Variables among them.
    pub variables: usize,
    /// Of these, those that twins have.
    pub taken: usize,
    /// Twin types.
    pub types: usize,
    /// Twins.
    pub twins: usize,
}

/// Makes a config of a survey.
#[must_use]
pub fn write(survey: &Survey, origin: &Origin) -> Written {
    let mut written =
        Written { text: String::new(), nodes: survey.nodes.len(), variables: 0, taken: 0, types: 0, twins: 0 };
    let plc = names::valid(NameKind::Plc, &origin.plc);
    let mut body = String::new();
    let mut at_the_end = Vec::new();
    if !survey.nodes.is_empty() {
        let tree = Tree::of(survey);
        written.variables = tree.variables_len[0];
        let (types, empty) = twin_types(&tree, &survey.root, devices(&tree, &survey.root));
        for of in &types {
            written.types += 1;
            written.twins += of.twins.len();
            written.taken += of.twins.iter().map(|(_, device)| device.variables.len()).sum::<usize>();
            twin_type(&mut body, of, &plc);
        }
        at_the_end = rest(&tree, survey, &empty);
    }
    let text = &mut written.text;
    let counts = format!(
        "{} nodes, {} variables; {} of them below, in {} and {}",
        survey.nodes.len(),
        written.variables,
        written.taken,
        counted(written.types, "twin type"),
        counted(written.twins, "twin")
    );
    head(text, origin, &plc, &counts, survey.truncated);
    text.push_str(&body);
    if !at_the_end.is_empty() {
        comment(text, "");
        comment(text, "Not taken:");
        at_the_end.iter().for_each(|line| comment(text, line));
    }
    written
}

fn counted(count: usize, what: &str) -> String {
    counted_as(count, what, &format!("{what}s"))
}

fn counted_as(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn head(text: &mut String, origin: &Origin, plc: &str, counts: &str, truncated: bool) {
    let root = origin.root.as_ref().map(|root| format!(", below {root}")).unwrap_or_default();
    comment(text, &format!("Written by `uatwin import` at {} from {}{root}:", origin.at, origin.url));
    comment(text, &format!("{counts}."));
    if truncated {
        comment(text, "There was more than one config can hold: import the rest from another node, with --root.");
    }
    comment(
        text,
        "It runs as it is: uatwin run --config THIS_FILE. Is it still what the PLC has? uatwin check --online --config THIS_FILE",
    );
    comment(
        text,
        "Nothing here is `writable`: what the PLC would let us write has a comment that says so. Every key: config/example.toml.",
    );
    text.push_str("\n[server]\n");
    text.push_str("# name = \"Line 1 twins\"\n");
    let _ = writeln!(text, "endpoint = \"opc.tcp://0.0.0.0:{}\"", origin.port);
    text.push_str("# advertise = \"twins.plant.example\"         # what clients are told to connect to; default: this host's name\n");
    text.push_str("# data_dir = \"data\"                         # history; relative to this file\n");
    match &origin.pki_dir {
        Some(dir) => {
            let _ = writeln!(text, "pki_dir = {}", Text(dir));
        }
        None => text.push_str("# pki_dir = \"certs\"                         # our certificate, and whom we trust\n"),
    }
    text.push_str("# [server.security]\n");
    text.push_str("# policies = [\"None\", \"Basic256Sha256\"]      # default: all but None\n");
    text.push_str("# anonymous = \"observer\"                     # what who gives no name may do: off, observer, operator, engineer\n");
    text.push_str("\n[history]\n# retention = \"3y\"                          # default: for ever\n");
    let _ = writeln!(text, "\n[plc.{}]\nendpoint = {}", Key(plc), Text(&origin.url));
    let mode = match origin.mode {
        SecurityMode::None => "None",
        SecurityMode::Sign => "Sign",
        SecurityMode::SignAndEncrypt => "SignAndEncrypt",
    };
    let _ = writeln!(text, "security_policy = {}\nsecurity_mode = \"{mode}\"", Text(&origin.policy));
    if let Some((name, variable)) = &origin.user {
        let _ = writeln!(text, "user.password = {{ name = {}, env = {} }}", Text(name), Text(variable));
    }
    text.push_str("# publishing_interval = \"500ms\"\n");
    text.push_str("# backfill = \"1h\"                           # how much of what was missed is fetched from the PLC's own history\n");
}

fn twin_type(text: &mut String, of: &TwinType<'_>, plc: &str) {
    text.push('\n');
    let objects = counted(of.twins.len(), "object");
    match of.object_type {
        Some(object_type) => {
            let namespace = object_type.namespace.as_deref().unwrap_or("the standard");
            comment(text, &format!("{objects} of the ObjectType {} of {namespace}.", object_type.text));
        }
        None if of.twins.len() > 1 => comment(text, &format!("{objects} of the same variables.")),
        None => {}
    }
    for (reason, names) in left_out(of) {
        comment(text, &format!("not taken: {reason} ({names})"));
    }
    let members = of.twins.first().map_or(&[][..], |(_, device)| device.variables.as_slice());
    for (place, member) in members.iter().enumerate() {
        let all: Vec<&Member<'_>> = of.twins.iter().filter_map(|(_, device)| device.variables.get(place)).collect();
        let blank = if place > 0 { "\n" } else { "" };
        let _ = writeln!(text, "{blank}[twin_type.{}.variable.{}]", Key(&of.name), Key(&member.name));
        if let Some(Some(line)) = of.sources.templates.get(place) {
            let _ = writeln!(text, "{} = {}", line.key(), Text(&line.0));
        }
        variable(text, member, &all);
    }
    for (index, (name, device)) in of.twins.iter().enumerate() {
        let _ = writeln!(text, "\n[twin.{}]\ntype = {}\nplc = {}", Key(name), Text(&of.name), Text(plc));
        if let Some(device) = of.sources.devices.as_ref().and_then(|devices| devices.get(index)) {
            let _ = writeln!(text, "device = {}", Text(device));
        }
        for (variable, template) in device.variables.iter().zip(&of.sources.templates) {
            if template.is_none() {
                let _ = writeln!(
                    text,
                    "variable.{}.{} = {}",
                    Key(&variable.name),
                    variable.line.key(),
                    Text(&variable.line.0)
                );
            }
        }
    }
}

/// What a variable is; `all`: the same variable of every twin.
fn variable(text: &mut String, member: &Member<'_>, all: &[&Member<'_>]) {
    let Member { data_type, facts, .. } = member;
    let name = DataType::ALL.iter().find(|(of, _)| of == data_type).map_or("Double", |(_, name)| *name);
    let _ = writeln!(text, "data_type = \"{name}\"");
    if facts.shape == Shape::Array {
        text.push_str("array = true\n");
    }
    let says = |facts: &Facts| facts.description == member.facts.description;
    let is_more = !facts.description.trim().is_empty() && facts.description != member.name; // some servers repeat the name
    if is_more && all.iter().all(|other| says(other.facts)) {
        let _ = writeln!(text, "description = {}", Text(&facts.description));
    }
    let is_scalar = facts.shape == Shape::Scalar;
    match twin_types::unit(member) {
        unit if unit.is_empty() => {}
        unit => {
            let _ = writeln!(text, "unit = {}", Text(&unit));
        }
    }
    range(text, all);
    if is_scalar && has_states(*data_type, facts.states.len()) {
        let states: Vec<String> = facts.states.iter().map(|state| Text(state).to_string()).collect();
        let _ = writeln!(text, "states = [{}]", states.join(", "));
    }
    let fastest = all.iter().filter_map(|other| other.facts.sampling_interval).max().unwrap_or_default();
    if fastest > SAMPLING_DEFAULT {
        let _ = writeln!(text, "sampling_interval = \"{}ms\"     # the PLC samples no faster", fastest.as_millis());
    }
    if all.iter().all(|other| other.facts.is_writable) {
        text.push_str("# writable = true     # the PLC would let this user write it\n");
    }
}

fn has_states(data_type: DataType, len: usize) -> bool {
    match data_type {
        DataType::Boolean => len == 2,
        other => len > 0 && other.is_numeric() && !other.is_floating(),
    }
}

/// EURange, where all twins have the same.
fn range(text: &mut String, all: &[&Member<'_>]) {
    let ranges: Vec<(f64, f64)> = all.iter().filter_map(|member| member.facts.range).collect();
    let Some(first @ (low, high)) = ranges.first().copied() else { return };
    if ranges.len() == all.len() && ranges.iter().all(|range| *range == first) {
        let _ = writeln!(text, "range = [{low:?}, {high:?}]");
        return;
    }
    let lowest = ranges.iter().map(|range| range.0).fold(f64::INFINITY, f64::min);
    let highest = ranges.iter().map(|range| range.1).fold(f64::NEG_INFINITY, f64::max);
    comment(text, &format!("range: not the same for all twins, or not there; from {lowest:?} to {highest:?} in all"));
}

/// Why variables of this type's devices were not taken, and which.
fn left_out(of: &TwinType<'_>) -> Vec<(String, String)> {
    let mut by_reason: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (twin, device) in &of.twins {
        for (name, reason) in &device.left_out {
            by_reason.entry((name, reason)).or_default().push(twin);
        }
    }
    by_reason.into_iter().map(|((name, reason), twins)| (format!("{name}: {reason}"), some(&twins))).collect()
}

/// The first few, and how many more.
fn some(names: &[&str]) -> String {
    let named = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// What the survey has besides twins.
fn rest(tree: &Tree<'_>, survey: &Survey, empty: &[Device<'_>]) -> Vec<String> {
    let mut lines = Vec::new();
    for device in empty {
        for (name, reason) in &device.left_out {
            lines.push(format!("{}: {name}: {reason}", tree.nodes[device.node].name.text));
        }
    }
    for (index, status) in &survey.closed {
        let name = survey.nodes.get(*index).map_or("", |node| node.name.text.as_ref());
        lines.push(format!("what is below {name}: the PLC does not list it: {status}"));
    }
    let properties: usize = survey
        .nodes
        .iter()
        .map(|node| match &node.what {
            What::Object { properties, .. } => *properties,
            What::Variable(_) => 0,
        })
        .sum();
    if properties > 0 {
        lines.push(format!(
            "{} of objects: what describes them (HasProperty), not the process",
            counted_as(properties, "property", "properties")
        ));
    }
    if survey.left_out > 0 {
        lines.push(format!(
            "{} that are no devices: conditions, files, programs, configurations of history",
            counted(survey.left_out, "object")
        ));
    }
    lines
}
