//! Hand-written specifications that together cover every aggregate, window, filter and field type.

use cauce_features::spec::{Aggregate, CalendarUnit, Window};
use cauce_features::time::Span;

use crate::formula::{Formula, Function, Operator, binary, compare, name};
use crate::model::{EventType, Feature, Field, FieldKind, Made, Model, Windowed, word};

pub(crate) const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const MAX: i64 = 1 << 53;

pub(crate) const AGGREGATES: [Aggregate; 13] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Stddev,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::First,
    Aggregate::Last,
    Aggregate::Distinct,
    Aggregate::TimeSinceFirst,
    Aggregate::TimeSinceLast,
    Aggregate::Trend,
    Aggregate::Rate,
];

/// Every aggregate under every window, over one type of event whose amounts may be negative and may be missing.
pub(crate) fn everything() -> Model {
    let mut model = bank(-300);
    for window in windows() {
        for aggregate in AGGREGATES {
            model.push(windowed(0, None, aggregate, Some("amount"), window));
        }
        model.push(windowed(0, None, Aggregate::Rate, None, window));
    }
    model
}

/// Every kind of filter, over every type of event, and features made of features.
pub(crate) fn filters() -> Model {
    let mut model = bank(330);
    let late = || compare("days", Operator::Above, 0.0);
    let week = sliding(7 * DAY);
    let session = Window::Session { gap: Span::from_millis(2 * HOUR), longest: Span::from_millis(DAY) };
    for window in [week, session, sliding(30 * DAY), previous(CalendarUnit::Week), Window::Lifetime] {
        for filter in [None, Some(late()), Some(Formula::Is("channel".into(), 1)), Some(name("partial"))] {
            for aggregate in [Aggregate::Count, Aggregate::Sum, Aggregate::Stddev, Aggregate::TimeSinceFirst] {
                model.push(windowed(0, filter.clone(), aggregate, Some("amount"), window));
            }
            model.push(windowed(0, filter.clone(), Aggregate::Rate, None, window));
            model.push(windowed(0, filter, Aggregate::Last, Some("channel"), window));
        }
        let big = || compare("value", Operator::AtLeast, 12.5);
        let abroad = Formula::OneOf("country".into(), vec![0, 2]);
        let odd = Formula::Not(Box::new(binary(big(), Operator::And, abroad.clone())));
        for filter in [big(), binary(abroad, Operator::Or, big()), odd, Formula::Has("country".into())] {
            model.push(windowed(1, Some(filter.clone()), Aggregate::Distinct, Some("merchant"), lifetime_free(window)));
            model.push(windowed(1, Some(filter), Aggregate::Max, Some("value"), window));
        }
        model.push(windowed(2, None, Aggregate::Count, None, window));
        let large = compare("requested", Operator::Above, 1_000.0);
        model.push(windowed(3, Some(large), Aggregate::Mean, Some("requested"), window));
        model.push(windowed(3, None, Aggregate::Distinct, Some("purpose"), lifetime_free(window)));
        model.push(windowed(3, None, Aggregate::TimeSinceLast, None, window));
    }
    for aggregate in [Aggregate::Mean, Aggregate::Min, Aggregate::Last, Aggregate::TimeSinceLast] {
        let feature = windowed(0, Some(late()), aggregate, Some("days"), week);
        model.push(Feature { default: Some(-1.0), ..feature });
    }
    derive(&mut model);
    model
}

/// A feature must not depend on how wide its column is: fields at the edges of a byte, two, four, and beyond.
pub(crate) fn widths() -> Model {
    let ranges =
        [(0, 0), (7, 7), (0, 1), (0, 253), (0, 254), (0, 255), (0, 256), (-1, 254), (-128, 127), (-32_768, 32_767)];
    let wide =
        [(0, 65_535), (0, 1 << 24), (-(1 << 31), (1 << 31) - 1), (0, 1 << 32), (0, 1 << 40), (-MAX, MAX), (1, MAX)];
    let mut fields = Vec::new();
    for (index, (min, max)) in ranges.into_iter().chain(wide).enumerate() {
        let kind = match index % 3 {
            0 => FieldKind::Decimal { scale: (index % 10) as u8, min, max },
            _ => FieldKind::Integer { min, max },
        };
        fields.push(Field { name: format!("f{index}"), kind, required: index % 2 == 0, protected: false });
    }
    fields.push(field("category", FieldKind::Category { values: 250 }, false));
    fields.push(field("two", FieldKind::Category { values: 2 }, true));
    let names: Vec<_> = fields.iter().map(|field| field.name.clone()).collect();
    let mut model = Model {
        horizon_ms: 90 * DAY,
        utc_offset_minutes: 0,
        application: vec![integer("age", 18, 100)],
        events: vec![EventType { name: "reading".into(), fields }],
        features: Vec::new(),
    };
    for name in &names {
        let numeric = name.starts_with('f');
        for aggregate in AGGREGATES.into_iter().filter(|aggregate| takes_field(*aggregate)) {
            if numeric || matches!(aggregate, Aggregate::First | Aggregate::Last | Aggregate::Distinct) {
                model.push(windowed(0, None, aggregate, Some(name), sliding(10 * DAY)));
            }
        }
    }
    model
}

/// Sessions of several gaps and reaches over several filters, and nothing else that could hide them.
pub(crate) fn sessions() -> Model {
    let mut model = bank(0);
    let lengths = [(1, DAY), (MINUTE, MINUTE), (30 * MINUTE, DAY), (HOUR, HOUR), (DAY, 90 * DAY), (10 * DAY, 90 * DAY)];
    for (gap, longest) in lengths {
        let window = Window::Session { gap: Span::from_millis(gap), longest: Span::from_millis(longest) };
        for filter in [None, Some(compare("days", Operator::Above, 0.0)), Some(name("partial"))] {
            for aggregate in
                [Aggregate::Count, Aggregate::First, Aggregate::TimeSinceFirst, Aggregate::Trend, Aggregate::Rate]
            {
                model.push(windowed(0, filter.clone(), aggregate, Some("amount"), window));
            }
        }
        model.push(windowed(1, None, Aggregate::Distinct, Some("merchant"), window));
        model.push(windowed(2, None, Aggregate::Count, None, window));
    }
    model
}

/// Days, weeks and months where the day begins so many minutes from UTC's.
pub(crate) fn calendars(utc_offset_minutes: i32) -> Model {
    let mut model = bank(utc_offset_minutes);
    for unit in [CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month] {
        for window in [Window::Calendar { unit, previous: false }, previous(unit)] {
            for aggregate in [Aggregate::Count, Aggregate::Rate, Aggregate::TimeSinceFirst, Aggregate::TimeSinceLast] {
                model.push(windowed(0, None, aggregate, None, window));
            }
            model.push(windowed(1, None, Aggregate::Distinct, Some("merchant"), window));
            model.push(windowed(
                1,
                Some(compare("value", Operator::Above, 0.0)),
                Aggregate::Sum,
                Some("value"),
                window,
            ));
        }
    }
    model
}

/// Nothing but lifetimes: what is evicted matters to every feature.
pub(crate) fn lifetimes() -> Model {
    let mut model = bank(0);
    for filter in [None, Some(compare("days", Operator::Above, 0.0))] {
        for aggregate in AGGREGATES.into_iter().filter(|aggregate| *aggregate != Aggregate::Distinct) {
            model.push(windowed(0, filter.clone(), aggregate, Some("amount"), Window::Lifetime));
        }
    }
    model
}

/// So many filters over one type of event: each is a bit of every stored row.
pub(crate) fn streams(count: i32) -> Model {
    let mut model = bank(0);
    for days in 0..count {
        let filter = compare("days", Operator::Above, (days - 2).into());
        model.push(windowed(0, Some(filter.clone()), Aggregate::Count, None, sliding(30 * DAY)));
        model.push(windowed(0, Some(filter), Aggregate::Last, Some("amount"), sliding(30 * DAY)));
    }
    model
}

/// The least there can be: one count of events without fields.
pub(crate) fn smallest() -> Model {
    let mut model = bank(0);
    model.application = vec![integer("age", 18, 100)];
    model.events = vec![EventType { name: "login".into(), fields: Vec::new() }];
    model.push(windowed(0, None, Aggregate::Count, None, sliding(MINUTE)));
    model
}

impl Model {
    fn push(&mut self, mut feature: Feature) {
        feature.name = format!("{}_{}", feature.name, self.features.len());
        self.features.push(feature);
    }
}

/// Event types with every kind of field; no features yet.
pub(crate) fn bank(utc_offset_minutes: i32) -> Model {
    let amount = FieldKind::Decimal { scale: 2, min: -MAX, max: MAX };
    let value = FieldKind::Decimal { scale: 1, min: -5, max: 100_000 };
    let payment = vec![
        field("amount", amount, false),
        field("days", FieldKind::Integer { min: -10, max: 400 }, false),
        field("channel", FieldKind::Category { values: 3 }, false),
        field("partial", FieldKind::Boolean, false),
        field("payee", FieldKind::Text, false),
    ];
    let purchase = vec![
        field("merchant", FieldKind::Text, true),
        field("value", value, true),
        field("country", FieldKind::Category { values: 4 }, false),
    ];
    let requested = FieldKind::Decimal { scale: 2, min: 0, max: 1_000_000 };
    let sex = Field { protected: true, ..field("sex", FieldKind::Category { values: 2 }, false) };
    let application = vec![
        integer("age", 18, 100),
        sex,
        field("requested", requested, false),
        field("purpose", FieldKind::Category { values: 5 }, true),
        field("employed", FieldKind::Boolean, false),
        field("note", FieldKind::Text, false),
    ];
    let event = |name: &str, fields| EventType { name: name.into(), fields };
    Model {
        horizon_ms: 90 * DAY,
        utc_offset_minutes,
        application,
        events: vec![event("payment", payment), event("purchase", purchase), event("login", Vec::new())],
        features: Vec::new(),
    }
}

/// Features over the application and over the features above them.
fn derive(model: &mut Model) {
    // The last channel is a category: no number to reckon with.
    let features = model.features.iter().map(|feature| feature.name.clone()).filter(|name| !name.starts_with("last"));
    let features: Vec<_> = features.collect();
    let ratio = |above: &str, below: &str| binary(name(above), Operator::Divide, name(below));
    let boxed = |formula: Formula| Box::new(formula);
    let known = Formula::Call(Function::Coalesce, boxed(name("requested")), boxed(Formula::Number(-1.0)));
    let working =
        Formula::Choose(boxed(name("employed")), boxed(name("age")), boxed(Formula::Negate(boxed(name("age")))));
    let mut formulas =
        vec![ratio("requested", "age"), known, working, Formula::Is("purpose".into(), 2), name("purpose")];
    for pair in features.chunks(5).filter(|pair| pair.len() > 1) {
        formulas.push(ratio(&pair[0], &pair[1]));
        let product = binary(name(&pair[1]), Operator::Multiply, name(&pair[1]));
        formulas.push(Formula::Magnitude(boxed(binary(name(&pair[0]), Operator::Subtract, product))));
        formulas.push(Formula::Call(Function::Max, boxed(name(&pair[0])), boxed(name("age"))));
    }
    for (index, formula) in formulas.into_iter().enumerate() {
        let default = (index % 2 == 0).then_some(0.5);
        model.push(Feature { name: "derived".into(), default, made: Made::Derived(formula) });
    }
    // A feature of an application field's own name means the field.
    model.features.push(Feature { name: "age".into(), default: None, made: Made::Derived(name("age")) });
}

fn windows() -> Vec<Window> {
    let mut windows: Vec<_> = [1, 10 * MINUTE, DAY, 30 * DAY, 90 * DAY].into_iter().map(sliding).collect();
    for unit in [CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month] {
        windows.extend([Window::Calendar { unit, previous: false }, previous(unit)]);
    }
    for (gap, longest) in [(30 * MINUTE, DAY), (3 * DAY, 90 * DAY)] {
        windows.push(Window::Session { gap: Span::from_millis(gap), longest: Span::from_millis(longest) });
    }
    windows.push(Window::Lifetime);
    windows
}

pub(crate) fn sliding(millis: i64) -> Window {
    Window::Sliding(Span::from_millis(millis))
}

fn previous(unit: CalendarUnit) -> Window {
    Window::Calendar { unit, previous: true }
}

/// Lifetime windows count no distinct values.
pub(crate) fn lifetime_free(window: Window) -> Window {
    if window == Window::Lifetime { sliding(90 * DAY) } else { window }
}

pub(crate) fn takes_field(aggregate: Aggregate) -> bool {
    !matches!(aggregate, Aggregate::Count | Aggregate::TimeSinceFirst | Aggregate::TimeSinceLast)
}

/// A feature; the field and the window are dropped or changed where the aggregate refuses them.
fn windowed(
    from: usize,
    filter: Option<Formula>,
    aggregate: Aggregate,
    field: Option<&str>,
    window: Window,
) -> Feature {
    let field = field.filter(|_| takes_field(aggregate)).map(str::to_owned);
    let window = if aggregate == Aggregate::Distinct { lifetime_free(window) } else { window };
    let made = Made::Windowed(Windowed { from, filter, aggregate, field, window });
    Feature { name: word(aggregate).to_owned(), default: None, made }
}

fn field(name: &str, kind: FieldKind, required: bool) -> Field {
    Field { name: name.into(), kind, required, protected: false }
}

fn integer(name: &str, min: i64, max: i64) -> Field {
    field(name, FieldKind::Integer { min, max }, true)
}
