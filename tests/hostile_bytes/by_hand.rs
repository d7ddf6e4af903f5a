//! Modification records, annotations and events, and wide CSV.

use std::{convert::Infallible, hint::black_box, sync::Arc};

use uatwin::{
    cli::history::{
        import::ImportOptions,
        row::ValueType,
        wide::{self, TimeFormat, WideOptions},
    },
    event::{Event, EventId, EventType, Source},
    history::{
        Annotation, Modification, Modified, event_record,
        memory_store::MemoryStore,
        record::{self, Record, RecordError},
    },
    sample::Value,
    time::Timestamp,
};

use super::{Random, limited, limited_csv, mutate, samples};

fn text(random: &mut Random) -> Arc<str> {
    let len = [0, 20, 3000, 60_000][random.below(4)];
    "ä".repeat(random.below(len + 1)).into()
}

fn modified(random: &mut Random) -> Modified {
    let mut sample = samples::one(random);
    if random.below(4) == 0 {
        sample.value = samples::array(random, 40_000);
    } else if random.below(4) == 0 {
        sample.value = Value::String(text(random));
    }
    let kind = [Modification::Insert, Modification::Replace, Modification::Delete][random.below(3)];
    Modified { sample, kind, user: text(random), at: Timestamp::from_ticks(random.next() as i64) }
}

fn annotation(random: &mut Random) -> Annotation {
    let (at, time) = (Timestamp::from_ticks(random.next() as i64), Timestamp::from_ticks(random.next() as i64));
    Annotation { at, message: text(random), user: text(random), time, is_lost: false }
}

/// As a read does it.
fn read<T: Record>(parts: &[Vec<u8>]) -> Result<T, RecordError> {
    let mut others = parts.iter().skip(1);
    let body = record::join(parts.first().map_or(&[], Vec::as_slice), || Ok::<_, Infallible>(others.next()));
    let Ok(body) = body;
    T::read(Timestamp::from_ticks(7), &body?)
}

/// Half of them with right checksums, so that what is behind them is put to the test.
fn records<T: Record>(random: &mut Random, one: impl Fn(&mut Random) -> T) {
    for case in 0..2000 {
        let mut body = one(random).write();
        let whole = record::split(&body).unwrap();
        let len = whole.iter().map(Vec::len).sum();
        assert!(limited(len, || read::<T>(&whole).is_ok()), "case {case}: unharmed");
        let mut parts = whole;
        if case % 2 == 0 {
            if case % 8 == 0 {
                let len = random.below(3000);
                body = random.bytes(len);
            } else {
                mutate(random, &mut body);
            }
            parts = record::split(&body).unwrap();
        } else if case % 8 == 1 {
            let len = random.below(3000);
            parts[0] = random.bytes(len);
            parts[0].first_mut().into_iter().for_each(|version| *version = 2);
        } else {
            let at = random.below(parts.len());
            mutate(random, &mut parts[at]);
        }
        limited(parts.iter().map(Vec::len).sum(), || drop(black_box(read::<T>(&parts))));
    }
}

pub(crate) fn hostile_records(random: &mut Random) {
    records(random, modified);
    records(random, annotation);
}

/// Many short fields now and then: they take most beside their bytes.
fn event(random: &mut Random) -> Event {
    let kind = EventType::ALL[random.below(EventType::ALL.len())];
    let source = Source(text(random));
    let time = Timestamp::from_ticks(random.next() as i64);
    let mut event = Event::new(kind, source, time, 500, &*text(random));
    event.id = EventId(random.bytes(16).try_into().unwrap());
    let most = [0, 20, 3000][random.below(3)];
    let (count, most) = (random.below(most + 1), 1 + random.below(3));
    for _ in 0..count {
        let value = match random.below(4) {
            0 => Value::Null,
            1 => Value::String("x".into()),
            _ => samples::one(random).value,
        };
        event.fields.push(("f".repeat(random.below(most)).into(), value));
    }
    event
}

pub(crate) fn hostile_events(random: &mut Random) {
    for case in 0..2000 {
        let event = event(random);
        let whole = event_record::write(random.next(), &event).unwrap();
        assert!(limited(whole.len(), || event_record::read(&whole).is_ok()), "case {case}: unharmed");
        let mut body = whole[9..].to_vec();
        match case % 8 {
            0 => {
                let len = random.below(3000);
                body = random.bytes(len);
            }
            1 => {
                // As many of the smallest fields as fit.
                let head = 8 + 16 + 8 + 8 + 2;
                body.truncate(head);
                for text in ["DriftAlarmType", "", ""] {
                    body.extend((text.len() as u32).to_le_bytes());
                    body.extend(text.bytes());
                }
                let count = random.below(20_000) as u32;
                body.extend(count.to_le_bytes());
                let named = random.below(2);
                for _ in 0..count {
                    body.extend((named as u32).to_le_bytes());
                    body.extend(&b"f"[..named]);
                    body.extend([0, 0]);
                }
                let bytes = record::split(&body).unwrap().concat();
                assert!(limited(bytes.len(), || event_record::read(&bytes).is_ok()), "case {case}: {count} fields");
            }
            _ => mutate(random, &mut body),
        }
        let mut bytes = if case % 2 == 0 { record::split(&body).unwrap().concat() } else { whole };
        if case % 2 == 1 {
            mutate(random, &mut bytes);
        }
        limited(bytes.len(), || drop(black_box(event_record::read(&bytes))));
    }
}

fn cell(random: &mut Random, separator: &str) -> String {
    match random.below(12) {
        0 => String::new(),
        1 => "Bad".to_owned(),
        2 => format!("\"{}{separator}\"\"\n\"", "x".repeat(random.below(200))),
        3 => "[\"1\",null]".replace('"', "\"\""),
        4 => f64::from_bits(random.next()).to_string(),
        _ => format!("{}", random.next() as i32 as f64 * 0.01),
    }
}

/// A wide file; now and then with far too many columns.
fn wide_file(random: &mut Random, case: usize) -> Vec<u8> {
    let separator = [",", ";", "\t"][random.below(3)];
    let names = ["t", "T.V", "T.W", "T.X", "U.V", ""];
    let mut text = names.join(separator) + "\n";
    for _ in 0..random.below(1000) {
        let time = if random.below(2) == 0 {
            "2026-01-01T00:00:00Z".to_owned()
        } else {
            format!("ticks:{}", random.next() as i64)
        };
        let cells: Vec<String> = (1..names.len()).map(|_| cell(random, separator)).collect();
        text += &format!("{time}{separator}{}\n", cells.join(separator));
    }
    let many = separator.repeat(random.below(3_000_000));
    match case % 12 {
        0 => text.push_str(&many),
        1 => text.insert_str(0, &many),
        2 => text.insert_str(text.find('\n').unwrap(), &many),
        3 => text.push('"'),
        _ => {}
    }
    let mut bytes = text.into_bytes();
    if case.is_multiple_of(12) || case % 12 == 3 {
        let len = random.below(1_000_000);
        bytes.extend(random.bytes(len));
    }
    (0..random.below(40)).for_each(|_| mutate(random, &mut bytes));
    bytes
}

pub(crate) fn hostile_wide_files(random: &mut Random) {
    let kinds = [("T.V", "Double"), ("T.W", "String"), ("T.X", "Int32[]")];
    let series = kinds.map(|(name, kind)| (name.to_owned(), ValueType::named(kind).unwrap()));
    for case in 0..600 {
        let text = wide_file(random, case);
        let time_format = (case % 5 == 0).then(|| TimeFormat::parse("%d.%m.%Y %H:%M:%S%.f").unwrap());
        let wide = WideOptions { time: "t".to_owned(), time_format, bad: vec!["Bad".to_owned()] };
        let store = MemoryStore::new(3, 16);
        let options = ImportOptions { skip_unknown: case % 2 == 0, dry_run: case % 3 == 0 };
        limited_csv(text.len(), || wide::import(&store, &series, &text[..], &wide, options, &mut |_| {}).unwrap());
    }
}

/// Very many series and cells of one letter: a sample is much bigger than what it is read from, and waits for its batch.
pub(crate) fn wide_files_of_small_cells() {
    let names: Vec<String> = (0..40).map(|index| format!("T.V{index}")).collect();
    let kind = ValueType::named("Int32").unwrap();
    let series: Vec<_> = names.iter().map(|name| (name.clone(), kind)).collect();
    let wide = WideOptions { time: "t".to_owned(), ..WideOptions::default() };
    for rows in [1, 52, 110, 150, 190, 500, 5000] {
        let row = |at: usize| format!("ticks:{at}{}\n", ",1".repeat(names.len()));
        let text = format!("t,{}\n", names.join(",")) + &(0..rows).map(row).collect::<String>();
        let store = MemoryStore::new(names.len(), 1);
        let options = ImportOptions::default();
        let import = || wide::import(&store, &series, text.as_bytes(), &wide, options, &mut |_| {});
        let said = limited_csv(text.len(), import).unwrap();
        assert_eq!(said.samples, (rows * names.len()) as u64);
    }
}

/// What the tests are about is what they say: whole files are read.
#[test]
fn the_files_are_hostile_and_not_only_wrong() {
    let mut random = Random(3);
    let store = MemoryStore::new(1, 16);
    let series = [("T.V".to_owned(), ValueType::named("Double").unwrap())];
    let wide = WideOptions { time: "t".to_owned(), ..WideOptions::default() };
    let said = (0..60).map(|case| {
        let text = wide_file(&mut random, case);
        wide::import(&store, &series, &text[..], &wide, ImportOptions::default(), &mut |_| {}).unwrap()
    });
    let (samples, faulty) = said.fold((0, 0), |sum, said| (sum.0 + said.samples, sum.1 + said.faulty));
    assert!(samples > 300 && faulty > 300, "{samples} samples, {faulty} faults");
}
