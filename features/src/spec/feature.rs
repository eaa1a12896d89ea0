//! The features as they are declared: aggregates of windows, and expressions over what stands above them.

use toml::de::DeValue;

use super::source::{Found, Section, Source, meant};
use super::window::window;
use super::{Aggregate, AggregateFeature, Definition, EventType, Feature, FieldKind, Record, Window};
use crate::expression::{Expression, Slot, SlotKind};
use crate::time::Span;

/// The most features of a vector.
const MAX_FEATURES: usize = 1_024;

const AGGREGATES: [(&str, Aggregate); 13] = [
    ("count", Aggregate::Count),
    ("sum", Aggregate::Sum),
    ("mean", Aggregate::Mean),
    ("stddev", Aggregate::Stddev),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
    ("first", Aggregate::First),
    ("last", Aggregate::Last),
    ("distinct", Aggregate::Distinct),
    ("time_since_first", Aggregate::TimeSinceFirst),
    ("time_since_last", Aggregate::TimeSinceLast),
    ("trend", Aggregate::Trend),
    ("rate", Aggregate::Rate),
];

/// What a feature may name.
pub(super) struct Context<'r> {
    application: &'r Record,
    events: &'r [EventType],
    horizon: Span,
    /// The names of all features, in order, for those that are declared below.
    names: Vec<String>,
}

/// What stands in a feature's slot for those below it.
#[derive(Clone, Copy)]
enum Holds<'r> {
    Number,
    Boolean,
    Category(&'r [String]),
}

/// The features in vector order.
pub(super) fn features(
    source: &mut Source<'_>,
    file: Section<'_>,
    application: &Record,
    events: &[EventType],
    horizon: Span,
) -> Vec<Feature> {
    let sections = sections(source, file);
    let name = |section: &Section<'_>| {
        let name = section.table.get("name").and_then(|name| name.get_ref().as_str());
        name.unwrap_or_default().to_owned()
    };
    let context = Context { application, events, horizon, names: sections.iter().map(name).collect() };
    let mut holds = Vec::with_capacity(sections.len());
    let mut features = Vec::with_capacity(sections.len());
    for section in sections {
        let (feature, held) = feature(source, section, &context, &holds);
        holds.push(held);
        features.extend(feature);
    }
    features
}

fn sections<'v>(source: &mut Source<'_>, file: Section<'v>) -> Vec<Section<'v>> {
    let Some((key, value)) = file.table.get_key_value("features") else {
        source.refuse(0, "`[[features]]` is missing: a vector has at least one");
        return Vec::new();
    };
    let at = key.span().start;
    let DeValue::Array(items) = value.get_ref() else {
        source.refuse(at, "features are declared one by one, each under `[[features]]`");
        return Vec::new();
    };
    if !(1..=MAX_FEATURES).contains(&items.len()) {
        source.refuse(at, format!("a vector has 1 to {MAX_FEATURES} features, not {}", items.len()));
        return Vec::new();
    }
    items.iter().filter_map(|item| source.as_section("features", item.span().start, item)).collect()
}

fn feature<'r>(
    source: &mut Source<'_>,
    section: Section<'_>,
    context: &Context<'r>,
    above: &[Holds<'r>],
) -> (Option<Feature>, Holds<'r>) {
    let has = |key: &str| section.table.contains_key(key);
    let name = source.required_text(section, "name");
    if let Some(name) = name {
        source.check_name("feature", name);
        if context.names[..above.len()].iter().any(|known| known == name.value) {
            source.refuse(name.at, format!("there is a feature `{}` above", name.value));
        }
    }
    let built = match (has("expression"), has("aggregate") || has("from")) {
        (true, true) => {
            source.refuse(section.at, "a feature has an `expression`, or `from` and `aggregate`, not both");
            None
        }
        (true, false) => {
            source.only(section, &["name", "expression", "default"]);
            expression(source, section, context, above)
        }
        (false, _) => {
            source.only(section, &["name", "from", "where", "aggregate", "field", "window", "default"]);
            aggregate(source, section, context)
        }
    };
    let default = default(source, section, built.as_ref().map(|(definition, _)| definition));
    if let Some(name) = name {
        check_against_fields(source, name, built.as_ref().map(|(definition, _)| definition), context);
    }
    match (name, built) {
        (Some(name), Some((definition, held))) => {
            (Some(Feature { name: name.value.to_owned(), default, definition }), held)
        }
        _ => (None, Holds::Number),
    }
}

/// A feature has the name of an application's field only if both are one value.
fn check_against_fields(source: &mut Source<'_>, name: Found<&str>, built: Option<&Definition>, context: &Context<'_>) {
    let Some(index) = context.application.fields.iter().position(|field| field.name == name.value) else { return };
    let same = match built {
        Some(Definition::Expression(expression)) => expression.alone() == Some(index),
        Some(Definition::Aggregate(_)) => false,
        None => true,
    };
    if !same {
        let name_is = name.value;
        source.refuse(
            name.at,
            format!("`{name_is}` is a field of the application; only `expression = \"{name_is}\"` may share its name"),
        );
    }
}

fn default(source: &mut Source<'_>, section: Section<'_>, built: Option<&Definition>) -> Option<f64> {
    let given = source.number(section, "default")?;
    if let Some(Definition::Aggregate(AggregateFeature { aggregate, .. })) = built
        && matches!(aggregate, Aggregate::Count | Aggregate::Sum | Aggregate::Distinct | Aggregate::Rate)
    {
        source.refuse(given.at, format!("`default` has no use: a {} is never missing", word(*aggregate)));
    }
    match given.value.parse::<f64>() {
        Ok(number) if (number as f32).is_finite() => Some(number),
        _ => {
            source.refuse(given.at, "`default` is a finite number; leave it out to keep a missing value missing");
            None
        }
    }
}

pub(super) fn word(aggregate: Aggregate) -> &'static str {
    AGGREGATES.iter().find(|(_, known)| *known == aggregate).map_or("", |(word, _)| word)
}

fn expression<'r>(
    source: &mut Source<'_>,
    section: Section<'_>,
    context: &Context<'r>,
    above: &[Holds<'r>],
) -> Option<(Definition, Holds<'r>)> {
    let mut slots: Vec<Slot<'_>> =
        context.application.fields.iter().map(|field| slot(&field.name, &field.kind, field.protected)).collect();
    slots.extend(context.names.iter().enumerate().map(|(index, name)| {
        let kind = match above.get(index) {
            Some(Holds::Number) => SlotKind::Number,
            Some(Holds::Boolean) => SlotKind::Boolean,
            Some(Holds::Category(values)) => SlotKind::Category(values),
            None if index == above.len() => SlotKind::Refused("is this feature itself"),
            None => SlotKind::Refused("is declared below; an expression uses only features above it"),
        };
        Slot { name, kind }
    }));
    let expression = compile(source, section, "expression", &slots)?;
    let held = match expression.alone().map(|slot| slots[slot].kind) {
        _ if expression.is_condition() => Holds::Boolean,
        Some(SlotKind::Boolean) => Holds::Boolean,
        Some(SlotKind::Category(_)) => category_of(expression.alone(), context, above),
        _ => Holds::Number,
    };
    Some((Definition::Expression(expression), held))
}

/// The list behind a slot that holds a category.
fn category_of<'r>(slot: Option<usize>, context: &Context<'r>, above: &[Holds<'r>]) -> Holds<'r> {
    let fields = &context.application.fields;
    match slot.and_then(|slot| fields.get(slot).map(|field| &field.kind)) {
        Some(FieldKind::Category { values }) => Holds::Category(values),
        _ => slot.and_then(|slot| above.get(slot - fields.len()).copied()).unwrap_or(Holds::Number),
    }
}

fn slot<'n>(name: &'n str, kind: &'n FieldKind, protected: bool) -> Slot<'n> {
    let kind = match kind {
        _ if protected => SlotKind::Refused(PROTECTED),
        FieldKind::Integer | FieldKind::Decimal { .. } => SlotKind::Number,
        FieldKind::Boolean => SlotKind::Boolean,
        FieldKind::Category { values } => SlotKind::Category(values),
        FieldKind::Text => SlotKind::Refused("is a text, good for distinct counts only"),
    };
    Slot { name, kind }
}

const PROTECTED: &str = "is protected: it may never enter a feature";

fn compile(source: &mut Source<'_>, section: Section<'_>, key: &str, slots: &[Slot<'_>]) -> Option<Expression> {
    let text = source.text(section, key)?;
    match Expression::compile(text.value, slots) {
        Ok(expression) => Some(expression),
        Err(error) => {
            let at = inside(source.text, text, error.offset);
            source.refuse(at, error.message);
            None
        }
    }
}

/// Where an offset into a TOML text stands in the file: behind its quotes, if the text is written without escapes.
fn inside(file: &str, text: Found<&str>, offset: usize) -> usize {
    let written = &file[text.at..];
    let quotes = if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 };
    let newline = match &written[quotes..] {
        rest if quotes == 3 && rest.starts_with("\r\n") => 2,
        rest if quotes == 3 && rest.starts_with('\n') => 1,
        _ => 0,
    };
    let start = quotes + newline;
    if written[start..].starts_with(text.value) { text.at + start + offset } else { text.at }
}

fn aggregate<'r>(
    source: &mut Source<'_>,
    section: Section<'_>,
    context: &Context<'r>,
) -> Option<(Definition, Holds<'r>)> {
    let aggregate = aggregate_word(source, section);
    let from = event_type(source, section, context);
    let window = window(source, section, context.horizon);
    if let (Some(Aggregate::Distinct), Some(Window::Lifetime)) = (aggregate, window) {
        source.refuse(section.at, "`distinct` cannot be counted over a lifetime: every value would have to be kept");
    }
    let (from, aggregate) = (from?, aggregate?);
    let record = &context.events[from].record;
    let protected = |name: &str| {
        from + 1 == context.events.len()
            && context.application.fields.iter().any(|field| field.protected && field.name == name)
    };
    let field = field(source, section, aggregate, record, protected);
    let filter = filter(source, section, record);
    let held = match field.map(|field| &record.fields[field].kind) {
        Some(FieldKind::Category { values }) if matches!(aggregate, Aggregate::First | Aggregate::Last) => {
            Holds::Category(values)
        }
        _ => Holds::Number,
    };
    let window = window?;
    Some((Definition::Aggregate(AggregateFeature { from, field, filter, aggregate, window }), held))
}

fn aggregate_word(source: &mut Source<'_>, section: Section<'_>) -> Option<Aggregate> {
    let given = source.required_text(section, "aggregate")?;
    let found = AGGREGATES.iter().find(|(word, _)| *word == given.value);
    if found.is_none() {
        let offer = meant(given.value, AGGREGATES.map(|(word, _)| word));
        source.refuse(given.at, format!("unknown aggregate `{}`{offer}", given.value));
    }
    found.map(|(_, aggregate)| *aggregate)
}

fn event_type(source: &mut Source<'_>, section: Section<'_>, context: &Context<'_>) -> Option<usize> {
    let given = source.required_text(section, "from")?;
    let found = context.events.iter().position(|event| event.name == given.value);
    if found.is_none() {
        let offer = meant(given.value, context.events.iter().map(|event| event.name.as_str()));
        source.refuse(given.at, format!("unknown event type `{}`{offer}", given.value));
    }
    found
}

fn filter(source: &mut Source<'_>, section: Section<'_>, record: &Record) -> Option<Expression> {
    let slots: Vec<_> = record.fields.iter().map(|field| slot(&field.name, &field.kind, field.protected)).collect();
    let filter = compile(source, section, "where", &slots)?;
    if !filter.is_condition() {
        let at = source.text(section, "where").map_or(section.at, |text| text.at);
        source.refuse(at, "`where` is a condition, as `amount > 0`");
    }
    Some(filter)
}

fn field(
    source: &mut Source<'_>,
    section: Section<'_>,
    aggregate: Aggregate,
    record: &Record,
    protected: impl Fn(&str) -> bool,
) -> Option<usize> {
    let word = word(aggregate);
    let Some(given) = source.text(section, "field") else {
        let takes_none = matches!(
            aggregate,
            Aggregate::Count | Aggregate::TimeSinceFirst | Aggregate::TimeSinceLast | Aggregate::Rate
        );
        if !takes_none && !section.table.contains_key("field") {
            source.refuse(section.at, format!("`{word}` needs its `field`"));
        }
        return None;
    };
    if matches!(aggregate, Aggregate::Count | Aggregate::TimeSinceFirst | Aggregate::TimeSinceLast) {
        source.refuse(given.at, format!("`{word}` looks at events, not at a field; leave `field` out"));
        return None;
    }
    let Some(index) = record.fields.iter().position(|field| field.name == given.value) else {
        let message = match protected(given.value) {
            true => format!("`{}` {PROTECTED}", given.value),
            false => {
                let offer = meant(given.value, record.fields.iter().map(|field| field.name.as_str()));
                format!("unknown field `{}`{offer}", given.value)
            }
        };
        source.refuse(given.at, message);
        return None;
    };
    let fits = match record.fields[index].kind {
        FieldKind::Integer | FieldKind::Decimal { .. } | FieldKind::Boolean => true,
        FieldKind::Category { .. } => matches!(aggregate, Aggregate::First | Aggregate::Last | Aggregate::Distinct),
        FieldKind::Text => aggregate == Aggregate::Distinct,
    };
    if !fits {
        let message = format!("`{word}` needs a field of numbers, which `{}` is not", given.value);
        source.refuse(given.at, message);
    }
    Some(index)
}
