//! Logs: to standard error, for people or for machines. They carry request ids, codes and figures, never fields or persons.

use std::io::stderr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Level, LogFormat, Logging};

/// Sets up the log of the process.
pub fn start(config: &Logging) {
    let level = match config.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // What a client sends wrong is not an error of ours; the HTTP library thinks that it is.
    let targets = Targets::new().with_default(level).with_target("actix_http", LevelFilter::OFF);
    let targets = targets.with_target("actix_server", level.min(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let log = tracing_subscriber::registry();
    match config.format {
        LogFormat::Text => log.with(lines.with_filter(targets)).init(),
        LogFormat::Json => log.with(lines.json().with_filter(targets)).init(),
    }
    // The text of a panic may hold a value; where it happened does not.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic. This is a bug");
    }));
}
