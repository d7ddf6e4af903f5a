//! A folder is opened by one at a time, whatever is left in it, and the log is cut behind it.

use super::*;
use crate::history::HistoryError;

#[test]
fn a_second_store_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = SledStore::open(folder.path(), &names(), small()).unwrap();
    let second = SledStore::open(folder.path(), &names(), small());
    assert!(matches!(second, Err(HistoryError::InUse { .. })), "{second:?}");
    drop(first);
    SledStore::open(folder.path(), &names(), small()).unwrap();
}

#[test]
fn series_are_known_by_name_whatever_their_order() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = SledStore::open(folder.path(), &names(), small()).unwrap();
        append(&store, A, (0..30).map(|i| good(i, 1.0)));
        append(&store, B, (0..5).map(|i| good(i, 2.0)));
        store.flush().unwrap();
    }
    {
        // Temperature is not configured for a while; what the log has of it must not go.
        let store = SledStore::open(folder.path(), &["New".into(), "Heater1.Power".into()], small()).unwrap();
        assert_eq!(all(&store, A), []);
        assert_eq!(all(&store, B).len(), 5);
        for i in 0..40 {
            append(&store, A, [good(i, 3.0)]);
            store.flush().unwrap();
        }
    }
    let store =
        SledStore::open(folder.path(), &["Heater1.Power".into(), "Heater1.Temperature".into()], small()).unwrap();
    assert_eq!(all(&store, A), (0..5).map(|i| good(i, 2.0)).collect::<Vec<_>>());
    assert_eq!(all(&store, B), (0..30).map(|i| good(i, 1.0)).collect::<Vec<_>>());
}

#[test]
fn below_the_floor_nothing_is_taken_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = SledStore::open(folder.path(), &names(), small()).unwrap();
        append(&store, A, [good(1, 1.0)]);
        store.flush().unwrap();
    }
    let options = SledOptions { free_space_floor: Some(u64::MAX), ..small() };
    let store = SledStore::open(folder.path(), &names(), options).unwrap();
    let result = store.append(&[(A, good(2, 2.0))]);
    assert!(matches!(result, Err(HistoryError::DiskFull { floor: u64::MAX, .. })), "{result:?}");
    assert_eq!(all(&store, A), [good(1, 1.0)]);
}

#[test]
fn an_interrupted_snapshot_does_not_lock_history() {
    let folder = tempfile::tempdir().unwrap();
    drop(SledStore::open(folder.path(), &names(), small()).unwrap());
    for database in ["blk", "log"] {
        std::fs::write(folder.path().join(database).join("snap.0000000000001234.generating"), b"").unwrap();
    }
    SledStore::open(folder.path(), &names(), small()).unwrap();
}

#[test]
fn slow_series_do_not_pin_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path(), &names(), small()).unwrap();
    append(&store, B, [good(1, 1.0)]);
    for i in 0..2000 {
        append(&store, A, [good(i, 1.0)]);
        if i % 50 == 0 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
    store.flush().unwrap();
    let kept = store.log().kept_bytes;
    assert!(kept <= 2 * small().log_bytes_max, "{kept} bytes of log kept");
    assert_eq!(all(&store, B), [good(1, 1.0)]);
}

#[test]
fn what_comes_after_a_reopen_with_nothing_left_in_the_log_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SledStore::open(folder.path(), &names(), small()).unwrap();
    let store = open();
    let mut next = 0;
    // Until everything is sealed and the log cut.
    while next < 8 || store.log().head_bytes > 0 {
        append(&store, A, [good(next, 0.0)]);
        next += 1;
    }
    (0..4).for_each(|_| store.flush().unwrap());
    drop(store);
    for _ in 0..3 {
        let store = open();
        append(&store, A, [good(next, 0.0)]);
        store.flush().unwrap();
        next += 1;
        drop(store);
        assert_eq!(all(&open(), A).len() as i64, next);
    }
}
