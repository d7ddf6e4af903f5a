//! Words of the expression language: tokens, names, and the name that a misspelt one may have meant.

use super::language::NAME_BYTES_MAX;

/// A word of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Number(f64),
    Name(&'a str),
    Symbol(&'static str),
    End,
}

/// Two-byte symbols first: the longest match wins.
const SYMBOLS: [&str; 19] =
    ["&&", "||", "<=", ">=", "==", "!=", "**", "+", "-", "*", "/", "^", "(", ")", ",", "<", ">", "!", "="];

/// The names that an expression uses, without parsing it further; a text that can't be read gives what was read so far.
pub(super) fn names_used(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut position = 0;
    while let Ok((token, _, end)) = next_token(text, position) {
        match token {
            Token::End => break,
            Token::Name(name) => names.push(name),
            _ => {}
        }
        position = end;
    }
    names
}

/// Whether `name` can be used in an expression.
pub(super) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// A known name that `name` may have meant.
pub(super) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    let distance = |candidate: &str| {
        if candidate.eq_ignore_ascii_case(name) { 0 } else { edit_distance(name, candidate, allowed) }
    };
    known.into_iter().map(|k| (distance(k), k)).filter(|(d, _)| *d <= allowed).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// Edits from one name to the other, two exchanged neighbours counting as one; anything above `limit` is only known to
/// be above it.
fn edit_distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().take(NAME_BYTES_MAX).collect();
    let b: Vec<char> = b.chars().take(NAME_BYTES_MAX).collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let substituted = row[j] + usize::from(a[i] != b[j]);
            next[j + 1] = substituted.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                next[j + 1] = next[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

/// A fault of reading: offset, message, remedy.
pub(super) type Misread = (usize, String, String);

/// The token at or after `position`, where it starts and where it ends.
pub(super) fn next_token(text: &str, position: usize) -> Result<(Token<'_>, usize, usize), Misread> {
    let rest = text.get(position..).unwrap_or("");
    let start = position + (rest.len() - rest.trim_start().len());
    let rest = &text[start..];
    let Some(first) = rest.chars().next() else {
        return Ok((Token::End, start, start));
    };
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        let length = number_length(rest.as_bytes());
        let value: f64 = rest[..length].parse().unwrap_or(f64::NAN);
        if !value.is_finite() {
            let message = format!("`{}` is not a finite number", shorten(&rest[..length]));
            return Err((start, message, "write a number below 1.8e308".to_owned()));
        }
        return Ok((Token::Number(value), start, start + length));
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        return Ok((Token::Name(&rest[..length]), start, start + length));
    }
    if first == '`' {
        // A name that isn't an identifier (a variable called `Heater Power`) stands in backticks.
        let Some(length) = rest[1..].find('`') else {
            return Err((start, "the name in backticks does not end".to_owned(), "close it with '`'".to_owned()));
        };
        return Ok((Token::Name(&rest[1..=length]), start, start + length + 2));
    }
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        return Ok((Token::Symbol(symbol), start, start + symbol.len()));
    }
    let remedy = match first {
        '[' | ']' | '{' | '}' => "group with ( and )",
        '&' => "write `&&`",
        '|' => "write `||`",
        _ => "remove it",
    };
    Err((start, format!("unexpected character {first:?}"), remedy.to_owned()))
}

fn number_length(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(37).chain("...".chars()).collect() }
}
