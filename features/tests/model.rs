//! A specification as data: what the oracle evaluates, and what is printed as `features.toml` for the engine.

use cauce_features::plan::FeaturePlan;
use cauce_features::spec::{Aggregate, CalendarUnit, Specification, Window};

use crate::formula::{Formula, category};

/// A specification.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) horizon_ms: i64,
    pub(crate) utc_offset_minutes: i32,
    pub(crate) application: Vec<Field>,
    pub(crate) events: Vec<EventType>,
    pub(crate) features: Vec<Feature>,
}

#[derive(Debug, Clone)]
pub(crate) struct EventType {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: FieldKind,
    pub(crate) required: bool,
    pub(crate) protected: bool,
}

/// What a field holds; limits are raw values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Integer { min: i64, max: i64 },
    Decimal { scale: u8, min: i64, max: i64 },
    Category { values: usize },
    Text,
    Boolean,
}

#[derive(Debug, Clone)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) default: Option<f64>,
    pub(crate) made: Made,
}

#[derive(Debug, Clone)]
pub(crate) enum Made {
    Windowed(Windowed),
    Derived(Formula),
}

/// An aggregate over a window.
#[derive(Debug, Clone)]
pub(crate) struct Windowed {
    /// Index of the event type; behind the declared ones stands `application`.
    pub(crate) from: usize,
    pub(crate) filter: Option<Formula>,
    pub(crate) aggregate: Aggregate,
    pub(crate) field: Option<String>,
    pub(crate) window: Window,
}

impl Model {
    /// The engine's view of it, through its own parser.
    pub(crate) fn plan(&self) -> FeaturePlan {
        let text = self.toml();
        let specification =
            Specification::parse("features.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
        for (kind, event) in self.events.iter().enumerate() {
            assert_eq!(specification.event_type(&event.name), Some(kind), "event types keep their declared order");
        }
        assert_eq!(specification.application_event(), self.application_kind());
        FeaturePlan::compile(specification).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"))
    }

    /// Index of the event type `application`.
    pub(crate) fn application_kind(&self) -> usize {
        self.events.len()
    }

    /// The fields that an event of this type carries: an application's without the protected ones.
    pub(crate) fn fields(&self, kind: usize) -> Vec<&Field> {
        match self.events.get(kind) {
            Some(event) => event.fields.iter().collect(),
            None => self.application.iter().filter(|field| !field.protected).collect(),
        }
    }

    /// Every length of time that matters to a read.
    pub(crate) fn lengths_ms(&self) -> Vec<i64> {
        let mut lengths = vec![self.horizon_ms, 3_600_000, 86_400_000];
        for feature in &self.features {
            match &feature.made {
                Made::Windowed(Windowed { window: Window::Sliding(span), .. }) => lengths.push(span.millis()),
                Made::Windowed(Windowed { window: Window::Session { gap, longest }, .. }) => {
                    lengths.extend([gap.millis(), longest.millis()]);
                }
                _ => {}
            }
        }
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// The specification file.
    pub(crate) fn toml(&self) -> String {
        let (hours, minutes) = (self.utc_offset_minutes.abs() / 60, self.utc_offset_minutes.abs() % 60);
        let sign = if self.utc_offset_minutes < 0 { '-' } else { '+' };
        let mut text = format!("name = \"trial\"\nhorizon = \"{}\"\n", span(self.horizon_ms));
        text.push_str(&format!("utc_offset = \"{sign}{hours:02}:{minutes:02}\"\n"));
        write_fields(&mut text, "application", &self.application);
        for event in &self.events {
            write_fields(&mut text, &format!("events.{}", event.name), &event.fields);
        }
        for feature in &self.features {
            self.write_feature(&mut text, feature);
        }
        text
    }

    fn write_feature(&self, text: &mut String, feature: &Feature) {
        text.push_str(&format!("\n[[features]]\nname = \"{}\"\n", feature.name));
        match &feature.made {
            Made::Derived(formula) => text.push_str(&format!("expression = '{}'\n", formula.cel())),
            Made::Windowed(windowed) => {
                let from = self.events.get(windowed.from).map_or("application", |event| &event.name);
                let aggregate = word(windowed.aggregate);
                text.push_str(&format!("from = \"{from}\"\naggregate = \"{aggregate}\"\n"));
                if let Some(filter) = &windowed.filter {
                    text.push_str(&format!("where = '{}'\n", filter.cel()));
                }
                if let Some(field) = &windowed.field {
                    text.push_str(&format!("field = \"{field}\"\n"));
                }
                text.push_str(&format!("window = {}\n", window(&windowed.window)));
            }
        }
        if let Some(default) = feature.default {
            text.push_str(&format!("default = {default:?}\n"));
        }
    }
}

fn write_fields(text: &mut String, record: &str, fields: &[Field]) {
    text.push_str(&format!("\n[{record}.fields]\n"));
    for Field { name, kind, required, protected } in fields {
        let kind = match kind {
            FieldKind::Integer { min, max } => format!("type = \"integer\", min = {min}, max = {max}"),
            FieldKind::Decimal { scale, min, max } => {
                format!(
                    "type = \"decimal\", scale = {scale}, min = {}, max = {}",
                    decimal(*min, *scale),
                    decimal(*max, *scale)
                )
            }
            FieldKind::Category { values } => {
                let values: Vec<_> = (0..*values).map(category).collect();
                format!("type = \"category\", values = {values:?}")
            }
            FieldKind::Text => "type = \"text\"".to_owned(),
            FieldKind::Boolean => "type = \"boolean\"".to_owned(),
        };
        let required = if *required { "" } else { ", required = false" };
        let protected = if *protected { ", protected = true" } else { "" };
        text.push_str(&format!("{name} = {{ {kind}{required}{protected} }}\n"));
    }
}

/// The exact decimal of a raw value.
fn decimal(raw: i64, scale: u8) -> String {
    let sign = if raw < 0 { "-" } else { "" };
    let unit = 10_u64.pow(u32::from(scale));
    let (whole, rest) = (raw.unsigned_abs() / unit, raw.unsigned_abs() % unit);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:0width$}", width = scale.into()) }
}

fn window(window: &Window) -> String {
    match window {
        Window::Sliding(length) => format!("{{ sliding = \"{}\" }}", span(length.millis())),
        Window::Session { gap, longest } => {
            format!("{{ session = \"{}\", longest = \"{}\" }}", span(gap.millis()), span(longest.millis()))
        }
        Window::Calendar { unit, previous } => {
            let unit = match unit {
                CalendarUnit::Day => "day",
                CalendarUnit::Week => "week",
                CalendarUnit::Month => "month",
            };
            format!("{{ calendar = \"{unit}\", previous = {previous} }}")
        }
        Window::Lifetime => "\"lifetime\"".to_owned(),
    }
}

fn span(millis: i64) -> String {
    let units = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let (unit, length) = units.iter().find(|(_, length)| millis % length == 0).expect("a millisecond divides all");
    format!("{}{unit}", millis / length)
}

pub(crate) fn word(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Count => "count",
        Aggregate::Sum => "sum",
        Aggregate::Mean => "mean",
        Aggregate::Stddev => "stddev",
        Aggregate::Min => "min",
        Aggregate::Max => "max",
        Aggregate::First => "first",
        Aggregate::Last => "last",
        Aggregate::Distinct => "distinct",
        Aggregate::TimeSinceFirst => "time_since_first",
        Aggregate::TimeSinceLast => "time_since_last",
        Aggregate::Trend => "trend",
        Aggregate::Rate => "rate",
    }
}
