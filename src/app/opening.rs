//! What is opened before anything runs.

use std::{path::Path, sync::Arc};

use tracing::warn;

use super::AppError;
use crate::{
    config::Store,
    control::Control,
    event,
    history::{
        SharedStore,
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
) -> Result<SharedStore, AppError> {
    if store == Store::Memory {
        return Ok(Arc::new(MemoryStore::new(twins.series_len(), MEMORY_SAMPLES)));
    }
    let (folder, names) = (data_dir.join("history"), twins.series_names());
    let options = SledOptions { renames, ..SledOptions::default() };
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&folder, &names, options)).await;
    let store = opened.map_err(|panic| AppError::Thread(std::io::Error::other(panic)))??;
    Ok(Arc::new(store))
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
pub(super) fn control(store: Store, data_dir: &Path) -> Option<Control> {
    if store == Store::Memory {
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
