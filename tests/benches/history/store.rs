//! Ours, as the service uses it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use uatwin::{
    history::{
        Direction, HistoryStore, block,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId},
    time::Timestamp,
};

use super::{
    historian::Historian,
    measure::{Watch, du},
    mix::{Load, SECOND, START},
};

pub(crate) struct Ours {
    store: SledStore,
    folder: PathBuf,
    compacting_s: f64,
}

impl Ours {
    pub(crate) fn open(folder: &Path, load: &Load) -> Self {
        let options = SledOptions { free_space_floor: Some(0), ..SledOptions::default() };
        let store = SledStore::open(folder, &load.names(), options).expect("history opens");
        Self { store, folder: folder.to_owned(), compacting_s: 0.0 }
    }

    /// Time that compaction took of appending.
    pub(crate) fn compacting_s(&self) -> f64 {
        self.compacting_s
    }

    /// Compacts what is left, and lets the log be cut.
    pub(crate) fn settle(&mut self) {
        while self.store.compact(1 << 20).expect("compact").is_more {}
        (0..20).for_each(|_| self.store.flush().expect("flush"));
    }

    pub(crate) fn print_size(&self, load: &Load) {
        let [all, blocks, log] = ["", "blk", "log"].map(|part| du(&self.folder.join(part)) / load.count());
        println!("on disk (du)      {all:.2} bytes/sample: blocks {blocks:.2}, log {log:.2}");
    }

    /// The time of a series in 365 parts, summed up one by one; milliseconds.
    pub(crate) fn summaries(&self, series: u32, load: &Load) -> f64 {
        let part = load.seconds * SECOND / 365;
        let (watch, mut count) = (Watch::start(), 0);
        for day in 0..366 {
            let start = START - SECOND / 2 + day * part;
            let range = Timestamp::from_ticks(start)..Timestamp::from_ticks(start + part);
            count += self.store.summary(SeriesId(series), range).expect("summary").count();
        }
        let (wall, cpu) = watch.spent();
        assert_eq!(count as usize, load.count_of(series), "every sample is in one part");
        println!(
            "365 summaries     {:.1} ms ({:.1} of processor time) for {:.1} M samples of one series",
            wall * 1e3,
            cpu * 1e3,
            count as f64 / 1e6
        );
        wall * 1e3
    }

    /// Closes it, and tells what blocks are without what sled needs around them.
    pub(crate) fn close_and_print_encoded(self) {
        let path = self.folder.join("blk");
        drop(self);
        // sled lets go of its files a moment after the store is dropped.
        std::thread::park_timeout(Duration::from_millis(500));
        let database = sled::open(path).expect("the run's blocks");
        let tree = |name: &str| database.open_tree(name).expect("the run's blocks");
        let (mut bytes, mut samples, mut blocks) = (0, 0.0, 0);
        for (key, entry) in tree("b").iter().chain(&tree("s")).flatten() {
            bytes += key.len() + entry.len();
        }
        for entry in tree("s").iter().values().flatten() {
            samples += f64::from(block::header(&entry).expect("a whole header").count);
            blocks += 1;
        }
        let (each, per_block) = (bytes as f64 / samples, samples / f64::from(blocks));
        println!("encoded           {each:.2} bytes/sample, {per_block:.0} per block");
    }
}

impl Historian for Ours {
    fn append(&mut self, batch: &[(SeriesId, Sample)]) {
        self.store.append(batch).expect("append");
        // As much as comes in.
        let started = Instant::now();
        self.store.compact(2 * batch.len()).expect("compact");
        self.compacting_s += started.elapsed().as_secs_f64();
    }

    fn flush(&mut self) {
        self.store.flush().expect("flush");
    }

    fn read(&mut self, series: u32, from: Timestamp, limit: usize) -> usize {
        self.store.read(SeriesId(series), from..Timestamp::MAX, Direction::Forward, limit).expect("read").len()
    }
}
