//! `uatwin history backup` and `restore`. A service that has the history open is asked to make the backup itself.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    ops::ControlFlow,
    os::unix::net::UnixStream,
    path::Path,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, open, verify};
use crate::{
    config::Config,
    control::{self, Answer, Request},
    history::{BackupProgress, sled_store::SledStore},
};

/// Longer than any answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {eta} left").expect("the template is right"),
    );
    bar
}

fn show(bar: &ProgressBar, bytes: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(bytes);
}

pub(super) fn backup(config: &Config, to: &Path) -> Result<bool, CommandError> {
    let to = &std::path::absolute(to).map_err(CommandError::Write)?;
    let bar = bar();
    let bytes = match open(config) {
        Ok((store, _)) => {
            let report = store.backup(to, &mut |BackupProgress { bytes, of }| {
                show(&bar, bytes, of);
                ControlFlow::Continue(())
            })?;
            report.bytes
        }
        Err(CommandError::InUse(folder)) => match UnixStream::connect(control::socket_path(&config.data_dir)) {
            Ok(service) => ask(service, to, &bar)?,
            Err(_) => return Err(CommandError::InUse(folder)),
        },
        Err(error) => return Err(error),
    };
    bar.finish_and_clear();
    println!("{}: {bytes} bytes", to.display());
    Ok(true)
}

fn ask(mut service: UnixStream, to: &Path, bar: &ProgressBar) -> Result<u64, CommandError> {
    let mut request =
        serde_json::to_vec(&Request::Backup { to: to.to_owned() }).map_err(|e| CommandError::Service(e.to_string()))?;
    request.push(b'\n');
    service.write_all(&request).map_err(CommandError::Write)?;
    let mut answers = BufReader::new(service);
    loop {
        let mut line = String::new();
        let read = answers.by_ref().take(ANSWER_BYTES_MAX).read_line(&mut line);
        match read.ok().filter(|&read| read > 0).and_then(|_| serde_json::from_str(&line).ok()) {
            Some(Answer::Progress { bytes, of }) => show(bar, bytes, of),
            Some(Answer::Done { bytes, .. }) => return Ok(bytes),
            Some(Answer::Error(error)) => return Err(CommandError::Service(error)),
            None => return Err(CommandError::Service("it went away before the backup was complete".to_owned())),
        }
    }
}

pub(super) fn restore(folder: &Path, from: &Path, force: bool) -> Result<bool, CommandError> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(CommandError::Write)?;
    }
    let bar = bar();
    let (report, moved) = SledStore::restore(from, folder, force, &mut |BackupProgress { bytes, of }| {
        show(&bar, bytes, of);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    verify::say(&report);
    if let Some(moved) = moved {
        println!("the history that was there is now in {}", moved.display());
    }
    println!("restored into {}", folder.display());
    Ok(report.is_whole())
}
