//! `uatwin run --config F`: the service.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::{App, AppError, Loader},
    config::Config,
    time::Clock,
};

/// Runs until `stop`; loads the config anew whenever a hang-up comes.
///
/// # Errors
/// What [`App`] fails at.
pub async fn run(
    config: Config,
    (load, mut hangups): (Loader, mpsc::Receiver<()>),
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), AppError> {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let app = App::start(config, clock).await?.reloading_by(load);
    info!(twins = app.state().configured().count(), "twins ready");
    let reloads = app.reloads();
    let asked = async {
        while hangups.recv().await.is_some() {
            let (reply, _) = oneshot::channel(); // the log has what came of it
            let _ = reloads.send(reply).await;
        }
        std::future::pending().await
    };
    let report = tokio::select! {
        report = app.run(stop) => report?,
        never = asked => never,
    };
    info!(samples = report.samples, lost = report.samples_lost, bytes = report.bytes, "stopped; all of it is durable");
    Ok(())
}
