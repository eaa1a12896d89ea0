//! What a specification may say, as sentences: everything once, every error where it stands, a hash of the meaning.

use super::*;

/// A specification that uses everything once.
const WHOLE: &str = r#"
name = "ahorro-valle"
horizon = "90d"
utc_offset = "-05:00"

[application.fields]
sex    = { type = "category", values = ["male", "female"], required = false, protected = true }
income = { type = "decimal", scale = 2, min = 0, max = 100_000_000, aliases = ["ingresos_mensuales"] }
age    = { type = "integer", min = 18, max = 100, aliases = ["edad"] }
employed = { type = "boolean", required = false }

[events.statement.fields]
balance = { type = "decimal", scale = 2 }

[events.payment.fields]
amount        = { type = "decimal", scale = 2, min = 0 }
days_past_due = { type = "integer", min = 0 }
channel       = { type = "category", values = ["atm", "app"] }
counterparty  = { type = "text", required = false }

[[features]]
name = "late_payments_90d"
from = "payment"
where = "days_past_due > 0 && channel == 'app'"
aggregate = "count"
window = { sliding = "90d" }

[[features]]
name = "payees"
from = "payment"
aggregate = "distinct"
field = "counterparty"
window = { session = "30m", longest = "1d" }

[[features]]
name = "last_channel"
from = "payment"
aggregate = "last"
field = "channel"
window = "lifetime"
default = -1

[[features]]
name = "paid_last_month"
from = "payment"
aggregate = "sum"
field = "amount"
window = { calendar = "month", previous = true }

[[features]]
name = "applications"
from = "application"
aggregate = "rate"
window = { calendar = "week" }

[[features]]
name = "age"
expression = "age"

[[features]]
name = "paid_to_income"
expression = "last_channel == 'app' ? paid_last_month / income : 0"
default = 0.5
"#;

fn parse(text: &str) -> Result<Specification, String> {
    Specification::parse("features.toml", text).map_err(|errors| errors.to_string())
}

fn whole() -> Specification {
    parse(WHOLE).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What is said of the whole specification with one part replaced.
fn refused(part: &str, by: &str) -> String {
    assert!(WHOLE.contains(part), "{part}");
    parse(&WHOLE.replacen(part, by, 1)).expect_err(by)
}

#[test]
fn a_specification_keeps_the_order_of_its_file() {
    let spec = whole();
    let fields = |record: &Record| record.fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    assert_eq!(fields(&spec.application), ["sex", "income", "age", "employed"]);
    let events: Vec<_> = spec.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["statement", "payment", "application"]);
    assert_eq!(fields(&spec.events[1].record), ["amount", "days_past_due", "channel", "counterparty"]);
    assert_eq!(spec.features[0].name, "late_payments_90d");
    assert_eq!(spec.features.len(), 7);
}

#[test]
fn the_implicit_event_carries_what_is_not_protected() {
    let spec = whole();
    let implicit = &spec.events[spec.application_event()];
    assert_eq!(implicit.name, "application");
    assert!(implicit.record.index_of("sex").is_none());
    assert_eq!(implicit.record.index_of("edad"), Some(1));
    assert_eq!(spec.event_type("payment"), Some(1));
}

#[test]
fn bounds_are_raw_values() {
    let spec = whole();
    let income = &spec.application.fields[spec.application.index_of("ingresos_mensuales").expect("an alias")];
    assert_eq!((income.min, income.max), (0, 10_000_000_000));
    let balance = &spec.events[0].record.fields[0];
    assert_eq!((balance.min, balance.max), (-crate::fixed::MAX_RAW, crate::fixed::MAX_RAW));
}

#[test]
fn windows_are_read_as_they_are_written() {
    let spec = whole();
    let day = 86_400_000;
    let window = |index: usize| match &spec.features[index].definition {
        Definition::Aggregate(aggregate) => aggregate.window,
        Definition::Expression(_) => panic!("feature {index} is an aggregate"),
    };
    assert_eq!(window(0), Window::Sliding(Span::from_millis(90 * day)));
    assert_eq!(window(1), Window::Session { gap: Span::from_millis(1_800_000), longest: Span::from_millis(day) });
    assert_eq!(window(2), Window::Lifetime);
    assert_eq!(window(3), Window::Calendar { unit: CalendarUnit::Month, previous: true });
    assert_eq!(spec.clock_skew, Span::from_millis(300_000), "the default");
    assert_eq!(spec.utc_offset_ms, -18_000_000);
}

#[test]
fn an_expression_reads_fields_and_then_features() {
    let spec = whole();
    let Definition::Expression(expression) = &spec.features[6].definition else { panic!("it is an expression") };
    assert_eq!(expression.slots_used().collect::<Vec<_>>(), [1, 4 + 2, 4 + 3]);
}

#[test]
fn the_hash_ignores_what_changes_nothing() {
    let hash = whole().hash;
    let respelled = WHOLE
        .replace("# ", "")
        .replace("horizon = \"90d\"", "horizon   = \"2160h\" # the same")
        .replace("100_000_000", "100000000.00")
        .replace("type = \"integer\", min = 18, max = 100", "max = 100, min = 18, type = 'integer'")
        .replace("days_past_due > 0 &&", "(days_past_due>0.0)&&");
    assert_eq!(parse(&respelled).expect("valid").hash, hash);
    assert_eq!(parse(&WHOLE.replace('\n', "\r\n")).expect("valid").hash, hash);
}

#[test]
fn the_hash_tells_every_change_that_matters() {
    let hash = whole().hash;
    for (part, by) in [
        ("ahorro-valle", "ahorro"),
        ("horizon = \"90d\"", "horizon = \"91d\""),
        ("-05:00", "-04:00"),
        ("min = 18", "min = 17"),
        ("\"edad\"", "\"anos\""),
        ("[\"atm\", \"app\"]", "[\"app\", \"atm\"]"),
        ("scale = 2, min = 0 }", "scale = 3, min = 0 }"),
        ("days_past_due > 0", "days_past_due >= 0"),
        ("aggregate = \"sum\"", "aggregate = \"mean\""),
        ("sliding = \"90d\"", "sliding = \"89d\""),
        ("default = 0.5", "default = 0.25"),
        ("\ndefault = 0.5", ""),
        ("previous = true", "previous = false"),
        ("protected = true", "protected = false"),
        ("required = false }\n\n[events.statement", "required = true }\n\n[events.statement"),
    ] {
        let changed = WHOLE.replacen(part, by, 1);
        assert_ne!(changed, WHOLE, "{part}");
        assert_ne!(parse(&changed).unwrap_or_else(|errors| panic!("{by}: {errors}")).hash, hash, "{by}");
    }
}

#[test]
fn an_error_names_file_line_column_and_the_nearest_word() {
    assert_eq!(
        refused("from = \"payment\"", "from = \"paymnt\""),
        "features.toml:23:8: unknown event type `paymnt`; did you mean `payment`?"
    );
    assert_eq!(
        refused("horizon =", "horizn ="),
        "features.toml:1:1: `horizon` is missing\nfeatures.toml:3:1: unknown key `horizn`; did you mean `horizon`?"
    );
    assert_eq!(
        refused("days_past_due > 0", "days_pastdue > 0"),
        "features.toml:24:10: `days_pastdue` is no name known here; did you mean `days_past_due`?"
    );
    assert_eq!(
        refused("== 'app' ?", "== 'ap' ?"),
        "features.toml:62:31: `ap` is no value of `last_channel`; did you mean `app`?"
    );
}

#[test]
fn all_errors_are_found_at_once_in_the_order_of_the_file() {
    let text = WHOLE
        .replacen("type = \"boolean\"", "type = \"bool\"", 1)
        .replacen("aggregate = \"count\"", "aggregate = \"cout\"", 1)
        .replacen("field = \"counterparty\"", "field = \"counterpart\"", 1)
        .replacen("calendar = \"month\"", "calendar = \"mont\"", 1);
    let errors = Specification::parse("f", &text).expect_err("four things are wrong");
    let lines: Vec<_> = errors.errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [10, 25, 32, 48], "{errors}");
    for (error, word) in errors.errors.iter().zip(["boolean", "count", "counterparty", "month"]) {
        assert!(error.message.ends_with(&format!("did you mean `{word}`?")), "{error}");
    }
}

#[test]
fn a_protected_field_enters_no_feature() {
    for (part, by) in [
        ("expression = \"age\"", "expression = \"sex\""),
        ("paid_last_month / income", "(sex == 'male' ? 1 : 2)"),
        ("aggregate = \"rate\"", "aggregate = \"rate\"\nfield = \"sex\""),
    ] {
        assert!(refused(part, by).contains("`sex` is protected"), "{by}: {}", refused(part, by));
    }
    let filtered = refused("aggregate = \"rate\"", "aggregate = \"rate\"\nwhere = \"sex == 'male'\"");
    assert!(filtered.contains("`sex` is no name known here"), "{filtered}");
}

#[test]
fn a_feature_uses_only_what_stands_above_it() {
    assert!(refused("expression = \"age\"", "expression = \"paid_to_income\"").contains("is declared below"));
    assert!(refused("paid_last_month / income", "paid_to_income").contains("is this feature itself"));
}

#[test]
fn what_an_aggregate_cannot_do_is_refused() {
    for (part, by, message) in [
        ("aggregate = \"count\"", "aggregate = \"count\"\nfield = \"amount\"", "leave `field` out"),
        ("field = \"amount\"\n", "", "`sum` needs its `field`"),
        ("field = \"amount\"", "field = \"channel\"", "needs a field of numbers"),
        ("aggregate = \"last\"", "aggregate = \"distinct\"", "over a lifetime"),
        ("window = \"lifetime\"", "window = \"lifetme\"", "did you mean `lifetime`?"),
        ("window = \"lifetime\"\n", "", "`window` is missing"),
        ("sliding = \"90d\"", "sliding = \"91d\"", "longer than `horizon` (90d)"),
        ("sliding = \"90d\"", "sliding = \"90\"", "a span is a positive whole number"),
        ("sliding = \"90d\"", "slidng = \"90d\"", "did you mean `sliding`?"),
        ("longest = \"1d\"", "longest = \"1m\"", "longer than the longest session (1m)"),
        ("calendar = \"week\" }", "calendar = \"week\", sliding = \"1d\" }", "not several"),
        ("horizon = \"90d\"", "horizon = \"61d\"", "can reach back 62d"),
        ("window = { calendar = \"week\" }", "window = { calendar = \"week\" }\ndefault = 1", "never missing"),
        ("default = 0.5", "default = nan", "finite"),
        ("default = 0.5", "default = \"0\"", "`default` is a number, not a text"),
        ("where = \"days_past_due > 0 && channel == 'app'\"", "where = \"days_past_due + 1\"", "is a condition"),
        ("expression = \"age\"", "expression = \"age\"\nfrom = \"payment\"", "not both"),
        ("expression = \"age\"", "expression = \"age + 1\"", "may share its name"),
        ("name = \"payees\"", "name = \"late_payments_90d\"", "there is a feature `late_payments_90d` above"),
        ("name = \"payees\"", "name = \"Payees\"", "begins with a small letter"),
    ] {
        let errors = refused(part, by);
        assert!(errors.contains(message), "{by}: {errors}");
    }
}

#[test]
fn what_a_field_cannot_be_is_refused() {
    for (part, by, message) in [
        ("min = 18, max = 100", "min = 18, max = 17", "`max` is below `min`"),
        ("min = 18", "min = 18.5", "more than the 0 decimals"),
        ("min = 18", "min = 0x12", "another base than ten"),
        ("min = 18", "min = nan", "plain number"),
        ("max = 100_000_000", "max = 1e30", "out of range"),
        ("scale = 2, min = 0, max", "min = 0, max", "needs its `scale`"),
        ("scale = 2, min = 0, max", "scale = 10, min = 0, max", "from 0 to 9"),
        ("[\"atm\", \"app\"]", "[\"atm\", \"atm\"]", "listed twice"),
        ("[\"atm\", \"app\"]", "[]", "1 to 250 values"),
        ("[\"atm\", \"app\"]", "[1]", "a list of texts, not a number"),
        ("[\"edad\"]", "[\"income\"]", "already a name of the field `income`"),
        ("type = \"boolean\"", "type = \"boolean\", min = 1", "unknown key `min`"),
        ("min = 0 }\ndays", "min = 0, protected = true }\ndays", "unknown key `protected`"),
        ("[events.statement.fields]", "[events.application.fields]", "declares itself"),
        ("[application.fields]", "[application.feilds]", "did you mean `fields`?"),
        ("balance = {", "balance = 1 #", "`balance` is a table, not a number"),
    ] {
        let errors = refused(part, by);
        assert!(errors.contains(message), "{by}: {errors}");
    }
}

#[test]
fn what_is_no_toml_is_refused_where_it_breaks() {
    assert!(refused("horizon = \"90d\"", "horizon = 90d").starts_with("features.toml:3:"));
    assert!(refused("[[features]]", "[[features]").starts_with("features.toml:21:"));
    assert!(parse("").expect_err("empty").contains("`name` is missing"));
    assert!(parse(&" ".repeat(2 << 20)).expect_err("too long").contains("1 MiB"));
    assert!(refused("horizon = \"90d\"", "horizon = \"90d\"\nhorizon = \"91d\"").contains("duplicate key"));
}

#[test]
fn sizes_are_bounded() {
    let fields: String = (0..65).map(|index| format!("f{index} = {{ type = \"integer\" }}\n")).collect();
    let errors =
        refused("[events.statement.fields]\n", &format!("[events.wide.fields]\n{fields}[events.statement.fields]\n"));
    assert!(errors.contains("at most 64 fields"), "{errors}");
    let types: String = (0..62).map(|index| format!("[events.t{index}.fields]\n")).collect();
    let errors = refused("[events.statement.fields]", &format!("{types}[events.statement.fields]"));
    assert!(errors.contains("at most 63 event types"), "{errors}");
    let features = "[[features]]\nname = \"a\"\nexpression = \"age\"\n".repeat(1_025);
    let head = WHOLE.split("[[features]]").next().expect("there is a head");
    let errors = parse(&format!("{head}{features}")).expect_err("too many");
    assert!(errors.contains("1 to 1024 features, not 1025"), "{errors}");
}
