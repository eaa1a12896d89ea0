//! Products and segments as they are declared, and where applications belong.

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Override};

const SPECIFICATION: &str = r#"
name = "groups"
horizon = "90d"
clock_skew = "5m"
utc_offset = "+00:00"

[application.fields]
age = { type = "integer", min = 18, max = 100, required = false, protected = true, aliases = ["edad"] }
amount = { type = "decimal", scale = 2, min = -1000, max = 1000000000, required = false }
employment = { type = "category", values = ["salaried", "retired"], required = false }
debt = { type = "category", values = ["some", "none"], required = false }
is_customer = { type = "boolean", required = false }
city = { type = "text", required = false }
letter = { type = "category", values = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"], required = false }

[[features]]
name = "amount"
expression = "amount"
"#;

fn specification() -> Specification {
    Specification::parse("features.toml", SPECIFICATION).unwrap()
}

fn settings(products: &str, segments: &str) -> config::Kpi {
    let defaults = Config::load(None, std::iter::empty(), Vec::new()).unwrap().kpi;
    config::Kpi { products: products.to_owned(), segments: segments.to_owned(), ..defaults }
}

fn groups(products: &str, segments: &str) -> Groups {
    Groups::new(&settings(products, segments), &specification()).unwrap()
}

fn application(fields: &str) -> Application {
    let json = format!(r#"{{"application_id": "a", "application": {{{fields}}}}}"#);
    Application::from_json(&specification(), json.as_bytes(), "a").unwrap()
}

/// The group of an application in the one segment that is declared.
fn group(segments: &str, fields: &str) -> String {
    let groups = groups("", segments);
    let [segment] = groups.segments() else { panic!("one segment") };
    segment.groups[usize::from(groups.places(&application(fields))[0])].to_string()
}

#[test]
fn a_product_is_told_by_its_name_and_all_others_are_one() {
    let groups = groups(" mortgage  card ", "");
    assert_eq!(groups.products().iter().map(|name| &**name).collect::<Vec<_>>(), ["mortgage", "card", "other"]);
    for (name, place) in [
        (Some("mortgage"), 0),
        (Some("card"), 1),
        (Some("Card"), 2),
        (Some("other"), 2),
        (Some("car"), 2),
        (Some(""), 2),
        (None, 2),
    ] {
        assert_eq!(groups.product(name), place, "{name:?}");
    }
    assert_eq!(self::groups("", "").product(Some("card")), 0);
}

#[test]
fn a_number_falls_between_its_edges_and_anything_else_into_its_own_value() {
    for (segments, fields, expected) in [
        ("age 30 50", r#""age": 18"#, "<30"),
        ("age 30 50", r#""age": 29"#, "<30"),
        ("age 30 50", r#""age": 30"#, "30-50"),
        ("age 30 50", r#""age": 49"#, "30-50"),
        ("age 30 50", r#""age": 50"#, ">=50"),
        ("age 30 50", "", "none"),
        ("edad 40", r#""age": 40"#, ">=40"),
        ("amount 0.5 1e3", r#""amount": 0.49"#, "<0.5"),
        ("amount 0.5 1e3", r#""amount": 0.50"#, "0.5-1e3"),
        ("amount 0.5 1e3", r#""amount": 999.99"#, "0.5-1e3"),
        ("amount 0.5 1e3", r#""amount": 1000"#, ">=1e3"),
        ("amount -5 900000000", r#""amount": -5.01"#, "<-5"),
        ("amount -5 900000000", r#""amount": 900000000"#, ">=900000000"),
        ("employment", r#""employment": "salaried""#, "salaried"),
        ("employment", r#""employment": "retired""#, "retired"),
        ("employment", "", "none"),
        ("debt", r#""debt": "some""#, "some"),
        ("debt", r#""debt": "none""#, "none"),
        ("debt", "", "none"),
        ("is_customer", r#""is_customer": false"#, "false"),
        ("is_customer", r#""is_customer": true"#, "true"),
        ("is_customer", "", "none"),
    ] {
        assert_eq!(group(segments, fields), expected, "{segments}: {fields}");
    }
}

#[test]
fn segments_stand_in_the_order_in_which_they_are_declared() {
    let groups = groups("", "employment; age 30 50 ;; is_customer");
    let fields: Vec<_> = groups.segments().iter().map(|segment| &*segment.field).collect();
    assert_eq!(fields, ["employment", "age", "is_customer"]);
    let places = groups.places(&application(r#""age": 30, "employment": "retired", "is_customer": true"#));
    assert_eq!(places, [1, 1, 1, 0, 0, 0, 0, 0]);
    assert_eq!(groups.segments()[1].groups.len(), 4);
}

#[test]
fn a_group_of_the_same_name_is_one_group() {
    let groups = groups("", "debt");
    assert_eq!(groups.segments()[0].groups.iter().map(|name| &**name).collect::<Vec<_>>(), ["some", "none"]);
}

#[test]
fn what_cannot_be_told_apart_is_refused_and_says_what_can() {
    let many = |what: &str, count: usize| (0..count).map(|n| format!("{what}{n} ")).collect::<String>();
    for (products, segments, key, expected) in [
        ("card card", "", PRODUCTS, "`card` is declared twice"),
        ("card other", "", PRODUCTS, "`other` is all that is not declared"),
        ("crédito", "", PRODUCTS, "of ASCII"),
        (&many("p", 17), "", PRODUCTS, "at most 16 products can be told apart, not 17"),
        (&"p".repeat(65), "", PRODUCTS, "at most 64 letters"),
        ("", "agee 30", SEGMENTS, "the application has no field `agee`, did you mean `age`?"),
        ("", "colour", SEGMENTS, "the application has no field `colour`"),
        ("", "age", SEGMENTS, "as in `age 30 50`"),
        ("", "age 50 30", SEGMENTS, "`30` stands behind `50`"),
        ("", "age 30 30.0", SEGMENTS, "`30.0` stands behind `30`"),
        ("", "age thirty", SEGMENTS, "a group begins at a number, not at `thirty`"),
        ("", "age inf", SEGMENTS, "not at `inf`"),
        ("", "age +30", SEGMENTS, "`+30` must be a number as in JSON"),
        ("", "age 30.5", SEGMENTS, "`age` has 0 decimals, and `30.5` has more"),
        ("", "amount 0.125", SEGMENTS, "`amount` has 2 decimals"),
        ("", "amount 1e300", SEGMENTS, "beyond all that the field can hold"),
        ("", "employment 1", SEGMENTS, "`employment` is no number"),
        ("", "is_customer 0.5", SEGMENTS, "`is_customer` is no number"),
        ("", "city", SEGMENTS, "`city` is text"),
        ("", "age 30; edad 50", SEGMENTS, "`age` is declared twice"),
        ("", "letter", SEGMENTS, "`letter` has 17 groups with `none`, and 16 are the most"),
        ("", &format!("age {}", many("", 15)), SEGMENTS, "`age` has 17 groups"),
        ("", &"age 30;".repeat(9), SEGMENTS, "at most 8 segments can be declared, not 9"),
    ] {
        let (found, cause) = Groups::new(&settings(products, segments), &specification()).unwrap_err();
        assert_eq!(found, key, "{cause}");
        assert!(cause.contains(expected), "`{cause}` of `{products}` and `{segments}`");
    }
    assert_eq!(groups("", &format!("age {}", many("", 14))).segments()[0].groups.len(), 16);
}

#[test]
fn a_configuration_with_wrong_groups_does_not_load() {
    for (flag, expected) in [
        ("kpi.products=card card", "configuration: `kpi.products`: `card` is declared twice"),
        ("kpi.segments=age 50 30", "configuration: `kpi.segments`: `age`: its groups begin at rising numbers"),
    ] {
        let flags = vec![Override::parse(flag).unwrap()];
        let error = Config::load(None, std::iter::empty(), flags).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

proptest! {
    #[test]
    fn any_value_of_any_field_has_a_group(
        edges in proptest::collection::btree_set(-2000_i64..2000, 1..14),
        value in prop_oneof![Just(MISSING), -2100_i64..2100, any::<i64>()],
    ) {
        let text: String = edges.iter().map(|edge| format!(" {edge}")).collect();
        let groups = groups("", &format!("age{text}; employment; is_customer; debt"));
        for segment in groups.segments() {
            prop_assert!(usize::from(segment.place(value)) < segment.groups.len());
        }
        let expected = match value {
            MISSING => edges.len() + 1,
            value => edges.iter().filter(|edge| **edge <= value).count(),
        };
        prop_assert_eq!(usize::from(groups.segments()[0].place(value)), expected);
    }

    #[test]
    fn any_text_is_groups_or_an_error(products in ".{0,80}", segments in "(age|edad|amount|city|debt|[a-z;]{0,8})( -?[0-9.e]{1,5}){0,18}") {
        match Groups::new(&settings(&products, &segments), &specification()) {
            Ok(groups) => prop_assert!(groups.segments().iter().all(|segment| segment.groups.len() <= GROUPS_MAX)),
            Err((key, cause)) => prop_assert!(key.starts_with("kpi.") && !cause.is_empty()),
        }
    }
}
