//! What is opened before anything runs.

use std::{path::Path, sync::Arc};

use tracing::warn;

use super::AppError;
use crate::{
    config::Store,
    control::Control,
    event,
    history::{
        HistoryError, Role, SharedStore,
        clickhouse_store::{ClickHouseOptions, ClickHouseStore},
        forwarding::ForwardingStore,
        memory_store::MemoryStore,
        sled_store::{SledOptions, SledStore},
        writer::Watermark,
    },
    northbound::HistoryStatus,
    revisions::{Restored, Revisions},
    time::Timestamp,
    twin::Twins,
};

/// Samples per series that a store in memory keeps.
const MEMORY_SAMPLES: usize = 100_000;

/// The newest event of each condition.
pub(super) async fn conditions(history: SharedStore) -> Result<Vec<event::Event>, AppError> {
    let read = tokio::task::spawn_blocking(move || history.conditions()).await;
    Ok(read.unwrap_or_else(|_| Ok(Vec::new()))?)
}

pub(super) async fn open_history(
    store: Store,
    data_dir: &Path,
    twins: &Twins,
    renames: Vec<(String, String)>,
    now: Timestamp,
) -> Result<SharedStore, AppError> {
    if store == Store::Memory {
        return Ok(Arc::new(MemoryStore::new(twins.series_len(), MEMORY_SAMPLES)));
    }
    let (folder, names) = (data_dir.join("history"), twins.series_names());
    let open = move || open_on_disk(store, &folder, &names, renames, now);
    let opened = tokio::task::spawn_blocking(open).await;
    Ok(opened.map_err(|panic| AppError::Thread(std::io::Error::other(panic)))??)
}

fn open_on_disk(
    store: Store,
    folder: &Path,
    names: &[String],
    renames: Vec<(String, String)>,
    now: Timestamp,
) -> Result<SharedStore, HistoryError> {
    let Store::ClickHouse { options, keep } = store else {
        let options = SledOptions { renames, ..SledOptions::default() };
        return Ok(Arc::new(SledStore::open(folder, names, options)?));
    };
    let front = SledOptions { renames: renames.clone(), role: Role::Front(Some(now)), ..SledOptions::default() };
    let front = SledStore::open(folder, names, front)?;
    let options = ClickHouseOptions { renames, ..options };
    let behind = ClickHouseStore::new(options, names).map_err(|cause| HistoryError::Flush(cause.into()))?;
    Ok(Arc::new(ForwardingStore::start(front, Arc::new(behind), keep)?))
}

pub(super) async fn revisions(
    history: SharedStore,
    twins: Arc<Twins>,
    now: Timestamp,
) -> Result<(Revisions, Vec<Restored>), AppError> {
    let opened = tokio::task::spawn_blocking(move || Revisions::open(history, twins, now)).await;
    Ok(opened.map_err(|panic| AppError::Thread(std::io::Error::other(panic)))??)
}

/// For `uatwin history backup`. The twins do without it.
pub(super) fn control(store: &Store, data_dir: &Path) -> Option<Control> {
    if *store == Store::Memory {
        return None;
    }
    let bound = Control::bind(data_dir);
    bound.map_err(|error| warn!(%error, "no control socket: there are no backups while the service runs")).ok()
}

/// Fails early and clearly where nothing can be stored.
pub(super) fn ensure_writable(path: &Path) -> Result<(), AppError> {
    let folder = |cause| AppError::Folder { path: path.to_owned(), cause };
    std::fs::create_dir_all(path).map_err(folder)?;
    let probe = path.join(".writable");
    std::fs::write(&probe, []).map_err(folder)?;
    std::fs::remove_file(&probe).map_err(folder)
}

pub(super) fn status(watermark: Watermark) -> HistoryStatus {
    HistoryStatus {
        durable_until: watermark.durable_until,
        state: format!("{:?}", watermark.state),
        free_space: watermark.free_space,
    }
}
