//! Logs: to standard error, for people or for machines. They carry request ids, codes and figures, never fields or persons.
//!
//! A line that is logged for a request names it, its trace and its route: in text before the message, in JSON under `span`. A line of JSON
//! is one object: `timestamp`, `level`, `target`, `message`, what the message has of its own, and `span`.

use std::fmt::{Debug, Result};
use std::io::stderr;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::{self, FormatFields};
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
    let log = tracing_subscriber::registry();
    match config.format {
        LogFormat::Text => log.with(fmt::layer().with_writer(stderr).with_filter(targets)).init(),
        LogFormat::Json => log.with(json().with_writer(stderr).with_filter(targets)).init(),
    }
    // The text of a panic may hold a value; where it happened does not.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic. This is a bug");
    }));
}

/// Lines for machines.
fn json<S>() -> fmt::Layer<S, SpanFields, Format<Json>> {
    fmt::layer().json().flatten_event(true).with_span_list(false).fmt_fields(SpanFields)
}

/// Writes what a span has, once, as the object that its lines show. The library's own way of doing so costs a request a microsecond, most of
/// it for a map.
struct SpanFields;

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> Result {
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
    outcome: Result,
}

impl Object<'_> {
    fn member(&mut self, name: &str, value: &str) -> Result {
        let is_plain = !value.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\'));
        self.writer.write_char(std::mem::replace(&mut self.before, ','))?;
        for part in ["\"", name, "\":"] {
            self.writer.write_str(part)?;
        }
        match is_plain {
            true => ["\"", value, "\""].into_iter().try_for_each(|part| self.writer.write_str(part)),
            false => self.writer.write_str(&Value::from(value).to_string()),
        }
    }
}

impl Visit for Object<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.outcome = self.outcome.and_then(|()| self.member(field.name(), value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Lines {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn what_a_span_has_is_json_whatever_it_is() {
        let written = Lines::default();
        let lines = json().with_writer(written.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let span = tracing::error_span!("request", plain = "a-1", quoted = "a\"\\\n\u{1}", number = 5, none = %"");
            span.in_scope(|| tracing::error!(status = 503, "failed"));
            tracing::error_span!("empty").in_scope(|| tracing::error!("failed"));
        });
        let text = String::from_utf8(written.0.lock().clone()).unwrap();
        let read: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let span = serde_json::json!(
            {"name": "request", "plain": "a-1", "quoted": "a\"\\\n\u{1}", "number": "5", "none": ""}
        );
        assert_eq!((&read[0]["span"], &read[0]["status"], &read[0]["message"]), (&span, &503.into(), &"failed".into()));
        assert_eq!(read[1]["span"], serde_json::json!({"name": "empty"}));
    }
}
