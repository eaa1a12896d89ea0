//! Any bytes are a valid event or application, or an error: never a panic, never a value outside its field.
//!
//! `cargo +nightly fuzz run event` in `features/`.
#![no_main]

use std::sync::LazyLock;

use cauce_features::application::{Application, HistoricApplication};
use cauce_features::event::Event;
use cauce_features::fixed::MISSING;
use cauce_features::spec::{Record, Specification};
use libfuzzer_sys::fuzz_target;

static SPECIFICATION: LazyLock<Specification> = LazyLock::new(|| {
    let text = r#"
        name = "fuzz"
        horizon = "90d"
        [application.fields]
        age = { type = "integer", min = 18, max = 100, aliases = ["edad"] }
        sex = { type = "category", values = ["male", "female"], required = false, protected = true }
        [events.payment.fields]
        amount = { type = "decimal", scale = 2, min = 0, required = false }
        late = { type = "boolean", required = false }
        payee = { type = "text", required = false }
        [[features]]
        name = "age"
        expression = "age"
    "#;
    Specification::parse("fuzz.toml", text).expect("valid")
});

fn check(record: &Record, values: &[i64]) {
    assert_eq!(record.fields.len(), values.len());
    for (field, &value) in record.fields.iter().zip(values) {
        assert!((field.min..=field.max).contains(&value) || (value == MISSING && !field.required));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let specification = &*SPECIFICATION;
    for event in [Event::from_json(specification, bytes), Event::from_history(specification, bytes)].iter().flatten() {
        check(&specification.events[event.kind()].record, event.values());
    }
    if let Ok(application) = Application::from_json(specification, bytes, "1") {
        check(&specification.application, application.values());
        let event = application.as_event(specification, cauce_features::time::Timestamp::from_millis(0));
        check(&specification.events[event.kind()].record, event.values());
    }
    if let Ok(historic) = HistoricApplication::from_json(specification, bytes, "1") {
        check(&specification.application, historic.application.values());
    }
});
