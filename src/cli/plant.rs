//! `uatwin plant`: the simulated plant alone.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    plant::{Plant, PlantError, PlantOptions},
    time::Clock,
};

/// Runs until `stop`.
///
/// # Errors
/// A taken port, an unwritable folder.
pub async fn run(options: PlantOptions, clock: Arc<dyn Clock>, stop: CancellationToken) -> Result<(), PlantError> {
    Plant::bind(options).await?.run(stop, clock).await
}
