//! The column `time`: seconds, or instants in RFC 3339.

use chrono::{DateTime, SecondsFormat, Utc};

use super::csv_file::{number, shown};

/// How a file says its times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TimeKind {
    /// In seconds from wherever.
    Seconds,
    /// As instants: this one is second 0.
    Instants(DateTime<Utc>),
}

impl TimeKind {
    /// A time as the file would say it.
    pub(crate) fn text(self, seconds: f64) -> String {
        match self {
            Self::Seconds => format!("{seconds}"),
            Self::Instants(origin) => {
                #[expect(clippy::cast_possible_truncation, reason = "seconds between two instants of chrono's")]
                let after = chrono::TimeDelta::nanoseconds((seconds * 1e9).round() as i64);
                let instant = origin.checked_add_signed(after).unwrap_or(origin);
                instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            }
        }
    }
}

/// Reads times row by row: all of one kind, each later than the one before.
#[derive(Default)]
pub(super) struct TimeReader {
    kind: Option<TimeKind>,
    last: Option<f64>,
}

type Misread = (String, &'static str);

impl TimeReader {
    pub(super) fn kind(&self) -> TimeKind {
        self.kind.unwrap_or(TimeKind::Seconds)
    }

    /// The time in seconds.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(super) fn read(&mut self, text: &str, decimal_comma: bool) -> Result<f64, Misread> {
        let seconds = match self.kind {
            None => self.first(text, decimal_comma)?,
            Some(TimeKind::Seconds) => in_seconds(text, decimal_comma)?,
            Some(TimeKind::Instants(origin)) => seconds_between(origin, instant(text)?),
        };
        if let Some(last) = self.last.filter(|last| *last >= seconds) {
            let last = self.kind().text(last);
            let message = format!("{} is not later than the time before, {last}", shown(text));
            return Err((message, "sort the rows by time, and keep one of two at the same time"));
        }
        self.last = Some(seconds);
        Ok(seconds)
    }

    fn first(&mut self, text: &str, decimal_comma: bool) -> Result<f64, Misread> {
        if let Ok(seconds) = in_seconds(text, decimal_comma) {
            self.kind = Some(TimeKind::Seconds);
            return Ok(seconds);
        }
        self.kind = Some(TimeKind::Instants(instant(text)?));
        Ok(0.0)
    }
}

fn in_seconds(text: &str, decimal_comma: bool) -> Result<f64, Misread> {
    let remedy = "give seconds in every row, or in every row an instant as 2026-01-31T12:00:00Z";
    let seconds = number(text, decimal_comma).map_err(|message| (message, remedy))?;
    if seconds.is_nan() { Err(("the time is missing".to_owned(), remedy)) } else { Ok(seconds) }
}

fn instant(text: &str) -> Result<DateTime<Utc>, Misread> {
    let remedy = "give seconds, or an instant with its offset, as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00.5+01:00";
    let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    parsed.map_err(|_| (format!("{} is neither seconds nor RFC 3339", shown(text)), remedy))
}

fn seconds_between(origin: DateTime<Utc>, instant: DateTime<Utc>) -> f64 {
    let between = instant.signed_duration_since(origin);
    between.num_seconds() as f64 + f64::from(between.subsec_nanos()) * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_instants_and_never_go_back() {
        let read = |texts: &[&str]| {
            let mut reader = TimeReader::default();
            let times = texts.iter().map(|text| reader.read(text, false)).collect::<Result<Vec<f64>, _>>();
            times.map(|times| (reader.kind(), times))
        };
        assert_eq!(read(&["-1", "0.5", "1e3"]).unwrap(), (TimeKind::Seconds, vec![-1.0, 0.5, 1000.0]));
        let (kind, times) =
            read(&["2026-01-01T00:00:00Z", "2026-01-01T01:00:00.25+01:00", "2026-01-02 00:00:00Z"]).unwrap();
        assert_eq!(times, [0.0, 0.25, 86_400.0]);
        assert_eq!(
            (kind.text(0.0).as_str(), kind.text(0.25).as_str()),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.250Z")
        );
        for (texts, words) in [
            (&["0", "0"][..], "not later than the time before, 0"),
            (&["0", "2026-01-01T00:00:00Z"], "not a number"),
            (&["2026-01-01T00:00:00Z", "5"], "RFC 3339"),
            (&["2026-01-01T00:00:00"], "RFC 3339"),
            (&["0", ""], "missing"),
            (&["2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z"], "2026-01-01T00:00:01Z"),
        ] {
            let (message, _) = read(texts).unwrap_err();
            assert!(message.contains(words), "{texts:?}: {message}");
        }
    }
}
