//! The truth, slowly: what a read means, over a plain list of events.
//!
//! For each feature: filter, window, aggregate. Nothing is shared between features and nothing is remembered.

use std::collections::{HashMap, HashSet};

use cauce_features::application::Application;
use cauce_features::event::Event;
use cauce_features::fixed::MISSING;
use cauce_features::spec::{Aggregate, CalendarUnit, Window};

use crate::calendar;
use crate::model::{Feature, Field, FieldKind, Made, Model, Windowed};

const DAY_MS: f64 = 86_400_000.0;

/// The vector of a person with these events (no two of one time and id) at an instant.
pub(crate) fn vector(model: &Model, events: &[Event], application: &Application, as_of_ms: i64) -> Vec<f32> {
    let visible = visible(model, events, application, as_of_ms);
    let mut known: HashMap<&str, f64> = HashMap::new();
    for (field, raw) in model.application.iter().zip(application.values()) {
        known.insert(&field.name, number(field, *raw));
    }
    let mut vector = Vec::new();
    for Feature { name, default, made } in &model.features {
        let computed = match made {
            Made::Windowed(windowed) => aggregate(model, windowed, &visible, as_of_ms),
            Made::Derived(formula) => formula.evaluate(&|name| known[name]),
        };
        // What does not fit the vector's type is missing.
        let fits = computed.abs() <= f64::from(f32::MAX);
        let value = if fits { computed } else { default.unwrap_or(f64::NAN) };
        known.insert(name, value);
        vector.push(value as f32);
    }
    vector
}

/// The events that a read sees, in order: not the future, and not the application itself.
pub(crate) fn visible<'a>(
    model: &Model,
    events: &'a [Event],
    application: &Application,
    as_of_ms: i64,
) -> Vec<&'a Event> {
    let is_own = |event: &Event| {
        event.kind() == model.application_kind() && event.time().millis() == as_of_ms && event.id() == application.id()
    };
    let mut visible: Vec<_> =
        events.iter().filter(|event| event.time().millis() <= as_of_ms && !is_own(event)).collect();
    visible.sort_by_key(|event| (event.time(), event.id().bits()));
    visible
}

/// The lowest instant whose events can matter to a window; `None`: all do.
pub(crate) fn reach_ms(model: &Model, window: &Window, as_of_ms: i64) -> Option<i64> {
    match window {
        Window::Sliding(span) => Some(as_of_ms - span.millis() + 1),
        Window::Session { longest, .. } => Some(as_of_ms - longest.millis() + 1),
        Window::Calendar { unit, previous } => Some(period(model, *unit, *previous, as_of_ms).0),
        Window::Lifetime => None,
    }
}

fn aggregate(model: &Model, windowed: &Windowed, visible: &[&Event], as_of_ms: i64) -> f64 {
    let fields = model.fields(windowed.from);
    let passes = |event: &&&Event| {
        let Some(filter) = &windowed.filter else { return true };
        let lookup = |name: &str| {
            let index = fields.iter().position(|field| field.name == name).expect("a filter names a field");
            number(fields[index], event.values()[index])
        };
        filter.evaluate(&lookup) == 1.0
    };
    let of_type = visible.iter().filter(|event| event.kind() == windowed.from).filter(passes).copied().collect();
    let inside = inside(model, &windowed.window, of_type, as_of_ms);
    let Some(name) = &windowed.field else {
        return of_events(model, windowed, &times(&inside), as_of_ms);
    };
    let index = fields.iter().position(|field| field.name == *name).expect("an aggregate names a field");
    let given: Vec<_> = inside.into_iter().filter(|event| event.values()[index] != MISSING).collect();
    let raw: Vec<_> = given.iter().map(|event| event.values()[index]).collect();
    of_values(model, windowed, fields[index], &times(&given), &raw, as_of_ms)
}

fn times(events: &[&Event]) -> Vec<i64> {
    events.iter().map(|event| event.time().millis()).collect()
}

/// Those of a type's events, in order, that stand in a window.
fn inside<'a>(model: &Model, window: &Window, events: Vec<&'a Event>, as_of_ms: i64) -> Vec<&'a Event> {
    let between = |from: i64, before: i64| {
        let inside = |event: &&Event| from <= event.time().millis() && event.time().millis() < before;
        events.iter().copied().filter(inside).collect()
    };
    match window {
        Window::Lifetime => events,
        Window::Sliding(span) => between(as_of_ms - span.millis() + 1, as_of_ms + 1),
        Window::Calendar { unit, previous: false } => between(period(model, *unit, false, as_of_ms).0, as_of_ms + 1),
        Window::Calendar { unit, previous: true } => {
            let (start, end) = period(model, *unit, true, as_of_ms);
            between(start, end)
        }
        Window::Session { gap, longest } => {
            let mut session: Vec<&Event> = Vec::new();
            let mut newer_ms = as_of_ms;
            for event in events.into_iter().rev() {
                if newer_ms - event.time().millis() > gap.millis() {
                    break;
                }
                newer_ms = event.time().millis();
                session.push(event);
            }
            session.reverse();
            session.retain(|event| event.time().millis() > as_of_ms - longest.millis());
            session
        }
    }
}

/// The start of a calendar period and of the one after it.
fn period(model: &Model, unit: CalendarUnit, previous: bool, as_of_ms: i64) -> (i64, i64) {
    let back = i64::from(previous);
    let start = |back| calendar::start(as_of_ms, unit, model.utc_offset_minutes, back);
    (start(back), start(back - 1))
}

/// An aggregate that looks at no field.
fn of_events(model: &Model, windowed: &Windowed, times: &[i64], as_of_ms: i64) -> f64 {
    let seconds_since = |time: Option<&i64>| time.map_or(f64::NAN, |time| (as_of_ms - time) as f64 / 1000.0);
    match windowed.aggregate {
        Aggregate::Count => times.len() as f64,
        Aggregate::TimeSinceFirst => seconds_since(times.first()),
        Aggregate::TimeSinceLast => seconds_since(times.last()),
        Aggregate::Rate => per_day(model, windowed, times.len() as f64, times, as_of_ms),
        other => panic!("{other:?} looks at a field"),
    }
}

/// An aggregate of the given values of a field.
fn of_values(model: &Model, windowed: &Windowed, field: &Field, times: &[i64], raw: &[i64], as_of_ms: i64) -> f64 {
    let unit = unit(field);
    let (count, sum) = (raw.len() as f64, raw.iter().map(|&x| i128::from(x)).sum::<i128>() as f64);
    let one = |value: Option<&i64>| value.map_or(f64::NAN, |&value| value as f64 / unit);
    match windowed.aggregate {
        Aggregate::Sum => sum / unit,
        Aggregate::Distinct => raw.iter().collect::<HashSet<_>>().len() as f64,
        Aggregate::Rate => per_day(model, windowed, sum / unit, times, as_of_ms),
        Aggregate::Mean if raw.is_empty() => f64::NAN,
        Aggregate::Mean => sum / (count * unit),
        Aggregate::Min => one(raw.iter().min()),
        Aggregate::Max => one(raw.iter().max()),
        Aggregate::First => one(raw.first()),
        Aggregate::Last => one(raw.last()),
        Aggregate::Stddev => stddev(raw) / unit,
        Aggregate::Trend => slope(times, raw) * DAY_MS / unit,
        other => panic!("{other:?} looks at no field"),
    }
}

fn per_day(model: &Model, windowed: &Windowed, amount: f64, times: &[i64], as_of_ms: i64) -> f64 {
    let length_ms = match &windowed.window {
        Window::Sliding(span) => span.millis(),
        Window::Calendar { unit, previous: true } => {
            let (start, end) = period(model, *unit, true, as_of_ms);
            end - start
        }
        Window::Calendar { unit, previous: false } => as_of_ms - period(model, *unit, false, as_of_ms).0,
        Window::Lifetime | Window::Session { .. } => times.first().map_or(0, |first| as_of_ms - first),
    };
    if length_ms == 0 { 0.0 } else { amount / (length_ms as f64 / DAY_MS) }
}

/// Sample standard deviation, from exact integers.
fn stddev(raw: &[i64]) -> f64 {
    if raw.len() < 2 {
        return f64::NAN;
    }
    let n = raw.len() as i128;
    let sum: i128 = raw.iter().map(|&x| i128::from(x)).sum();
    let squares: i128 = raw.iter().map(|&x| i128::from(x) * i128::from(x)).sum();
    ((n * squares - sum * sum) as f64 / (n as f64 * (n - 1) as f64)).sqrt()
}

/// Least-squares slope over milliseconds, from exact integers. Where time counts from does not change it.
fn slope(times: &[i64], raw: &[i64]) -> f64 {
    let Some(origin) = times.first() else { return f64::NAN };
    let n = raw.len() as i128;
    let points = || times.iter().zip(raw).map(|(&t, &x)| (i128::from(t - origin), i128::from(x)));
    let (t, x): (i128, i128) = points().fold((0, 0), |sums, (t, x)| (sums.0 + t, sums.1 + x));
    let (tt, tx): (i128, i128) = points().fold((0, 0), |sums, (t, x)| (sums.0 + t * t, sums.1 + t * x));
    match n * tt - t * t {
        0 => f64::NAN,
        spread => (n * tx - t * x) as f64 / spread as f64,
    }
}

/// What a raw value means.
fn number(field: &Field, raw: i64) -> f64 {
    if raw == MISSING { f64::NAN } else { raw as f64 / unit(field) }
}

fn unit(field: &Field) -> f64 {
    match field.kind {
        FieldKind::Decimal { scale, .. } => 10_i64.pow(u32::from(scale)) as f64,
        _ => 1.0,
    }
}
