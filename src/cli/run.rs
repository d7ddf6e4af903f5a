//! `uatwin run --config F`: the service.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::{App, AppError},
    config::Config,
    time::Clock,
};

/// Runs until `stop`.
///
/// # Errors
/// What [`App`] fails at.
pub async fn run(config: Config, clock: Arc<dyn Clock>, stop: CancellationToken) -> Result<(), AppError> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let app = App::start(config, clock).await?;
    info!(twins = app.state().configured().twins.len(), "twins ready");
    let report = app.run(stop).await?;
    info!(samples = report.samples, lost = report.samples_lost, bytes = report.bytes, "stopped; all of it is durable");
    Ok(())
}
