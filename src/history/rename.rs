//! A series that has a new name goes on with the history of its old one: the series' number moves to the new name.

use sled::{Batch, Tree};
use tracing::{info, warn};

use super::blocks::Cause;

/// Moves the number of each old name to the new one, once: what has moved already, and an old name that nobody knows, are
/// left alone. Where both names have a history, the new name's stays and the old one's stays under the old name.
pub(super) fn carry_over(series: &Tree, renames: &[(String, String)]) -> Result<(), Cause> {
    for (old, new) in renames {
        let Some(id) = series.get(old)? else { continue };
        if series.contains_key(new)? {
            warn!(
                series = %new,
                was = %old,
                "both names have a history: that of the new name goes on, that of the old one stays under the old name"
            );
            continue;
        }
        let mut batch = Batch::default();
        batch.remove(old.as_str());
        batch.insert(new.as_str(), id);
        series.apply_batch(batch)?;
        info!(series = %new, was = %old, "history carried over to the new name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{
        history::{
            Direction, HistoryStore,
            sled_store::{SledOptions, SledStore},
        },
        sample::{Sample, SeriesId},
        time::Timestamp,
    };

    fn open(folder: &std::path::Path, names: &[&str], renames: &[(&str, &str)]) -> SledStore {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let renames = renames.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        SledStore::open(folder, &names, SledOptions { renames, free_space_floor: Some(0), ..SledOptions::default() })
            .unwrap()
    }

    fn write(store: &SledStore, series: u32, ticks: std::ops::Range<i64>) {
        let samples: Vec<_> =
            ticks.map(|at| (SeriesId(series), Sample::good(Timestamp::from_ticks(at), f64::from(series)))).collect();
        store.append(&samples).unwrap();
        store.flush().unwrap();
    }

    fn count(store: &SledStore, series: u32) -> usize {
        let all = Timestamp::from_ticks(0)..Timestamp::MAX;
        store.read(SeriesId(series), all, Direction::Forward, usize::MAX).unwrap().len()
    }

    #[test]
    fn a_renamed_series_goes_on_with_its_history_at_every_start() {
        let folder = tempfile::tempdir().unwrap();
        write(&open(folder.path(), &["a", "x"], &[]), 0, 0..3000);
        for start in 0..3 {
            // The old name's place in the list says nothing.
            let store = open(folder.path(), &["x", "b"], &[("never", "x"), ("a", "b")]);
            assert_eq!((count(&store, 0), count(&store, 1)), (0, 3000 + start));
            let at = 3000 + start as i64;
            write(&store, 1, at..at + 1);
        }
        // Without `was` the new name stays what it is, and the old one is free.
        let store = open(folder.path(), &["b", "a"], &[]);
        assert_eq!((count(&store, 0), count(&store, 1)), (3003, 0));
    }

    #[test]
    fn where_both_names_have_a_history_neither_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), &["a", "b"], &[]);
        write(&store, 0, 0..10);
        write(&store, 1, 0..20);
        drop(store);
        assert_eq!(count(&open(folder.path(), &["b"], &[("a", "b")]), 0), 20);
        assert_eq!(count(&open(folder.path(), &["a"], &[]), 0), 10);
    }
}
