//! What a wide file may look like, and what of it is a fault.

use super::*;
use crate::history::{Direction, memory_store::MemoryStore};

const NAMES: [(&str, &str); 5] = [
    ("T.Level", "Double"),
    ("T.Count", "Int32"),
    ("T.Pump", "Boolean"),
    ("T.Remark", "String"),
    ("T.Profile", "Float[]"),
];

fn options(time: &str) -> WideOptions {
    WideOptions { time: time.to_owned(), ..WideOptions::default() }
}

/// What is stored of a text, and what is said of it.
fn imported(text: &[u8], wide: &WideOptions, skip_unknown: bool) -> (Vec<(String, Sample)>, Imported) {
    let series: Vec<(String, ValueType)> =
        NAMES.map(|(name, kind)| (name.to_owned(), ValueType::named(kind).unwrap())).into();
    let store = MemoryStore::new(series.len(), 1000);
    let options = ImportOptions { skip_unknown, dry_run: false };
    let mut last = 0;
    let imported = import(&store, &series, text, wide, options, &mut |bytes| last = bytes).unwrap();
    assert!(last <= text.len() as u64);
    let all = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
    let read = |id| store.read(SeriesId(id), all.clone(), Direction::Forward, 1000).unwrap();
    let samples = (0..).zip(NAMES).flat_map(|(id, (name, _))| read(id).into_iter().map(|one| (name.to_owned(), one)));
    let samples: Vec<_> = samples.collect();
    assert_eq!(samples.len() as u64, imported.samples);
    (samples, imported)
}

fn good(name: &str, seconds: i64, value: impl Into<Value>) -> (String, Sample) {
    let source_timestamp = Timestamp::from_unix_ns(i128::from(1_767_225_600 + seconds) * 1_000_000_000);
    let server_timestamp = Timestamp::NULL;
    (name.to_owned(), Sample { source_timestamp, server_timestamp, status: StatusCode::Good, value: value.into() })
}

#[track_caller]
fn check(text: &str, wide: &WideOptions, expected: &[(String, Sample)]) {
    let (samples, imported) = imported(text.as_bytes(), wide, false);
    assert_eq!((samples.as_slice(), imported.faulty), (expected, 0), "{:?}", imported.faults);
}

#[test]
fn a_cell_is_a_sample_and_an_empty_one_is_none() {
    let text = "\u{feff}Time,T.Level,T.Count,T.Pump,T.Remark,T.Profile\n\
        2026-01-01T00:00:00Z,1.5,-7,true,\" two\nlines \",\"[\"\"1.5\"\",null]\"\n\
        ,,,,,\n\
        2026-01-01T01:00:01.0000000+01:00, 2.5 ,,FALSE,,\n\
        2026-01-01T00:00:02Z,NaN:7ff8000000000001,,,,\n";
    let array = ValueType::named("Float[]").unwrap().value("[\"1.5\",null]").unwrap();
    let (samples, imported) = imported(text.as_bytes(), &options("Time"), false);
    assert_eq!((imported.samples, imported.faulty), (8, 0), "{:?}", imported.faults);
    assert!(matches!(samples[2].1.value, Value::Double(x) if x.to_bits() == 0x7ff8_0000_0000_0001));
    let rest: Vec<_> = samples[..2].iter().chain(&samples[3..]).cloned().collect();
    let expected = [
        good("T.Level", 0, Value::Double(1.5)),
        good("T.Level", 1, Value::Double(2.5)),
        good("T.Count", 0, Value::Int32(-7)),
        good("T.Pump", 0, Value::Boolean(true)),
        good("T.Pump", 1, Value::Boolean(false)),
        good("T.Remark", 0, " two\nlines "),
        good("T.Profile", 0, array),
    ];
    assert_eq!(rest, expected);
}

#[test]
fn columns_are_parted_by_what_gives_the_times_column() {
    let expected = [good("T.Level", 0, Value::Double(1.5)), good("T.Count", 0, Value::Int32(2))];
    for text in [
        "T.Level;\"The, time\";T.Count\r\n1,5;2026-01-01T00:00:00Z;2\r\n",
        "T.Level\tThe, time\tT.Count\n1.5\t2026-01-01T00:00:00Z\t2\n",
        "T.Level,\" The, time\",T.Count\n1.5,2026-01-01T00:00:00Z,2",
    ] {
        check(text, &options("The, time"), &expected);
    }
}

#[test]
fn times_are_as_the_pattern_says_and_utc_unless_they_say_how_far_from_it() {
    for (pattern, time) in [
        ("%d.%m.%Y %H:%M:%S", "01.01.2026 00:00:01"),
        ("%d.%m.%Y %H:%M:%S%.f", "01.01.2026 00:00:01.0000000"),
        ("%m/%d/%Y %I:%M %p %S", "01/01/2026 12:00 AM 01"),
        ("%Y-%m-%d %H:%M:%S %z", "2026-01-01 05:30:01 +0530"),
        ("%s", "1767225601"),
    ] {
        let time_format = Some(TimeFormat::parse(pattern).unwrap());
        let text = format!("t;T.Level\n{time};-1e300\n");
        check(&text, &WideOptions { time_format, ..options("t") }, &[good("T.Level", 1, Value::Double(-1e300))]);
    }
    assert!(TimeFormat::parse("%H:%Q").is_err());
    assert!(TimeFormat::parse("%H:%M %Z").unwrap_err().contains("%z"));
}

#[test]
fn a_text_for_bad_is_a_bad_sample_without_a_value() {
    let wide = WideOptions { bad: vec!["Bad".to_owned(), "No Data".to_owned()], ..options("t") };
    let text = "t,T.Level,T.Remark\n2026-01-01T00:00:00Z,No Data,Bad\n";
    let bad = |name| {
        let (name, sample) = good(name, 0, Value::Null);
        (name, Sample { status: StatusCode::Bad, ..sample })
    };
    check(text, &wide, &[bad("T.Level"), bad("T.Remark")]);
}

#[test]
fn faults_are_said_with_line_and_column_and_the_rest_is_stored() {
    let text = b"t,T.Level,T.Count,U.Level,,T.Remark\n\
        2026-01-01T00:00:00Z,one,1,5,5,\xff\n\
        \n\
        01.01.2026,1,1,5,5,x\n\
        2026-01-01T00:00:01Z,1,1\n\
        ,1,1,1,1,1\n\
        2026-01-01T00:00:02Z,\"1,5\",2.0,,,\n\
        2026-01-01T00:00:03.00000001Z,1,,,,\n";
    let (samples, said) = imported(text, &options("t"), false);
    assert_eq!(samples, [good("T.Count", 0, Value::Int32(1))]);
    let found: Vec<String> = said.faults.iter().map(ToString::to_string).collect();
    let expected = [
        "1: U.Level: is not a series",
        "1: is not a series", // a column without a name
        "2: T.Level: \"one\" is no Double",
        "2: T.Remark: is not UTF-8",
        "4: t: \"01.01.2026\" is no RFC 3339 time",
        "5: 3 fields where there are 6 columns",
        "6: t: \"\" is no RFC 3339 time",
        "7: T.Level: \"1,5\" is no Double",
        "7: T.Count: \"2.0\" is no Int32",
        "8: t: ",
    ];
    assert_eq!((found.len(), said.faulty), (expected.len(), expected.len() as u64), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} instead of {expected}");
    }
    let (_, said) = imported(text, &options("t"), true);
    assert_eq!((said.skipped, said.faulty), (2, 8));
}

#[test]
fn without_a_header_that_makes_sense_nothing_is_stored() {
    for (text, expected) in [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("Time,T.Level\n2026-01-01T00:00:00Z,1\n", "1: the column \"t\" is missing"),
        ("t,T.Level,T.Level\n2026-01-01T00:00:00Z,1,1\n", "1: the column \"T.Level\" is there twice"),
        ("t,t,T.Level\n2026-01-01T00:00:00Z,,1\n", "1: the column \"t\" is there twice"),
    ] {
        let (samples, said) = imported(text.as_bytes(), &options("t"), true);
        assert_eq!((samples.len(), said.faulty), (0, 1), "{text:?}");
        assert!(said.faults[0].to_string().contains(expected), "{:?}", said.faults);
    }
}
