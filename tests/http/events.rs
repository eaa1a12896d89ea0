//! Events go in one by one or in a batch, each on its own.

use serde_json::json;

use super::{JSON, LINES, expect, lines, metric, payment, server};

#[test]
fn event_is_new_once_then_a_duplicate_and_another_under_its_identity_is_a_conflict() {
    let server = server();
    let time = "2026-06-19T10:00:00Z";
    for (days_past_due, status, applied, position) in
        [(0, 201, "new", 0), (0, 200, "duplicate", 0), (9, 200, "conflict", 1), (0, 200, "conflict", 0)]
    {
        let answer = server.post("/v1/events", JSON, payment("c-1", "77", time, days_past_due).to_string());
        assert_eq!(answer.status, status, "{}", answer.text());
        let request_id = answer.header("x-request-id").unwrap();
        let expected = json!({
            "request_id": request_id, "event_id": "77", "applied": applied, "position": position, "durable": true,
            "stored": "log",
        });
        assert_eq!(answer.json(), expected);
    }
    for (outcome, count) in [("new", 1.0), ("duplicate", 1.0), ("conflict", 2.0), ("invalid", 0.0)] {
        assert_eq!(metric(&server, &format!("cauce_events_total{{outcome=\"{outcome}\"}}")), count, "{outcome}");
    }
}

#[test]
fn same_instant_written_with_another_offset_is_the_same_event() {
    let server = server();
    for (time, status) in [("2026-06-19T10:00:00Z", 201), ("2026-06-19T05:00:00.000-05:00", 200)] {
        assert_eq!(server.post("/v1/events", JSON, payment("c-1", "1", time, 0).to_string()).status, status, "{time}");
    }
}

#[test]
fn event_is_refused_from_before_the_horizon_and_from_the_future() {
    let server = server();
    for (time, status, code) in [
        ("2026-03-22T12:00:00Z", 400, Some("event_too_late")),
        ("2026-03-22T12:00:00.001Z", 201, None),
        ("2026-06-20T12:05:00Z", 201, None),
        ("2026-06-20T12:05:00.001Z", 400, Some("event_in_future")),
    ] {
        let answer = server.post("/v1/events", JSON, payment("c-1", time, time, 0).to_string());
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, code), "{time}: {}", answer.text());
    }
}

#[test]
fn batch_takes_each_line_on_its_own_and_lists_what_it_refused() {
    let server = server();
    let known = payment("c-1", "1", "2026-06-19T10:00:00Z", 0);
    let conflicting = payment("c-1", "1", "2026-06-19T10:00:00Z", 5);
    let body = [
        lines([&known]),
        "\n".to_owned(),
        lines([&known, &conflicting]),
        "{\"person_id\": broken\n".to_owned(),
        lines([&payment("c-1", "2", "2020-01-01T00:00:00Z", 0), &payment("c-2", "3", "2026-07-01T00:00:00Z", 0)]),
        lines([&json!({"person_id": "c-1"})]),
        payment("c-2", "4", "2026-06-01T00:00:00Z", 0).to_string(),
    ]
    .concat();
    let answer = expect(server.post("/v1/events/batch", LINES, body));
    for (count, expected) in [("count", 8), ("new", 2), ("duplicate", 1), ("conflict", 1), ("refused", 4)] {
        assert_eq!(answer[count], json!(expected), "{count}: {answer}");
    }
    assert_eq!(answer["durable"], json!(true));
    let problems = answer["problems"].as_array().unwrap();
    let problems: Vec<_> = problems.iter().map(|item| (&item["index"], &item["problem"]["code"])).collect();
    let expected = [(4, "malformed_json"), (5, "event_too_late"), (6, "event_in_future"), (7, "invalid_fields")];
    assert_eq!(
        problems,
        expected.map(|(index, code)| (json!(index), json!(code))).iter().map(|(i, c)| (i, c)).collect::<Vec<_>>()
    );
}

#[test]
fn people_beyond_the_bound_are_refused_and_those_known_still_served() {
    let server = super::server_with(&["store.people=1"]);
    for (person, id, status) in [("c-1", "1", 201), ("c-2", "2", 507), ("c-1", "3", 201)] {
        let answer = server.post("/v1/events", JSON, payment(person, id, "2026-06-19T10:00:00Z", 0).to_string());
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let scored = super::score(&server, &super::application("c-2", "a"));
    assert_eq!(scored["recorded"], json!(false));
    assert_eq!(metric(&server, "cauce_bound_items{setting=\"store.people\"}"), 1.0);
}
