//! The window of an aggregate.

use toml::de::DeValue;

use super::parse::span;
use super::source::{Section, Source, meant};
use super::{CalendarUnit, Window};
use crate::time::Span;

const UNITS: [(&str, CalendarUnit, i64); 3] =
    [("day", CalendarUnit::Day, 1), ("week", CalendarUnit::Week, 7), ("month", CalendarUnit::Month, 31)];

/// The window that a feature declares, within the horizon.
pub(super) fn window(source: &mut Source<'_>, feature: Section<'_>, horizon: Span) -> Option<Window> {
    let Some(value) = feature.table.get("window") else {
        source.refuse(feature.at, "`window` is missing: `{ sliding = \"30d\" }`, `{ session = \"30m\" }`, `{ calendar = \"month\" }` or `\"lifetime\"`");
        return None;
    };
    let at = value.span().start;
    match value.get_ref() {
        DeValue::String(text) if text == "lifetime" => Some(Window::Lifetime),
        DeValue::String(text) => {
            source.refuse(at, format!("unknown window `{text}`{}", meant(text, ["lifetime"])));
            None
        }
        DeValue::Table(table) => one_of(source, Section { table, at }, horizon),
        _ => {
            source.refuse(at, "`window` is a table as `{ sliding = \"30d\" }`, or `\"lifetime\"`");
            None
        }
    }
}

fn one_of(source: &mut Source<'_>, section: Section<'_>, horizon: Span) -> Option<Window> {
    let has = |key: &str| section.table.contains_key(key);
    match (has("sliding"), has("session"), has("calendar")) {
        (true, false, false) => {
            source.only(section, &["sliding"]);
            within(source, section, "sliding", horizon, "`horizon`").map(Window::Sliding)
        }
        (false, true, false) => session(source, section, horizon),
        (false, false, true) => calendar(source, section, horizon),
        (false, false, false) => {
            source.only(section, &["sliding", "session", "calendar"]);
            source.refuse(section.at, "a window is `sliding`, `session` or `calendar`");
            None
        }
        _ => {
            source.refuse(section.at, "a window is one of `sliding`, `session` and `calendar`, not several");
            None
        }
    }
}

fn session(source: &mut Source<'_>, section: Section<'_>, horizon: Span) -> Option<Window> {
    source.only(section, &["session", "longest"]);
    let longest = match section.table.contains_key("longest") {
        true => within(source, section, "longest", horizon, "`horizon`"),
        false => Some(horizon),
    };
    let gap = within(source, section, "session", longest.unwrap_or(horizon), "the longest session")?;
    Some(Window::Session { gap, longest: longest? })
}

fn calendar(source: &mut Source<'_>, section: Section<'_>, horizon: Span) -> Option<Window> {
    source.only(section, &["calendar", "previous"]);
    let previous = source.boolean(section, "previous").unwrap_or(false);
    let name = source.text(section, "calendar")?;
    let Some((_, unit, days)) = UNITS.iter().find(|(known, ..)| *known == name.value) else {
        let offer = meant(name.value, UNITS.map(|(known, ..)| known));
        source.refuse(name.at, format!("unknown calendar unit `{}`{offer}", name.value));
        return None;
    };
    let reach = Span::from_millis(days * 86_400_000 * if previous { 2 } else { 1 });
    if reach > horizon {
        source.refuse(name.at, format!("this window can reach back {reach}, further than `horizon` ({horizon})"));
    }
    Some(Window::Calendar { unit: *unit, previous })
}

fn within(source: &mut Source<'_>, section: Section<'_>, key: &str, most: Span, what: &str) -> Option<Span> {
    let given = span(source, section, key)?;
    if given > most {
        let at = section.table.get(key).map_or(section.at, |value| value.span().start);
        source.refuse(at, format!("`{key}` ({given}) is longer than {what} ({most})"));
    }
    Some(given)
}
