//! Logs: to standard error, for people or for machines. They carry request ids, codes and figures, never fields or persons.

use std::io::stderr;

use tracing::level_filters::LevelFilter;

use crate::config::{Level, Log, LogFormat};

/// Sets up the log of the process.
pub fn start(config: &Log) {
    let level = match config.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(stderr);
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    // The text of a panic may hold a value; where it happened does not.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic. This is a bug");
    }));
}
