//! The canonical form of a specification: everything that can change a value or the wire, and nothing else.
//!
//! Comments, white space, the order of keys and the spelling of numbers are not in it. A change of this form changes every
//! hash, and so parts every bundle from its model: its first line counts such changes.

use std::fmt::{self, Write};

use super::feature::word;
use super::{AggregateFeature, CalendarUnit, Definition, Feature, Field, FieldKind, Record, Specification, Window};

impl Specification {
    /// The text that is hashed.
    pub(super) fn canonical(&self) -> String {
        let mut text = String::new();
        self.write_canonical(&mut text).expect("a string takes all that is written to it");
        text
    }

    fn write_canonical(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "cauce specification 1")?;
        writeln!(out, "name {}", self.name)?;
        writeln!(out, "horizon {} skew {}", self.horizon.millis(), self.clock_skew.millis())?;
        writeln!(out, "utc offset {}", self.utc_offset_ms)?;
        writeln!(out, "application")?;
        write_record(out, &self.application)?;
        for event in &self.events {
            writeln!(out, "event {}", event.name)?;
            write_record(out, &event.record)?;
        }
        self.features.iter().try_for_each(|feature| write_feature(out, feature))
    }
}

fn write_record(out: &mut String, record: &Record) -> fmt::Result {
    record.fields.iter().try_for_each(|field| {
        let Field { name, kind, required, protected, aliases, min, max } = field;
        write!(out, " field {name} ")?;
        match kind {
            FieldKind::Integer => write!(out, "integer")?,
            FieldKind::Decimal { scale } => write!(out, "decimal {scale}")?,
            FieldKind::Category { values } => {
                write!(out, "category")?;
                write_texts(out, values)?;
            }
            FieldKind::Text => write!(out, "text")?,
            FieldKind::Boolean => write!(out, "boolean")?,
        }
        write!(out, " {min}..{max} required {required} protected {protected} aliases")?;
        write_texts(out, aliases)?;
        writeln!(out)
    })
}

/// Each with its length before it, so that no text can look like two.
fn write_texts(out: &mut String, texts: &[String]) -> fmt::Result {
    texts.iter().try_for_each(|text| write!(out, " {}:{text}", text.len()))
}

fn write_feature(out: &mut String, feature: &Feature) -> fmt::Result {
    write!(out, "feature {} ", feature.name)?;
    match feature.default {
        Some(default) => write!(out, "default {default:?} ")?,
        None => write!(out, "no default ")?,
    }
    match &feature.definition {
        Definition::Expression(expression) => writeln!(out, "= {expression}"),
        Definition::Aggregate(AggregateFeature { from, field, filter, aggregate, window }) => {
            write!(out, "{} of event {from} ", word(*aggregate))?;
            match field {
                Some(field) => write!(out, "field {field} ")?,
                None => write!(out, "no field ")?,
            }
            write_window(out, window)?;
            match filter {
                Some(filter) => writeln!(out, " where {filter}"),
                None => writeln!(out),
            }
        }
    }
}

fn write_window(out: &mut String, window: &Window) -> fmt::Result {
    match window {
        Window::Sliding(span) => write!(out, "sliding {}", span.millis()),
        Window::Session { gap, longest } => write!(out, "session {} longest {}", gap.millis(), longest.millis()),
        Window::Calendar { unit, previous } => {
            let unit = match unit {
                CalendarUnit::Day => "day",
                CalendarUnit::Week => "week",
                CalendarUnit::Month => "month",
            };
            write!(out, "calendar {unit} previous {previous}")
        }
        Window::Lifetime => write!(out, "lifetime"),
    }
}
