//! The feature specification: what an application and each event carry, and the features made of them.
//!
//! A specification is written by people, so it is judged whole: everything wrong is found in one reading, each with its
//! line and column and the word that was probably meant. What [`Specification::parse`] returns holds; nothing downstream
//! checks again. Its hash ties the parts of a bundle together (M1).

mod canonical;
mod feature;
mod fields;
mod parse;
pub mod source;
#[cfg(test)]
mod tests;
mod window;

use crate::expression::Expression;
use crate::record::Names;
use crate::time::Span;

/// The most bytes of the text in a text field.
pub const MAX_TEXT_BYTES: usize = 256;

/// Everything wrong with a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecErrors {
    pub errors: Vec<SpecError>,
}

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct SpecError {
    pub file: String,
    /// Lines and columns count from 1; a column is a character.
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// A line for each error.
impl std::fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, error) in self.errors.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecErrors {}

/// A parsed and validated `features.toml`.
#[derive(Debug)]
pub struct Specification {
    pub name: String,
    /// The longest look-back: an older event is refused as too late.
    pub horizon: Span,
    /// An event further in the future than this is refused.
    pub clock_skew: Span,
    /// Milliseconds east of UTC at which calendar days begin; fixed, so that no time-zone table can change a feature.
    pub utc_offset_ms: i64,
    /// The fields of an application.
    pub application: Record,
    /// The event types in declared order, then the implicit type `application`, whose fields are the application's own
    /// without the protected ones.
    pub events: Vec<EventType>,
    /// The features, in vector order.
    pub features: Vec<Feature>,
    /// SHA-256 of the canonical specification.
    pub hash: [u8; 32],
}

impl Specification {
    /// Parses and validates: a specification that holds, or all that is wrong with it.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, SpecErrors> {
        parse::parse(file_name, text)
    }

    /// Index of an event type by its name.
    pub fn event_type(&self, name: &str) -> Option<usize> {
        self.events.iter().position(|event| event.name == name)
    }

    /// Index of the implicit event type `application`.
    pub fn application_event(&self) -> usize {
        self.events.len() - 1
    }
}

/// One type of event.
#[derive(Debug)]
pub struct EventType {
    pub name: String,
    pub record: Record,
}

/// The fields of an event or an application, in declared order.
#[derive(Debug)]
pub struct Record {
    pub fields: Vec<Field>,
    names: Names,
}

impl Record {
    /// A record of these fields.
    pub(crate) fn new(fields: Vec<Field>) -> Self {
        let names = fields.iter().enumerate().flat_map(|(index, field)| field.names().map(move |name| (name, index)));
        Self { names: Names::new(names), fields }
    }

    /// Index of the field with this name or alias.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.find(name)
    }
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub kind: FieldKind,
    pub required: bool,
    /// Kept for segment reports; may never enter the vector or a filter.
    pub protected: bool,
    pub aliases: Vec<String>,
    /// The smallest and largest raw value (see [`crate::fixed`]); categories run from 0, booleans from 0 to 1.
    pub min: i64,
    pub max: i64,
}

impl Field {
    /// Its name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// What a field holds, and so what its raw `i64` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// The integer itself.
    Integer,
    /// The number times 10^scale.
    Decimal { scale: u8 },
    /// The position in the closed list.
    Category { values: Vec<String> },
    /// A 64-bit hash of the text: good for distinct counts and nothing else.
    Text,
    /// 0 or 1.
    Boolean,
}

/// One column of the vector.
#[derive(Debug)]
pub struct Feature {
    pub name: String,
    /// What stands in when the value is missing; without it the value stays NaN, and the model has to accept that.
    pub default: Option<f64>,
    pub definition: Definition,
}

/// How a feature is made.
#[derive(Debug)]
pub enum Definition {
    /// An aggregate of a window of events.
    Aggregate(AggregateFeature),
    /// An expression over the application's fields (slots 0..fields) and, behind them, all features in order (an
    /// expression may name only features declared above it).
    Expression(Expression),
}

/// An aggregate over the events of one type that a filter lets through, in one window.
#[derive(Debug)]
pub struct AggregateFeature {
    /// Index into [`Specification::events`].
    pub from: usize,
    /// Index into that type's fields; `None` for count, time since first/last, and a rate of events.
    pub field: Option<usize>,
    /// An expression over the event's fields; `None` lets every event through.
    pub filter: Option<Expression>,
    pub aggregate: Aggregate,
    pub window: Window,
}

/// What is computed over a window's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    Count,
    Sum,
    Mean,
    Stddev,
    Min,
    Max,
    First,
    Last,
    Distinct,
    TimeSinceFirst,
    TimeSinceLast,
    Trend,
    Rate,
}

/// The events an aggregate looks at, seen from `as_of`. Every window is half open: an event exactly at its lower edge is
/// outside, one exactly at `as_of` is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// (as_of - span, as_of].
    Sliding(Span),
    /// The run of events that ends at `as_of`, no two neighbours further apart than `gap`; nothing once `as_of` is further
    /// than `gap` from the last event. Never reaches back further than `longest` from `as_of`.
    Session { gap: Span, longest: Span },
    /// The day, ISO week or month that `as_of` falls in, up to `as_of`; or the whole one before it.
    Calendar { unit: CalendarUnit, previous: bool },
    /// Everything ever applied.
    Lifetime,
}

/// The unit of a calendar window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CalendarUnit {
    Day,
    Week,
    Month,
}
