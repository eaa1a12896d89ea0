//! Logs: to standard error, for people or for machines. They carry request ids, codes and figures, never fields or persons.
//!
//! A line that is logged for a request names it, its trace and its route: in text before the message, in JSON under `span`. A line of JSON
//! is one object: `timestamp`, `level`, `target`, `message`, what the message has of its own, and `span`.

use std::fmt::{self, Debug};
use std::io::stderr;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
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
    // Only our own lines are known to hold nothing of persons: those of libraries may show paths and bodies.
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("cauce", level);
    // What a client sends wrong is not an error of ours; the HTTP library thinks that it is.
    let targets = targets.with_target("actix_http", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let log = tracing_subscriber::registry();
    match config.format {
        LogFormat::Text => log.with(lines.with_filter(targets)).init(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false).fmt_fields(SpanFields);
            log.with(lines.with_filter(targets)).init();
        }
    }
    // The text of a panic may hold a value; where it happened does not.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic. This is a bug");
    }));
}

/// Writes what a span has, once, as the object that its lines show. The library's own way of doing so costs a request a microsecond, most of
/// it for a map.
struct SpanFields;

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut object = Object { writer, before: '{', outcome: Ok(()) };
        fields.record(&mut object);
        let Object { mut writer, before, outcome } = object;
        outcome?;
        writer.write_str(if before == '{' { "{}" } else { "}" })
    }
}

/// An object that is being written.
struct Object<'w> {
    writer: Writer<'w>,
    /// What stands before the next member.
    before: char,
    outcome: fmt::Result,
}

impl Object<'_> {
    fn member(&mut self, field: &Field, json: &str) {
        let written = write!(self.writer, "{}\"{}\":{json}", self.before, field.name());
        self.outcome = self.outcome.and(written);
        self.before = ',';
    }
}

impl Visit for Object<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, &serde_json::Value::from(value).to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
