//! The operator Like (OPC 10000-4 §7.7.3 Table 120): `%` any text, `_` one character, `[ab]` one of these, `[^ab]` none of
//! these, `[a-f]` a range, `\` takes the meaning from the next character. Takes no longer than the product of both lengths.

/// Whether a text fits a pattern as a whole.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern = parts(pattern);
    let (mut t, mut p) = (0, 0);
    // Where the last `%` stands, and how far it has reached.
    let mut any: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Part::Any) => {
                any = Some((p, t));
                p += 1;
            }
            Some(part) if part.takes(text[t]) => (t, p) = (t + 1, p + 1),
            _ => match &mut any {
                Some((at, reached)) => {
                    *reached += 1;
                    (t, p) = (*reached, *at + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|part| matches!(part, Part::Any))
}

enum Part {
    Any,
    One,
    Char(char),
    Set { is_not: bool, ranges: Vec<(char, char)> },
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Char(own) => *own == c,
            Self::Set { is_not, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *is_not,
        }
    }
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            '[' => set(&mut chars),
            c => Part::Char(c),
        });
    }
    parts
}

/// What stands in brackets; one that does not close reaches to the end.
fn set(chars: &mut std::str::Chars<'_>) -> Part {
    let inside: Vec<char> = chars.by_ref().take_while(|c| *c != ']').collect();
    let (is_not, inside) = match inside.split_first() {
        Some(('^', rest)) => (true, rest),
        _ => (false, &inside[..]),
    };
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < inside.len() {
        match inside[at..] {
            [from, '-', to, ..] => {
                ranges.push((from, to));
                at += 3;
            }
            _ => {
                ranges.push((inside[at], inside[at]));
                at += 1;
            }
        }
    }
    Part::Set { is_not, ranges }
}

#[cfg(test)]
mod tests {
    use super::like;

    /// The examples of Table 120, and a few more.
    #[test]
    fn patterns_mean_what_the_table_says() {
        let fits = [
            ("main", "main%"),
            ("mainly", "main%"),
            ("remain", "%main"),
            ("cat", "%a%"),
            ("BCAT", "_CAT"),
            ("abc", "abc[13-68]%"),
            ("abc1", "abc[13-68]"),
            ("abc5", "abc[13-68]"),
            ("xyzc", "xyz[c-f]"),
            ("ABC6", "ABC[^13-5]"),
            ("xyzg", "xyz[^dgh]%"),
            ("100%", "100\\%"),
            ("a_b", "a\\_b"),
            ("", "%"),
            ("", ""),
        ];
        for (text, pattern) in fits {
            let expected = !matches!((text, pattern), ("abc", _) | ("xyzg", _));
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
        for (text, pattern) in
            [("remain", "main%"), ("CAT", "_CAT"), ("abc2", "abc[13-68]"), ("1000", "100\\%"), ("a", "")]
        {
            assert!(!like(text, pattern), "{text} {pattern}");
        }
    }

    #[test]
    fn many_percents_do_not_take_for_ever() {
        let text = "a".repeat(5_000);
        assert!(!like(&text, &format!("{}b", "%a".repeat(1_000))));
    }
}
