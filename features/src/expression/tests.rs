//! What expressions mean, as sentences: values, missing operands, and what is refused by name and position.

use proptest::prelude::*;

use super::*;

/// One of each kind: `sex` is a category, `employed` a boolean, `age` protected.
fn with_slots<T>(run: impl FnOnce(&[Slot<'_>]) -> T) -> T {
    let (sexes, places) = (["male", "female"].map(String::from), ["niño", "año"].map(String::from));
    let slot = |name, kind| Slot { name, kind };
    run(&[
        slot("amount", SlotKind::Number),
        slot("income", SlotKind::Number),
        slot("employed", SlotKind::Boolean),
        slot("sex", SlotKind::Category(&sexes)),
        slot("age", SlotKind::Refused("is protected")),
        slot("place", SlotKind::Category(&places)),
    ])
}

const NAN: f64 = f64::NAN;
/// amount 100, income 50, employed, female, …
const VALUES: [f64; 6] = [100.0, 50.0, 1.0, 1.0, 33.0, 0.0];
const NOTHING: [f64; 6] = [NAN; 6];

fn compiled(source: &str) -> Expression {
    with_slots(|slots| Expression::compile(source, slots)).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn value(source: &str) -> f64 {
    compiled(source).evaluate(&VALUES)
}

fn refused(source: &str) -> (usize, String) {
    let error = with_slots(|slots| Expression::compile(source, slots)).expect_err(source);
    (error.offset, error.message)
}

#[test]
fn arithmetic_binds_as_in_school() {
    assert_eq!(value("amount + income * 2"), 200.0);
    assert_eq!(value("(amount + income) * 2"), 300.0);
    assert_eq!(value("amount - income - 10"), 40.0);
    assert_eq!(value("-amount / 8"), -12.5);
    assert_eq!(value("1 / 2"), 0.5, "integers are numbers");
    assert_eq!(value("5 == 5.0"), 1.0);
    assert_eq!(value("1.5e2"), 150.0);
}

#[test]
fn conditions_are_zero_and_one() {
    assert_eq!(value("amount > 99"), 1.0);
    assert_eq!(value("99 < amount"), 1.0);
    assert_eq!(value("100 >= amount && income != 50"), 0.0);
    assert_eq!(value("!employed || amount <= 100"), 1.0);
    assert_eq!(value("employed == true"), 1.0);
    assert_eq!(value("employed ? amount : income"), 100.0);
    assert_eq!(value("!employed ? amount : income"), 50.0);
    assert_eq!(value("income in [1, 50, -3]"), 1.0);
    assert_eq!(value("income in [1, 2]"), 0.0);
    assert!(compiled("amount > 99").is_condition());
    assert!(!compiled("amount + 99").is_condition());
}

#[test]
fn a_category_is_compared_with_its_values() {
    assert_eq!(value("sex == 'female'"), 1.0);
    assert_eq!(value("'male' == sex"), 0.0);
    assert_eq!(value("sex in ['male', \"female\"]"), 1.0);
    assert_eq!(value("sex"), 1.0, "alone it is its position");
    assert_eq!(value("sex == sex"), 1.0);
}

#[test]
fn functions_do_what_they_say() {
    assert_eq!(value("min(amount, income)"), 50.0);
    assert_eq!(value("max(amount, income)"), 100.0);
    assert_eq!(value("abs(income - amount)"), 50.0);
    assert_eq!(value("coalesce(income, 7)"), 50.0);
    assert_eq!(value("has(income)"), 1.0);
    assert_eq!(compiled("has(income)").evaluate(&NOTHING), 0.0);
    assert_eq!(compiled("coalesce(income, 7)").evaluate(&NOTHING), 7.0);
}

#[test]
fn a_missing_value_goes_through_everything_but_what_decides_without_it() {
    let missing = [
        "amount",
        "-amount",
        "amount + 1",
        "amount > 1",
        "amount != 1",
        "amount == amount",
        "!(amount > 1)",
        "abs(amount)",
        "min(amount, 1)",
        "max(1, amount)",
        "amount in [1]",
        "sex == 'male'",
        "sex in ['male']",
        "employed",
        "amount > 1 ? 1 : 2",
        "amount > 1 && true",
        "true && amount > 1",
        "amount > 1 || false",
        "coalesce(amount, income)",
    ];
    for source in missing {
        let value = compiled(source).evaluate(&NOTHING);
        assert_eq!(value.to_bits(), NAN.to_bits(), "{source} = {value}");
    }
    for (source, expected) in [
        ("amount > 1 && false", 0.0),
        ("false && amount > 1", 0.0),
        ("amount > 1 || true", 1.0),
        ("true || amount > 1", 1.0),
    ] {
        assert_eq!(compiled(source).evaluate(&NOTHING), expected, "{source}");
    }
}

#[test]
fn what_is_not_finite_is_missing() {
    for source in ["amount / 0", "0 / 0", "-1 / (income - 50)", "1e15 * 1e15 * 1e300"] {
        if let Ok(expression) = with_slots(|slots| Expression::compile(source, slots)) {
            assert!(expression.evaluate(&VALUES).is_nan(), "{source}");
        }
    }
    let huge = [1e300, 1e300, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(compiled("amount * income").evaluate(&huge).to_bits(), NAN.to_bits());
    assert_eq!(compiled("-amount * income").evaluate(&huge).to_bits(), NAN.to_bits());
}

#[test]
fn an_unknown_name_is_refused_where_it_stands() {
    assert_eq!(refused("income + amuont"), (9, "`amuont` is no name known here; did you mean `amount`?".into()));
    assert_eq!(refused("income + nothing_like_it").0, 9);
    assert_eq!(refused("age + 1"), (0, "`age` is protected".into()));
    let (offset, message) = refused("1 + floor(income)");
    assert_eq!((offset, message.as_str()), (4, "`floor` is no function; there are has, min, max, abs, coalesce"));
    assert!(refused("mim(income, 1)").1.ends_with("did you mean `min`?"));
    assert_eq!(refused("min(income)"), (0, "`min` takes 2 argument(s), not 1".into()));
}

#[test]
fn a_text_that_is_no_value_of_its_category_is_refused() {
    assert_eq!(refused("sex == 'femal'"), (7, "`femal` is no value of `sex`; did you mean `female`?".into()));
    assert_eq!(refused("sex in ['male', 'x']"), (16, "`x` is no value of `sex`".into()));
}

#[test]
fn positions_are_bytes_even_behind_accents() {
    assert_eq!(refused("place == 'niño' && amuont > 1").0, "place == 'niño' && ".len());
    assert_eq!(refused("place == 'niño' && && 1").0, "place == 'niño' && ".len());
    assert_eq!(refused("place == 'niño'\n && amuont > 1").0, "place == 'niño'\n && ".len());
}

#[test]
fn types_that_do_not_fit_are_refused_where_they_stand() {
    for (source, offset, part) in [
        ("amount + employed", 9, "a number belongs here, not a condition"),
        ("1 + sex", 4, "not the category `sex`"),
        ("sex < 'male'", 4, "only numbers have an order"),
        ("amount == 'x'", 7, "a number and a text cannot be compared"),
        ("employed == 1", 9, "a condition and a number cannot be compared"),
        ("!amount", 1, "a condition belongs here, not a number"),
        ("amount && employed", 0, "a condition belongs here"),
        ("amount ? 1 : 2", 0, "a condition belongs here"),
        ("employed ? 1 : employed", 15, "a number belongs here"),
        ("coalesce(sex, 1)", 9, "not the category"),
        ("sex == place", 4, "cannot be compared"),
        ("'male'", 0, "a text alone"),
        ("employed in [1]", 0, "before `in`"),
        ("amount in [income]", 11, "plain numbers"),
        ("amount in []", 10, "empty"),
        ("amount in income", 10, "stands a list"),
    ] {
        let (at, message) = refused(source);
        assert!(at == offset && message.contains(part), "{source}: {at}: {message}");
    }
}

#[test]
fn the_rest_of_cel_is_refused_by_name() {
    for (source, part) in [
        ("amount % 2", "`%`"),
        ("amount.value", "`.value`"),
        ("[1, 2][0]", "`[…]`"),
        ("[1, 2].exists(x, x > 1)", "`.exists(…)`"),
        ("size('abc')", "`size`"),
        ("timestamp('2026-01-01T00:00:00Z')", "`timestamp`"),
        ("{'a': 1}", "`{…}`"),
        ("null", "`null`"),
        ("5u", "without `u`"),
        ("b'abc'", "bytes"),
        ("[1, 2]", "a list"),
        ("99999999999999999999", "not an expression"),
        ("9007199254740993", "2^53"),
        ("1e999", ""),
        ("", "not an expression"),
        ("amount +", "not an expression"),
        ("amount > > 1", "not an expression"),
        ("for", "not an expression"),
    ] {
        let (_, message) = refused(source);
        assert!(message.contains(part), "{source}: {message}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let sum = |terms: usize| vec!["1"; terms].join("+");
    let nested = |depth: usize| format!("{}amount{}", "abs(".repeat(depth), ")".repeat(depth));
    assert_eq!(value(&sum(32)), 32.0);
    assert!(refused(&sum(33)).1.contains("32 deep"));
    assert!(refused(&sum(300)).1.contains("256 parts"));
    assert_eq!(value(&nested(31)), 100.0);
    assert!(refused(&nested(32)).1.contains("32 deep"));
    assert!(refused(&"(".repeat(4_000)).1.contains("256 parts"));
    assert!(refused(&format!("amount{}", " in a".repeat(250))).0 > 0);
    assert!(refused(&" ".repeat(5_000)).1.contains("4096 bytes"));
    assert_eq!(value(&vec!["amount > 1"; 60].join(" && ")), 1.0, "a chain of conditions is no depth");
}

#[test]
fn the_slots_used_are_listed_once() {
    assert_eq!(compiled("income > 1 && amount + income > 2").slots_used().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(compiled("income").alone(), Some(1));
    assert_eq!(compiled("income + 0").alone(), None);
}

#[test]
fn the_canonical_form_ignores_spacing_and_nothing_else() {
    assert_eq!(compiled("amount>1&&employed").to_string(), compiled(" amount > 1.0 &&  ( employed ) ").to_string());
    assert_eq!(compiled("amount > 1 ? -income : abs(2)").to_string(), "(? (> $0 1.0) (negate $1) (abs 2.0))");
    assert_ne!(compiled("amount > 1").to_string(), compiled("amount >= 1").to_string());
    assert_ne!(compiled("amount > 1").to_string(), compiled("income > 1").to_string());
}

proptest! {
    #[test]
    fn any_text_has_an_answer(source in "[a-zñ0-9 .,'\"()\\[\\]{}+*/%!<>=&|?:-]{0,60}") {
        with_slots(|slots| {
            if let Err(error) = Expression::compile(&source, slots) {
                prop_assert!(source.is_char_boundary(error.offset), "{}", error.offset);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_filter_of_one_compare_equals_the_compare(left in -5_i32..5, right in -5_i32..5) {
        let mut values = VALUES;
        values[0] = f64::from(left);
        for (symbol, holds) in [("<", left < right), (">=", left >= right), ("==", left == right), ("!=", left != right)] {
            let plain = compiled(&format!("amount {symbol} {right}"));
            let walked = compiled(&format!("amount + 0 {symbol} {right}"));
            prop_assert_eq!(plain.evaluate(&values) == 1.0, holds);
            prop_assert_eq!(walked.evaluate(&values) == 1.0, holds);
        }
    }
}
