//! The fields of a record as they are declared.

use super::source::{Found, Section, Source, meant};
use super::{Field, FieldKind};
use crate::fixed::{DecimalError, MAX_RAW, MAX_SCALE, parse_decimal};

/// The most fields of a record: one bit each in what has been seen.
const MAX_FIELDS: usize = 64;

/// The most values of a category.
const MAX_VALUES: usize = 250;

const TYPES: [&str; 5] = ["integer", "decimal", "category", "text", "boolean"];

/// Whose fields they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Application,
    Event,
}

/// The fields in the order of the file.
pub(super) fn fields(source: &mut Source<'_>, declared: Section<'_>, of: Of) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (name, section) in source.sections(declared) {
        source.check_name("field", name);
        if fields.len() == MAX_FIELDS {
            source.refuse(name.at, format!("a record has at most {MAX_FIELDS} fields"));
            break;
        }
        let field = field(source, name, section, of);
        fields.push(field);
    }
    check_aliases(source, declared, &mut fields);
    fields
}

fn field(source: &mut Source<'_>, name: Found<&str>, section: Section<'_>, of: Of) -> Field {
    let kind = kind(source, section);
    let mut known = vec!["type", "required", "aliases"];
    known.extend(match kind {
        Some(FieldKind::Integer) => &["min", "max"][..],
        Some(FieldKind::Decimal { .. }) => &["scale", "min", "max"],
        Some(FieldKind::Category { .. }) => &["values"],
        Some(FieldKind::Text | FieldKind::Boolean) => &[],
        None => &["scale", "min", "max", "values"],
    });
    if of == Of::Application {
        known.push("protected");
    }
    source.only(section, &known);
    let kind = kind.unwrap_or(FieldKind::Integer);
    let (min, max) = range(source, section, &kind);
    Field {
        name: name.value.to_owned(),
        required: source.boolean(section, "required").unwrap_or(true),
        protected: of == Of::Application && source.boolean(section, "protected").unwrap_or(false),
        // Read when all names are known.
        aliases: Vec::new(),
        kind,
        min,
        max,
    }
}

fn kind(source: &mut Source<'_>, section: Section<'_>) -> Option<FieldKind> {
    let given = source.required_text(section, "type")?;
    Some(match given.value {
        "integer" => FieldKind::Integer,
        "decimal" => FieldKind::Decimal { scale: scale(source, section) },
        "category" => FieldKind::Category { values: values(source, section) },
        "text" => FieldKind::Text,
        "boolean" => FieldKind::Boolean,
        other => {
            source.refuse(given.at, format!("unknown field type `{other}`{}", meant(other, TYPES)));
            return None;
        }
    })
}

fn scale(source: &mut Source<'_>, section: Section<'_>) -> u8 {
    if !section.table.contains_key("scale") {
        source.refuse(section.at, "a decimal needs its `scale`: how many decimals it keeps, 0 to 9");
    }
    let Some(given) = source.number(section, "scale") else { return 0 };
    match given.value.parse() {
        Ok(scale) if scale <= MAX_SCALE => scale,
        _ => {
            source.refuse(given.at, format!("`scale` is a whole number from 0 to {MAX_SCALE}"));
            0
        }
    }
}

fn values(source: &mut Source<'_>, section: Section<'_>) -> Vec<String> {
    if !section.table.contains_key("values") {
        source.refuse(section.at, "a category needs its list of `values`");
    }
    let Some(given) = source.texts(section, "values") else { return Vec::new() };
    let mut values: Vec<String> = Vec::with_capacity(given.len());
    for value in &given {
        if values.iter().any(|known| known == value.value) {
            source.refuse(value.at, format!("`{}` is listed twice", value.value));
        }
        if value.value.is_empty() || value.value.len() > super::MAX_TEXT_BYTES {
            source.refuse(value.at, "a value of a category has 1 to 256 bytes");
        }
        values.push(value.value.to_owned());
    }
    if !(1..=MAX_VALUES).contains(&values.len()) {
        source.refuse(section.at, format!("a category has 1 to {MAX_VALUES} values, not {}", values.len()));
    }
    values
}

/// The smallest and the largest raw value.
fn range(source: &mut Source<'_>, section: Section<'_>, kind: &FieldKind) -> (i64, i64) {
    let scale = match kind {
        FieldKind::Integer => 0,
        FieldKind::Decimal { scale } => *scale,
        FieldKind::Category { values } => return (0, values.len() as i64 - 1),
        FieldKind::Boolean => return (0, 1),
        FieldKind::Text => return (i64::MIN + 1, i64::MAX),
    };
    let min = bound(source, section, "min", scale).unwrap_or(-MAX_RAW);
    let max = bound(source, section, "max", scale).unwrap_or(MAX_RAW);
    if min > max {
        let at = source.number(section, "max").map_or(section.at, |found| found.at);
        source.refuse(at, "`max` is below `min`");
    }
    (min, max)
}

fn bound(source: &mut Source<'_>, section: Section<'_>, key: &str, scale: u8) -> Option<i64> {
    let given = source.number(section, key)?;
    match parse_decimal(&given.value, scale) {
        Ok(raw) => return Some(raw),
        Err(DecimalError::TooManyDecimals) => {
            source.refuse(given.at, format!("`{key}` has more than the {scale} decimals of its field"));
        }
        Err(DecimalError::OutOfRange) => {
            source.refuse(given.at, format!("`{key}` is out of range: ±2^53 of the field's smallest unit"));
        }
        Err(DecimalError::NotANumber) => source.refuse(given.at, format!("`{key}` is a plain number")),
    }
    None
}

/// Gives the fields their aliases, each of which means one field only.
fn check_aliases(source: &mut Source<'_>, declared: Section<'_>, fields: &mut [Field]) {
    let sections = declared.table;
    for index in 0..fields.len() {
        let Some(section) = sections.get(fields[index].name.as_str()).and_then(|value| value.get_ref().as_table())
        else {
            continue;
        };
        let aliases = source.texts(Section { table: section, at: declared.at }, "aliases").unwrap_or_default();
        for alias in aliases {
            if !(1..=64).contains(&alias.value.len()) || alias.value.chars().any(char::is_control) {
                source.refuse(alias.at, "an alias has 1 to 64 bytes and no control characters");
            } else if let Some(taken) = fields.iter().find(|field| field.names().any(|name| name == alias.value)) {
                source.refuse(alias.at, format!("`{}` is already a name of the field `{}`", alias.value, taken.name));
            } else {
                fields[index].aliases.push(alias.value.to_owned());
            }
        }
    }
}
