//! Texts of a PLC in a TOML file: whatever is in them, they stay what they are, on one line, and do nothing to a terminal.

use std::fmt::{self, Write as _};

/// A comment of one line, whatever the PLC has put into its names.
pub(super) fn comment(text: &mut String, line: &str) {
    text.push_str(if line.is_empty() { "#" } else { "# " });
    for c in line.chars() {
        if is_plain(c) { text.push(c) } else { text.extend(c.escape_default()) }
    }
    text.push('\n');
}

/// Whether it may stand in a file as it is: no control character, and none that turns the direction of text.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

/// A TOML basic string.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if is_plain(c) => f.write_char(c)?,
                c => write!(f, "\\u{:04X}", u32::from(c))?, // all of them are below U+FFFF
            }
        }
        f.write_char('"')
    }
}

/// A TOML key, in quotes where it needs them.
pub(super) struct Key<'a>(pub(super) &'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = !self.0.is_empty() && self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if is_bare { f.write_str(self.0) } else { Text(self.0).fmt(f) }
    }
}
