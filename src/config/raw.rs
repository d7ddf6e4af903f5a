//! TOML as it stands in a file, with the place of everything. A reader takes the keys it knows; what is left over is
//! unknown. No knowledge of what the keys mean.

use std::{cell::RefCell, ops::RangeInclusive, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    duration,
    fault::{Fault, Sink, did_you_mean},
};
use crate::time::Timestamp;

/// A file's text and where its lines begin.
pub(super) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Document<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { file, text, lines: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// 1-based line and column, in characters, of a byte.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines[line - 1];
        let before = self.text[start..].char_indices().take_while(|(offset, _)| start + offset < at);
        (line, before.count() + 1)
    }

    fn fault(&self, at: usize, key: &str, message: impl Into<String>, remedy: impl Into<String>) -> Fault {
        let (line, column) = self.position(at);
        Fault { file: self.file.into(), line, column, key: key.into(), message: message.into(), remedy: remedy.into() }
    }

    /// The tree, or `None` after syntax faults. A key that is there twice is a fault that does not stop the reading.
    pub(super) fn parse(&self, sink: &Sink) -> Option<Spanned<DeTable<'a>>> {
        let (tree, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(self.text.len(), |span| span.start);
            let (message, remedy) = match error.message() {
                DUPLICATE => ("this key is already there".to_owned(), "remove or rename one of them"),
                message => (format!("not TOML: {message}"), "see https://toml.io for the syntax"),
            };
            sink.fault(self.fault(at, "", message, remedy));
        }
        errors.iter().all(|error| error.message() == DUPLICATE).then_some(tree)
    }
}

/// As the `toml` crate says it.
const DUPLICATE: &str = "duplicate key";

/// A document and where its faults go.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) sink: &'a Sink,
}

/// One value, its key and its place.
#[derive(Clone)]
pub(super) struct Item<'a> {
    source: Source<'a>,
    value: &'a Spanned<DeValue<'a>>,
    key_at: usize,
    /// The whole key, joined by dots.
    pub(super) path: String,
}

/// One table whose keys are taken one by one.
pub(super) struct Table<'a> {
    source: Source<'a>,
    table: &'a DeTable<'a>,
    at: usize,
    pub(super) path: String,
    asked: RefCell<Vec<&'static str>>,
}

/// A key as TOML would write it.
fn quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.into() } else { format!("{key:?}") }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { quoted(key) } else { format!("{path}.{}", quoted(key)) }
}

impl<'a> Item<'a> {
    /// Where a fault of this value is shown: at the value, but at the key of a table.
    fn at(&self) -> usize {
        match self.value.get_ref() {
            DeValue::Table(table)
                if !self.source.document.text[self.value.span().start..].starts_with('{') || table.is_empty() =>
            {
                self.key_at
            }
            _ => self.value.span().start,
        }
    }

    pub(super) fn fault(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.source.sink.fault(self.source.document.fault(self.at(), &self.path, message, remedy));
    }

    /// A fault of the key itself.
    pub(super) fn fault_at_key(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.source.sink.fault(self.source.document.fault(self.key_at, &self.path, message, remedy));
    }

    /// A name that is not among the known ones. The text grows with them only while faults are kept.
    pub(super) fn unknown<'k>(&self, what: &str, name: &str, known: impl Iterator<Item = &'k str>) {
        let remedy = if self.source.sink.is_full() { String::new() } else { did_you_mean(name, known) };
        self.fault(format!("{what} `{name}`"), remedy);
    }

    /// A key that is not among the known names.
    pub(super) fn unknown_key<'k>(&self, what: &str, name: &str, known: impl Iterator<Item = &'k str>) {
        let remedy = if self.source.sink.is_full() { String::new() } else { did_you_mean(name, known) };
        self.fault_at_key(format!("{what} `{name}`"), remedy);
    }

    /// A fault at a byte of this string's text: exact where the text stands in the file as it is (no escapes).
    pub(super) fn fault_inside(&self, offset: Option<usize>, message: &str, remedy: &str) {
        let at = offset.and_then(|offset| Some(self.text_at()? + offset)).unwrap_or_else(|| self.at());
        self.source.sink.fault(self.source.document.fault(at, &self.path, message, remedy));
    }

    /// Byte where the string's text begins, if the file holds it literally.
    fn text_at(&self) -> Option<usize> {
        let text = self.value.get_ref().as_str()?;
        let raw = self.source.document.text.get(self.value.span())?;
        let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| raw.starts_with(quotes))?;
        let line_break = if quotes.len() == 3 {
            ["\r\n", "\n"].into_iter().find(|b| raw[3..].starts_with(b)).map_or(0, str::len)
        } else {
            0
        };
        let start = quotes.len() + line_break;
        raw.get(start..)?.starts_with(text).then_some(self.value.span().start + start)
    }

    pub(super) fn warn(&self, kind: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        self.source.sink.warn(kind, self.source.document.fault(self.key_at, &self.path, message, remedy));
    }

    fn wrong_type<T>(&self, expected: &str, remedy: &str) -> Option<T> {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.fault(format!("expected {expected}, found {found}"), remedy);
        None
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type("a string", "put it in quotes"),
        }
    }

    /// A finite number; an integer will do.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self.value.get_ref() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "an integer where a float is meant: as near as a float can be"
            )]
            DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix()).ok().map(|i| i as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => return self.wrong_type("a number", "write a number without quotes"),
        };
        let finite = number.filter(|x: &f64| x.is_finite());
        if finite.is_none() {
            self.fault("not a finite number", "give a finite number");
        }
        finite
    }

    pub(super) fn number_in(&self, allowed: RangeInclusive<f64>) -> Option<f64> {
        let number = self.number()?;
        if !allowed.contains(&number) {
            match *allowed.end() {
                f64::MAX => self.fault(format!("{number} is below {}", allowed.start()), "give no less"),
                high => self.out_of_range(number, allowed.start(), high),
            }
            return None;
        }
        Some(number)
    }

    fn out_of_range(&self, found: impl std::fmt::Display, low: impl std::fmt::Display, high: impl std::fmt::Display) {
        self.fault(format!("{found} is out of range"), format!("give a value from {low} to {high}"));
    }

    pub(super) fn positive(&self) -> Option<f64> {
        let number = self.number()?;
        if number <= 0.0 {
            self.fault(format!("{number} is not above zero"), "give a positive number");
            return None;
        }
        Some(number)
    }

    pub(super) fn whole(&self, allowed: RangeInclusive<i64>) -> Option<i64> {
        let DeValue::Integer(integer) = self.value.get_ref() else {
            return self.wrong_type("a whole number", "write a whole number without quotes");
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if allowed.contains(&number) => Some(number),
            _ => {
                self.out_of_range(integer, allowed.start(), allowed.end());
                None
            }
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.value
            .get_ref()
            .as_bool()
            .or_else(|| self.wrong_type("true or false", "write true or false without quotes"))
    }

    /// The elements of a list.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return self.wrong_type("a list", "put it in [ ]");
        };
        let element = |(i, value): (usize, &'a Spanned<DeValue<'a>>)| Self {
            source: self.source,
            value,
            key_at: value.span().start,
            path: format!("{}[{i}]", self.path),
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    pub(super) fn texts(&self) -> Option<Vec<(&'a str, Self)>> {
        Some(self.list()?.into_iter().filter_map(|item| Some((item.text()?, item))).collect())
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return self.wrong_type("a table", "write it as { key = value }, or as a [section] of its own");
        };
        Some(Table { source: self.source, table, at: self.at(), path: self.path.clone(), asked: RefCell::default() })
    }

    /// An instant in RFC 3339, in quotes.
    pub(super) fn instant(&self) -> Option<Timestamp> {
        let text = self.text()?;
        let parsed = chrono::DateTime::parse_from_rfc3339(text.trim()).ok();
        if parsed.is_none() {
            self.fault(format!("{text:?} is no instant"), "write it as \"2026-01-31T12:00:00Z\"");
        }
        let nanoseconds =
            parsed.map(|at| i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos()));
        nanoseconds.map(Timestamp::from_unix_ns)
    }

    pub(super) fn duration(&self) -> Option<Duration> {
        let DeValue::String(text) = self.value.get_ref() else {
            return self.wrong_type("a duration", "give it with its unit: \"100ms\", \"1s\", \"10m\", \"1h\", \"1d\"");
        };
        duration::parse(text).map_err(|(message, remedy)| self.fault(message, remedy)).ok()
    }

    /// A duration above zero.
    pub(super) fn period(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.fault("zero is too short", "give a duration above zero");
            return None;
        }
        Some(duration)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            self.fault(format!("{text:?} is not known here"), did_you_mean(text, words.iter().map(|(word, _)| *word)));
        }
        found
    }
}

impl<'a> Table<'a> {
    /// The tree of a whole file.
    pub(super) fn root(source: Source<'a>, tree: &'a Spanned<DeTable<'a>>, path: &str) -> Self {
        Self { source, table: tree.get_ref(), at: 0, path: path.into(), asked: RefCell::default() }
    }

    /// Takes a key.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'a>> {
        self.asked.borrow_mut().push(key);
        let (key, value) = self.table.get_key_value(key)?;
        Some(self.item(key, value))
    }

    fn item(&self, key: &'a Spanned<toml::de::DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        Item { source: self.source, value, key_at: key.span().start, path: joined(&self.path, key.get_ref()) }
    }

    /// Takes a table.
    pub(super) fn table(&self, key: &'static str) -> Option<Table<'a>> {
        self.get(key)?.table()
    }

    /// Takes a table whose keys are names of the user's, in the order of the file.
    pub(super) fn named(&self, key: &'static str) -> Vec<(&'a str, Item<'a>)> {
        self.table(key).map_or_else(Vec::new, |table| table.entries())
    }

    /// Everything in the table, in the order of the file: for tables whose keys are names of the user's.
    pub(super) fn entries(&self) -> Vec<(&'a str, Item<'a>)> {
        let entry = |(key, value): (&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)| {
            (key.get_ref().as_ref(), self.item(key, value))
        };
        let mut entries: Vec<_> = self.table.iter().map(entry).collect();
        entries.sort_by_key(|(_, item)| item.key_at);
        entries
    }

    /// A required key; its absence is a fault.
    pub(super) fn required(&self, key: &'static str, remedy: impl Into<String>) -> Option<Item<'a>> {
        let item = self.get(key);
        if item.is_none() {
            self.missing(key, remedy);
        }
        item
    }

    pub(super) fn missing(&self, key: &str, remedy: impl Into<String>) {
        let fault = self.source.document.fault(self.at, &joined(&self.path, key), "this key is missing", remedy);
        self.source.sink.fault(fault);
    }

    pub(super) fn fault(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.source.sink.fault(self.source.document.fault(self.at, &self.path, message, remedy));
    }

    pub(super) fn warn(&self, kind: &'static str, message: &str, remedy: &str) {
        self.source.sink.warn(kind, self.source.document.fault(self.at, &self.path, message, remedy));
    }

    /// Whether the table says something under the key, without taking it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        self.get(key).and_then(|item| item.flag()).unwrap_or(default)
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        self.get(key)?.text()
    }

    pub(super) fn number(&self, key: &'static str) -> Option<f64> {
        self.get(key)?.number()
    }

    pub(super) fn description(&self) -> String {
        self.text("description").unwrap_or_default().into()
    }

    /// Whatever was not taken is unknown.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (name, item) in self.entries() {
            if !asked.contains(&name) {
                item.fault_at_key("this key is not known", did_you_mean(name, asked.iter().copied()));
            }
        }
    }
}
