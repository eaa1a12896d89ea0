//! Any specification: features drawn from all event types, fields, filters, windows and aggregates, and expressions over them.

use cauce_features::spec::{Aggregate, CalendarUnit, Window};
use cauce_features::time::Span;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::formula::{Formula, Function, Operator, binary, compare, name};
use crate::model::{Feature, Field, FieldKind, Made, Model, Windowed};
use crate::specifications::{AGGREGATES, DAY, HOUR, MAX, SECOND, bank, lifetime_free, sliding, takes_field};

/// A specification and all that it may be made of.
pub(crate) fn any_specification() -> impl Strategy<Value = Model> {
    let offsets = select(vec![0, -300, 330, 840, -719]);
    (offsets, 0..=9_u8, 1..16_usize, 0..6_usize).prop_flat_map(|(offset, scale, windowed, derived)| {
        let mut model = bank(offset);
        model.events[0].fields[0].kind = FieldKind::Decimal { scale, min: -MAX, max: MAX };
        let features: Vec<_> = (0..windowed).map(|_| any_windowed(&model)).collect();
        let mut names: Vec<_> = ["age", "requested"].map(str::to_owned).into();
        names.extend((0..windowed).map(|index| format!("w{index}")));
        let mut formulas = Vec::new();
        for index in 0..derived {
            formulas.push((any_number(names.clone(), vec!["employed".into()]), prop::option::of(-2.0..2.0)));
            names.push(format!("d{index}"));
        }
        (Just(model), features, formulas).prop_map(|(mut model, features, formulas)| {
            for (index, made) in features.into_iter().enumerate() {
                model.features.push(Feature { name: format!("w{index}"), default: None, made: Made::Windowed(made) });
            }
            for (index, (formula, default)) in formulas.into_iter().enumerate() {
                model.features.push(Feature { name: format!("d{index}"), default, made: Made::Derived(formula) });
            }
            model
        })
    })
}

fn any_windowed(bank: &Model) -> impl Strategy<Value = Windowed> + use<> {
    let of_kind = |from: usize| {
        let fields: Vec<_> = bank.fields(from).into_iter().cloned().collect();
        let filter = prop::option::of(any_condition(&fields));
        let aggregates: Vec<_> = AGGREGATES
            .into_iter()
            .filter(|of| !takes_field(*of) || fields.iter().any(|field| takes(*of, field)))
            .collect();
        (select(aggregates), any::<Index>(), filter, any_window())
            .prop_map(move |(aggregate, index, filter, window)| {
                let usable: Vec<_> = fields.iter().filter(|field| takes(aggregate, field)).collect();
                let field = takes_field(aggregate).then(|| usable[index.index(usable.len())].name.clone());
                let window = if aggregate == Aggregate::Distinct { lifetime_free(window) } else { window };
                Windowed { from, filter, aggregate, field, window }
            })
            .boxed()
    };
    prop::strategy::Union::new((0..=bank.application_kind()).map(of_kind))
}

fn takes(aggregate: Aggregate, field: &Field) -> bool {
    match field.kind {
        // The first and last of a category are categories, which derived features could not reckon with.
        FieldKind::Text | FieldKind::Category { .. } => aggregate == Aggregate::Distinct,
        _ => takes_field(aggregate),
    }
}

fn any_window() -> impl Strategy<Value = Window> {
    let lengths = vec![1, SECOND, HOUR, DAY, 2 * DAY, 30 * DAY, 90 * DAY];
    let length = || select(lengths.clone());
    let session = |(one, other): (i64, i64)| Window::Session {
        gap: Span::from_millis(one.min(other)),
        longest: Span::from_millis(one.max(other)),
    };
    let unit = select(vec![CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month]);
    prop_oneof![
        4 => length().prop_map(sliding),
        2 => (length(), length()).prop_map(session),
        2 => (unit, any::<bool>()).prop_map(|(unit, previous)| Window::Calendar { unit, previous }),
        1 => Just(Window::Lifetime),
    ]
}

/// A condition over fields, as a filter needs it.
fn any_condition(fields: &[Field]) -> BoxedStrategy<Formula> {
    let mut leaves = vec![Just(compare_numbers(1.0, 2.0)).boxed()];
    let mut numbers = Vec::new();
    let mut conditions = Vec::new();
    for Field { name: field, kind, .. } in fields.iter().cloned() {
        let has = Formula::Has(field.clone());
        match kind {
            FieldKind::Integer { .. } | FieldKind::Decimal { .. } => numbers.push(field),
            FieldKind::Boolean => conditions.push(field),
            FieldKind::Category { values } => {
                let category = field.clone();
                leaves.push((0..values).prop_map(move |at| Formula::Is(category.clone(), at)).boxed());
                let any_of = prop::collection::vec(0..values, 1..3);
                leaves.push(any_of.prop_map(move |among| Formula::OneOf(field.clone(), among)).boxed());
            }
            FieldKind::Text => continue,
        }
        leaves.push(Just(has).boxed());
    }
    leaves.extend(conditions.iter().map(|field| Just(name(field)).boxed()));
    if !numbers.is_empty() {
        let number = || any_number(numbers.clone(), conditions.clone());
        let operator =
            select(vec![Operator::Equal, Operator::Differs, Operator::Below, Operator::AtMost, Operator::Above]);
        let compared = (number(), operator, number()).prop_map(|(a, operator, b)| binary(a, operator, b));
        let simple =
            (select(numbers.clone()), -3..4_i32).prop_map(|(field, n)| compare(&field, Operator::AtLeast, n.into()));
        let among = (number(), prop::collection::vec((-2..3_i32).prop_map(f64::from), 1..4));
        leaves.extend([compared.boxed(), simple.boxed()]);
        leaves.push(among.prop_map(|(value, among)| Formula::Among(Box::new(value), among)).boxed());
    }
    let leaf = prop::strategy::Union::new(leaves);
    leaf.prop_recursive(3, 8, 2, |inner| {
        let both = (inner.clone(), select(vec![Operator::And, Operator::Or]), inner.clone());
        prop_oneof![
            2 => both.prop_map(|(a, operator, b)| binary(a, operator, b)),
            1 => inner.prop_map(|a| Formula::Not(Box::new(a))),
        ]
    })
    .boxed()
}

fn compare_numbers(left: f64, right: f64) -> Formula {
    binary(Formula::Number(left), Operator::Below, Formula::Number(right))
}

/// A number made of names that stand for numbers and of names that stand for conditions.
fn any_number(numbers: Vec<String>, conditions: Vec<String>) -> BoxedStrategy<Formula> {
    let literal = prop_oneof![(-3..4_i32).prop_map(f64::from), Just(0.25), Just(1_000_000.0)];
    let leaf = prop_oneof![2 => select(numbers).prop_map(|known| name(&known)), 1 => literal.prop_map(Formula::Number)];
    leaf.prop_recursive(3, 10, 3, move |inner| {
        let operators = select(vec![Operator::Add, Operator::Subtract, Operator::Multiply, Operator::Divide]);
        let functions = select(vec![Function::Min, Function::Max, Function::Coalesce]);
        let condition = match conditions.is_empty() {
            true => inner.clone().prop_map(|a| binary(a, Operator::Above, Formula::Number(0.0))).boxed(),
            false => select(conditions.clone()).prop_map(|known| name(&known)).boxed(),
        };
        prop_oneof![
            4 => (inner.clone(), operators, inner.clone()).prop_map(|(a, operator, b)| binary(a, operator, b)),
            1 => (functions, inner.clone(), inner.clone()).prop_map(|(f, a, b)| Formula::Call(f, a.into(), b.into())),
            1 => inner.clone().prop_map(|a| Formula::Negate(a.into())),
            1 => inner.clone().prop_map(|a| Formula::Magnitude(a.into())),
            1 => (condition, inner.clone(), inner).prop_map(|(c, a, b)| Formula::Choose(c.into(), a.into(), b.into())),
        ]
    })
    .boxed()
}
