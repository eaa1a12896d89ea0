//! What a JSON record may be, as sentences: exact numbers, all errors at once, never a value in an error.

use super::*;
use crate::application::{Application, HistoricApplication, StreamedApplication};
use crate::event::Event;
use crate::spec::Specification;
use crate::time::Timestamp;

const SPECIFICATION: &str = r#"
name = "test"
horizon = "90d"

[application.fields]
age     = { type = "integer", min = 18, max = 100, aliases = ["edad"] }
income  = { type = "decimal", scale = 2, min = 0, max = 1000000, aliases = ["ingresos_mensuales"] }
sex     = { type = "category", values = ["male", "female"], required = false, protected = true }
purpose = { type = "category", values = ["car", "home", "niño"], required = false }
renter  = { type = "boolean", required = false }
note    = { type = "text", required = false }

[events.payment.fields]
amount        = { type = "decimal", scale = 2 }
days_past_due = { type = "integer", min = 0, required = false }

[[features]]
name = "age"
expression = "age"
"#;

fn specification() -> Specification {
    Specification::parse("features.toml", SPECIFICATION).expect("valid")
}

fn read(json: &str) -> Result<Vec<i64>, RecordErrors> {
    specification().application.read(json.as_bytes(), Unknown::Refuse)
}

/// Path and code of all that is wrong.
fn wrong<T: std::fmt::Debug>(outcome: Result<T, RecordErrors>) -> Vec<(String, FieldCode)> {
    match outcome.expect_err("something is wrong") {
        RecordErrors::Fields(errors) => errors.into_iter().map(|error| (error.path, error.code)).collect(),
        malformed => panic!("{malformed}"),
    }
}

/// The one thing wrong with the fields.
fn only(json: &str) -> FieldError {
    match read(json) {
        Err(RecordErrors::Fields(mut errors)) if errors.len() == 1 => errors.remove(0),
        other => panic!("{json}: {other:?}"),
    }
}

fn malformed<T: std::fmt::Debug>(outcome: Result<T, RecordErrors>) -> (usize, usize) {
    match outcome.expect_err("it is malformed") {
        RecordErrors::Malformed { line, column, .. } => (line, column),
        fields => panic!("{fields}"),
    }
}

const M: i64 = MISSING;

#[test]
fn fields_become_raw_values_in_any_order_and_under_any_name() {
    assert_eq!(read(r#"{"age": 35, "income": 1200.5}"#), Ok(vec![35, 120_050, M, M, M, M]));
    assert_eq!(read(r#"{"ingresos_mensuales": 1200.50, "edad": 35}"#), Ok(vec![35, 120_050, M, M, M, M]));
    assert_eq!(
        read(r#" { "renter" : true , "purpose":"home", "sex":"male", "income":-0, "age":1.8e1 } "#),
        Ok(vec![18, 0, 0, 1, 1, M])
    );
    assert_eq!(read(r#"{"\u0061ge": 35, "income": 0, "purpose": "ni\u00f1o"}"#), Ok(vec![35, 0, M, 2, M, M]));
}

#[test]
fn equal_texts_have_equal_values() {
    let note = |text: &str| read(&format!(r#"{{"age": 35, "income": 0, "note": {text}}}"#)).expect(text)[5];
    assert_eq!(note(r#""año""#), note(r#""a\u00f1o""#));
    assert_ne!(note(r#""a""#), note(r#""b""#));
    assert_ne!(note(r#""""#), M);
}

#[test]
fn null_is_not_given() {
    assert_eq!(read(r#"{"age": 35, "income": 0, "sex": null}"#), Ok(vec![35, 0, M, M, M, M]));
    let error = only(r#"{"age": null, "income": 0}"#);
    assert_eq!((error.code, error.given), (FieldCode::MissingField, "null"));
}

#[test]
fn every_wrong_field_is_listed_at_once() {
    let errors =
        wrong(read(r#"{"agee": 1, "income": "12", "sex": "femal", "renter": 1, "purpose": [[1]], "note": {}}"#));
    use FieldCode::*;
    let expected = [
        ("agee", UnknownField),
        ("income", WrongType),
        ("sex", NotInList),
        ("renter", WrongType),
        ("purpose", WrongType),
        ("note", WrongType),
        ("age", MissingField),
    ];
    assert_eq!(errors, expected.map(|(path, code)| (path.to_owned(), code)));
}

#[test]
fn an_error_says_what_would_be_right_and_never_what_was_given() {
    let error = only(r#"{"age": 35, "income": 1000000.01}"#);
    assert_eq!((error.code, error.given), (FieldCode::OutOfRange, "number above the maximum"));
    assert_eq!(error.expected, "a number from 0 to 1000000, with at most 2 decimals");
    let error = only(r#"{"age": 17, "income": 1}"#);
    assert_eq!((error.given, error.expected.as_str()), ("number below the minimum", "a whole number from 18 to 100"));
    let error = only(r#"{"age": 35, "income": 1, "sex": "femal"}"#);
    assert_eq!(error.expected, "one of `male`, `female`");
    assert_eq!(error.suggestion.as_deref(), Some("female"));
    assert_eq!(only(r#"{"age": 35, "income": 1, "puprose": "car"}"#).suggestion.as_deref(), Some("purpose"));
    let json = serde_json::to_string(&error).expect("serialisable");
    assert_eq!(
        json,
        r#"{"path":"sex","code":"not_in_list","given":"text that is not in the list","expected":"one of `male`, `female`","suggestion":"female"}"#
    );
}

#[test]
fn numbers_are_exact_or_refused() {
    for (number, code) in [
        ("1.005", FieldCode::TooManyDecimals),
        ("1e-9", FieldCode::TooManyDecimals),
        ("1e400", FieldCode::OutOfRange),
        ("-1e400", FieldCode::OutOfRange),
        ("1e999999999999999999999", FieldCode::OutOfRange),
        ("123456789012345678901234567890", FieldCode::OutOfRange),
        ("-0.01", FieldCode::OutOfRange),
        ("\"1\"", FieldCode::WrongType),
        ("true", FieldCode::WrongType),
        ("[1]", FieldCode::WrongType),
    ] {
        assert_eq!(only(&format!(r#"{{"age": 35, "income": {number}}}"#)).code, code, "{number}");
    }
    assert_eq!(only(r#"{"age": 35.5, "income": 1}"#).code, FieldCode::TooManyDecimals);
    assert_eq!(read(r#"{"age": 35.0, "income": 0.00e5}"#).expect("whole")[..2], [35, 0]);
}

#[test]
fn a_field_given_twice_is_refused_under_each_of_its_names() {
    let error = only(r#"{"age": 35, "income": 1, "edad": 35}"#);
    assert_eq!((error.path.as_str(), error.code), ("edad", FieldCode::DuplicateField));
    assert_eq!(error.expected, "the field once; its names are `age`, `edad`");
    assert_eq!(only(r#"{"age": 35, "income": 1, "income": 1}"#).code, FieldCode::DuplicateField);
}

#[test]
fn a_text_has_a_limit_and_has_to_be_text() {
    let note = |text: &str| format!(r#"{{"age": 35, "income": 1, "note": "{text}"}}"#);
    assert!(read(&note(&"x".repeat(256))).is_ok());
    assert_eq!(only(&note(&"x".repeat(257))).code, FieldCode::TooLong);
    assert_eq!(only(&note(r"\ud800")).given, "text with an escape that is no character");
    assert_eq!(malformed(read(&note("\u{1}"))), (1, 34), "a control character has to be escaped");
}

#[test]
fn what_is_not_json_is_malformed_at_its_place() {
    for json in [
        "",
        " ",
        "{",
        r#"{"age": NaN}"#,
        r#"{"age": Infinity}"#,
        r#"{"age": 035}"#,
        r#"{"age": +35}"#,
        r#"{"age": 35,}"#,
        r#"{"age" 35}"#,
        r#"{age: 35}"#,
        r#"{'age': 35}"#,
        r#"{"age": 35} {}"#,
        "\u{feff}{}",
        "nul",
    ] {
        malformed(read(json));
    }
    assert_eq!(malformed(read("{\"age\":\n NaN}")), (2, 2));
    assert_eq!(malformed(specification().application.read(b"{\"age\":\n \"\xff\"}", Unknown::Refuse)), (2, 3));
}

#[test]
fn what_is_no_object_says_so() {
    for json in ["[]", "[[[[1]]]]", "1", "-1.5", "\"text\"", "null", "true"] {
        assert_eq!(wrong(read(json))[0], (String::new(), FieldCode::WrongType), "{json}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(only(&format!(r#"{{"age": 35, "income": {deep}}}"#)).given, "list");
    assert_eq!(only(&format!(r#"{{"age": 35, "income": 1, "x": {deep}}}"#)).code, FieldCode::UnknownField);
    assert_eq!(wrong(read(&deep))[0].1, FieldCode::WrongType);
    malformed(read(&"[".repeat(100_000)));
}

#[test]
fn the_list_of_errors_is_bounded() {
    let keys: String = (0..1_000).map(|index| format!(r#""k{index}": 1,"#)).collect();
    assert_eq!(wrong(read(&format!("{{{keys} \"x\": 1}}"))).len(), RecordErrors::MOST);
    let long = "k".repeat(10_000);
    let errors = wrong(read(&format!(r#"{{"{long}": 1, "age": 35, "income": 1}}"#)));
    assert_eq!(errors[0].0.len(), 64);
}

#[test]
fn unknown_keys_can_be_ignored() {
    let values =
        specification().application.read(br#"{"edad": 35, "x": {"y": [1]}, "ingresos_mensuales": 1}"#, Unknown::Ignore);
    assert_eq!(values.expect("valid")[..2], [35, 100]);
}

fn event(json: &str) -> Result<Event, RecordErrors> {
    Event::from_json(&specification(), json.as_bytes())
}

const PAYMENT: &str = r#"{"person_id": "c-1", "event_id": "77", "type": "payment", "time": "2026-01-15T14:00:00Z", "data": {"amount": 120.50, "days_past_due": 3}}"#;

#[test]
fn an_event_is_read_whatever_the_order_of_its_keys() {
    let turned = r#"{"data": {"days_past_due": 3, "amount": 120.5}, "time": "2026-01-15T09:00:00-05:00", "type": "payment", "event_id": "77", "person_id": "c-1"}"#;
    let payment = event(PAYMENT).expect("valid");
    assert_eq!(event(turned).expect("valid"), payment);
    assert_eq!((payment.person(), payment.id_text(), payment.id().bits()), ("c-1", "77", 77));
    assert_eq!((payment.kind(), payment.values()), (0, &[12_050, 3][..]));
    assert_eq!(payment.time(), Timestamp::parse("2026-01-15T14:00:00Z").expect("valid"));
    assert_eq!(payment.arrived_at(), None);
}

#[test]
fn a_wrong_event_lists_all_that_is_wrong_with_it() {
    use FieldCode::*;
    let errors = wrong(event(
        r#"{"person_id": "", "event_id": 77, "typ": 1, "type": "payment", "time": "2026-01-15", "data": {"amuont": 1}}"#,
    ));
    let expected = [
        ("person_id", InvalidId),
        ("event_id", WrongType),
        ("typ", UnknownField),
        ("time", InvalidTime),
        ("data.amuont", UnknownField),
        ("data.amount", MissingField),
    ];
    assert_eq!(errors, expected.map(|(path, code)| (path.to_owned(), code)));
    let absent = ["person_id", "event_id", "type", "time", "data"].map(|path| (path.to_owned(), MissingField));
    assert_eq!(wrong(event("{}")), absent);
    assert_eq!(wrong(event(&PAYMENT.replace("\"payment\"", "\"paymnt\""))), [("type".to_owned(), NotInList)]);
    assert_eq!(
        wrong(event(&PAYMENT.replace("{\"amount\": 120.50, \"days_past_due\": 3}", "[]"))),
        [("data".to_owned(), WrongType)]
    );
    assert_eq!(
        wrong(event(&PAYMENT.replace("\"event_id\": \"77\"", "\"event_id\": \"77\", \"event_id\": \"77\""))),
        [("event_id".to_owned(), DuplicateField)]
    );
    assert_eq!(wrong(event(&PAYMENT.replace("c-1", &"c".repeat(129)))), [("person_id".to_owned(), InvalidId)]);
    assert_eq!(wrong(event(&PAYMENT.replace("c-1", "c\\u0007"))), [("person_id".to_owned(), InvalidId)]);
}

#[test]
fn arrival_belongs_to_history_files() {
    let json = PAYMENT.replacen('{', r#"{"arrived_at": "2026-01-16T00:00:00Z", "#, 1);
    let errors = match event(&json).expect_err("it is refused") {
        RecordErrors::Fields(errors) => errors,
        malformed => panic!("{malformed}"),
    };
    assert_eq!(
        (errors[0].path.as_str(), errors[0].expected.as_str()),
        ("arrived_at", "no such field: history files alone carry it")
    );
    let historic = Event::from_history(&specification(), json.as_bytes()).expect("valid");
    assert_eq!(historic.arrived_at(), Timestamp::parse("2026-01-16T00:00:00Z").ok());
    assert!(Event::from_history(&specification(), PAYMENT.as_bytes()).is_ok());
}

#[test]
fn an_application_may_be_of_nobody_and_without_an_id() {
    let spec = specification();
    let fields = r#"{"age": 35, "income": 1, "sex": "female"}"#;
    let json = format!(r#"{{"person_id": "c-1", "application_id": "a-9", "application": {fields}}}"#);
    let known = Application::from_json(&spec, json.as_bytes(), "r-1").expect("valid");
    assert_eq!((known.person(), known.id_text()), ("c-1", "a-9"));
    let json = format!(r#"{{"person_id": null, "application": {fields}}}"#);
    let unknown = Application::from_json(&spec, json.as_bytes(), "r-1").expect("valid");
    assert_eq!((unknown.person(), unknown.id_text()), ("", "r-1"));
    assert_eq!(unknown.values(), [35, 100, 1, M, M, M]);
    assert_eq!(Application::from_fields(&spec, "c-1", "a-9", fields.as_bytes(), Unknown::Refuse), Ok(known));
    assert_eq!(wrong(Application::from_json(&spec, json.as_bytes(), ""))[0].1, FieldCode::InvalidId);
    let paths = wrong(Application::from_json(&spec, br#"{"application": {"age": 1}, "as_of": ""}"#, "r-1"));
    assert_eq!(
        paths.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["application.age", "application.income", "as_of"]
    );
}

#[test]
fn a_scored_application_is_an_event_without_its_protected_fields() {
    let spec = specification();
    let application = Application::from_fields(
        &spec,
        "c-1",
        "9",
        br#"{"age": 35, "income": 1, "sex": "female", "renter": true}"#,
        Unknown::Refuse,
    );
    let as_of = Timestamp::from_millis(5);
    let event = application.expect("valid").as_event(&spec, as_of);
    assert_eq!((event.person(), event.id().bits(), event.time(), event.kind()), ("c-1", 9, as_of, 1));
    assert_eq!(event.id_text(), "9");
    assert_eq!(event.values(), [35, 100, M, 1, M]);
    assert_eq!(event.values().len(), spec.events[1].record.fields.len());
}

#[test]
fn a_historic_application_says_when_and_how_it_ended() {
    let spec = specification();
    let read = |more: &str| {
        let json = format!(r#"{{"application": {{"age": 35, "income": 1}}{more}}}"#);
        HistoricApplication::from_json(&spec, json.as_bytes(), "line-1")
    };
    let ended = read(r#", "as_of": "2026-01-15T14:00:00Z", "label": 1"#).expect("valid");
    assert_eq!((ended.label, ended.as_of.to_string().as_str()), (Some(true), "2026-01-15T14:00:00Z"));
    assert_eq!(read(r#", "as_of": "2026-01-15T14:00:00Z""#).expect("valid").label, None);
    assert_eq!(wrong(read("")), [("as_of".to_owned(), FieldCode::MissingField)]);
    assert_eq!(wrong(read(r#", "as_of": "2026-01-15T14:00:00Z", "label": 2"#))[0].1, FieldCode::OutOfRange);
}

#[test]
fn a_person_is_found_among_the_fields() {
    let find = |json: &str| text_member(json.as_bytes(), &["user_id", "cliente_id"]);
    assert_eq!(find(r#"{"edad": 1, "cliente_id": 42, "x": []}"#).as_deref(), Some("42"));
    assert_eq!(find(r#"{"cliente_id": "b", "user_id": "a"}"#).as_deref(), Some("a"));
    assert_eq!(find(r#"{"user_id": "", "cliente_id": "b"}"#).as_deref(), Some("b"));
    for json in ["{}", "[]", "{", r#"{"user_id": null}"#, r#"{"user_id": 1.5}"#] {
        assert_eq!(find(json), None, "{json}");
    }
}

#[test]
fn an_id_is_its_number_or_a_hash() {
    let bits = |text: &str| EventId::parse(text).expect(text).bits();
    assert_eq!(bits("0"), 0);
    assert_eq!(bits("140737488355327"), (1 << 47) - 1);
    for hashed in ["140737488355328", "007", "a-9", "-1", "99999999999999999999999999", "77 "] {
        assert_eq!(bits(hashed) >> 47, 1, "{hashed}");
        assert_eq!(EventId::from_bits(bits(hashed)), EventId::parse(hashed).expect(hashed));
    }
    assert_ne!(bits("007"), bits("7"));
    assert_eq!(EventId::parse(""), Err(IdError::Empty));
    assert_eq!(EventId::parse(&"x".repeat(129)), Err(IdError::TooLong));
    assert_eq!(EventId::parse("a\nb"), Err(IdError::ControlCharacter));
}

#[test]
fn a_streamed_application_says_when_it_stands_and_whether_it_may_wait() {
    let read = |rest: &str| {
        let json = format!(r#"{{"application": {{"age": 30, "income": 1}}{rest}}}"#);
        StreamedApplication::from_json(&specification(), json.as_bytes(), "a-1")
    };
    let plain = read("").unwrap();
    assert_eq!((plain.as_of, plain.high_priority, plain.application.id_text()), (None, false, "a-1"));
    assert_eq!(plain.application.of_person("p").person(), "p");
    let full = read(r#", "person_id": "q", "as_of": "2026-01-15T14:00:00Z", "priority": "high""#).unwrap();
    assert_eq!(full.as_of, Some(Timestamp::parse("2026-01-15T14:00:00Z").unwrap()));
    assert!(full.high_priority && full.application.person() == "q");
    assert_eq!(wrong(read(r#", "priority": "urgent""#)), [("priority".to_owned(), FieldCode::NotInList)]);
    assert_eq!(wrong(read(r#", "label": 1"#)), [("label".to_owned(), FieldCode::UnknownField)]);
}
