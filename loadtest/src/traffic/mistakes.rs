//! Applications and events that a service has to refuse. They are nobody's, so that one which is taken harms no history.

/// What is wrong, and an application that is so.
pub const APPLICATIONS: [(&str, &str); 6] = [
    ("a negative amount", r#"{"person_id":"nobody","application":{"monthly_income":2000,"amount":-5}}"#),
    ("a field that there is not", r#"{"person_id":"nobody","application":{"monthly_income":2000,"amout":5000}}"#),
    ("a field of another type", r#"{"person_id":"nobody","application":{"monthly_income":2000,"amount":"much"}}"#),
    ("a field that is missing", r#"{"person_id":"nobody","application":{"amount":5000}}"#),
    ("no application", r#"{"person_id":"nobody"}"#),
    ("no JSON", r#"{"person_id":"nobody","application":{"monthly_income":2000,"#),
];

/// What is wrong, and an event that is so.
pub const EVENTS: [(&str, &str); 7] = [
    (
        "a negative amount",
        r#"{"person_id":"nobody","event_id":"1","type":"payment","time":"2026-01-15T14:00:00Z","data":{"amount":-5,"days_past_due":0}}"#,
    ),
    (
        "a type that there is not",
        r#"{"person_id":"nobody","event_id":"1","type":"paymnt","time":"2026-01-15T14:00:00Z","data":{"amount":5,"days_past_due":0}}"#,
    ),
    (
        "a field of another type",
        r#"{"person_id":"nobody","event_id":"1","type":"payment","time":"2026-01-15T14:00:00Z","data":{"amount":"5 dollars","days_past_due":0}}"#,
    ),
    (
        "no person",
        r#"{"event_id":"1","type":"payment","time":"2026-01-15T14:00:00Z","data":{"amount":5,"days_past_due":0}}"#,
    ),
    (
        "a time without its offset",
        r#"{"person_id":"nobody","event_id":"1","type":"payment","time":"2026-01-15 14:00","data":{"amount":5,"days_past_due":0}}"#,
    ),
    (
        "a time that is long past",
        r#"{"person_id":"nobody","event_id":"1","type":"payment","time":"2001-01-15T14:00:00Z","data":{"amount":5,"days_past_due":0}}"#,
    ),
    ("no JSON", r#"{"person_id":"nobody","event_id":"1","type":"payment","#),
];
