//! Every wrong request has a defined answer: a status, a stable code and all wrong fields, without a value or a person.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{JSON, LINES, application, expect, lines, server, server_with};
use crate::support::{Answer, Server};

/// The person and every text value of these requests; no answer and no log may repeat it.
const SECRET: &str = "secreto-4711";
/// The digits of every wrong number.
const NUMBER: &str = "31415";

/// A server that logs all there is to log.
fn watched_server() -> Server {
    server_with(&["logging.level=trace"])
}

/// What has been sent is repeated nowhere.
#[track_caller]
fn expect_secret(server: &Server, answer: &Answer, case: &str) {
    let head = format!("{:?}", answer.headers);
    for said in [head, answer.text(), said_in(&server.log())] {
        for secret in [SECRET, NUMBER] {
            assert!(!said.contains(secret), "{case}: {said}");
        }
    }
}

/// A log without its instants and request ids, whose digits are anybody's.
fn said_in(log: &str) -> String {
    let words = log.lines().flat_map(|line| line.split(' ').skip(1).chain(["\n"]));
    words.filter(|word| !word.starts_with("request_id=")).collect::<Vec<_>>().join(" ")
}

/// A problem document with this status and code; its wrong fields as `path code`.
#[track_caller]
fn expect_problem(answer: &Answer, status: u16, code: &str, case: &str) -> BTreeSet<String> {
    let said = answer.json();
    assert_eq!(
        (answer.status, &said["code"], &said["status"]),
        (status, &json!(code), &json!(status)),
        "{case}: {said}"
    );
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{case}");
    assert_eq!(said["type"], format!("urn:cauce:problem:{code}"), "{case}");
    assert!(said["title"].is_string() && said["detail"].is_string(), "{case}: {said}");
    assert_eq!(said["request_id"].as_str(), answer.header("x-request-id"), "{case}");
    wrong_fields(&said)
}

fn wrong_fields(problem: &Value) -> BTreeSet<String> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    errors
        .iter()
        .map(|error| {
            assert!(error["given"].is_string() && error["expected"].is_string(), "{error}");
            text(&error["path"]) + " " + &text(&error["code"])
        })
        .collect()
}

/// An application of the secret person with these fields.
fn of(fields: &str) -> String {
    format!(r#"{{"person_id":"{SECRET}","application":{{{fields}}}}}"#)
}

/// An application with these fields beside the two that have to be there.
fn with(fields: &str) -> String {
    of(&format!(r#""monthly_income":1200.5,"amount":5000,{fields}"#))
}

/// A right application with this beside it.
fn beside(members: &str) -> String {
    format!(r#"{{{members},"application":{{"monthly_income":1200.5,"amount":5000}}}}"#)
}

#[test]
fn wrong_fields_of_an_application_are_named_all_at_once() {
    let long = SECRET.repeat(11);
    let list = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let cases: &[(String, &[&str])] = &[
        (of(r#""monthly_income":"31415.92","amount":5000"#), &["application.monthly_income wrong_type"]),
        (of(r#""monthly_income":1e400,"amount":-1e400"#), &["application.monthly_income out_of_range", "application.amount out_of_range"]),
        (of(r#""monthly_income":1e-400,"amount":31415.9265"#), &["application.monthly_income too_many_decimals", "application.amount too_many_decimals"]),
        (of(r#""monthly_income":-31415,"amount":-0"#), &["application.monthly_income out_of_range", "application.amount out_of_range"]),
        (of(r#""monthly_income":true,"amount":{"value":31415}"#), &["application.monthly_income wrong_type", "application.amount wrong_type"]),
        (of(&format!(r#""monthly_income":{list},"amount":5000"#)), &["application.monthly_income wrong_type"]),
        (of(r#""monthly_income":null"#), &["application.monthly_income missing_field", "application.amount missing_field"]),
        (with(r#""amount":31415"#), &["application.amount duplicate_field"]),
        (with(r#""monto_credito":31415"#), &["application.monto_credito duplicate_field"]),
        (with(r#""credit_score":314159,"credito_score":700"#), &["application.credit_score out_of_range", "application.credito_score duplicate_field"]),
        (with(r#""credit_score":700.5"#), &["application.credit_score too_many_decimals"]),
        (with(r#""purpose":"secreto-4711""#), &["application.purpose not_in_list"]),
        (with(r#""purpose":31415"#), &["application.purpose wrong_type"]),
        (with(r#""monthly_incom":31415"#), &["application.monthly_incom unknown_field"]),
        (with(&format!(r#""foo":{list}"#)), &["application.foo unknown_field"]),
        (beside(r#""as_of":"2026-01-01T00:00:00Z","label":1"#), &["as_of unknown_field", "label unknown_field"]),
        (beside(r#""person":"secreto-4711""#), &["person unknown_field"]),
        (beside(r#""person_id":"a","person_id":"secreto-4711""#), &["person_id duplicate_field"]),
        (beside(r#""person_id":"""#), &["person_id invalid_id"]),
        (beside(&format!(r#""person_id":"{long}""#)), &["person_id invalid_id"]),
        (beside(r#""person_id":"secreto-4711\u0007""#), &["person_id invalid_id"]),
        (beside(r#""person_id":"secreto-4711\ud800""#), &["person_id wrong_type"]),
        (beside(r#""person_id":31415,"application_id":["secreto-4711"]"#), &["person_id wrong_type", "application_id wrong_type"]),
        (beside(&format!(r#""application_id":"{long}""#)), &["application_id invalid_id"]),
        (r#"{"person_id":"secreto-4711"}"#.into(), &["application missing_field"]),
        (r#"{"person_id":"secreto-4711","application":"secreto-4711"}"#.into(), &["application wrong_type"]),
        (r#"["secreto-4711"]"#.into(), &[" wrong_type"]),
        ("31415".into(), &[" wrong_type"]),
        (
            r#"{"persn_id":"secreto-4711","label":1,"application":{"monthly_incom":"31415","amount":"x","credit_score":-1,"purpose":"hom","term_months":1.5,"plazo_meses":3}}"#.into(),
            &[
                "persn_id unknown_field",
                "label unknown_field",
                "application.monthly_incom unknown_field",
                "application.monthly_income missing_field",
                "application.amount wrong_type",
                "application.credit_score out_of_range",
                "application.purpose not_in_list",
                "application.term_months too_many_decimals",
                "application.plazo_meses duplicate_field",
            ],
        ),
    ];
    let server = watched_server();
    for (body, expected) in cases {
        let case = &body[..body.len().min(160)];
        let answer = server.post("/v1/score", JSON, body);
        let found = expect_problem(&answer, 400, "invalid_fields", case);
        assert_eq!(found, expected.iter().map(|&wrong| wrong.to_owned()).collect(), "{case}");
        expect_secret(&server, &answer, case);
    }
}

#[test]
fn near_miss_is_told_the_name_that_was_meant() {
    let server = server();
    let body = r#"{"persn_id":"c-1","application":{"monthly_incom":5,"monto_creditos":5,"purpose":"busines","zzz":1}}"#;
    let said = server.post("/v1/score", JSON, body).json();
    let errors = said["errors"].as_array().unwrap();
    for (path, suggestion) in [
        ("persn_id", json!("person_id")),
        ("application.monthly_incom", json!("monthly_income")),
        ("application.monto_creditos", json!("monto_credito")),
        ("application.purpose", json!("business")),
        ("application.zzz", json!(null)),
    ] {
        let error = errors.iter().find(|error| error["path"] == path).unwrap_or_else(|| panic!("{path}: {said}"));
        assert_eq!(error["suggestion"], suggestion, "{path}");
    }
}

#[test]
fn wrong_fields_of_an_event_are_named_all_at_once() {
    let event = |members: &str| format!(r#"{{"person_id":"{SECRET}","event_id":"1",{members}}}"#);
    let payment = r#""type":"payment","data":{"amount":1,"days_past_due":0}"#;
    let cases: &[(String, &[&str])] = &[
        (
            "{}".into(),
            &[
                "person_id missing_field",
                "event_id missing_field",
                "type missing_field",
                "time missing_field",
                "data missing_field",
            ],
        ),
        (event(&format!(r#"{payment},"time":"2026-06-19T10:00:00""#)), &["time invalid_time"]),
        (event(&format!(r#"{payment},"time":"2026-02-30T10:00:00Z""#)), &["time invalid_time"]),
        (event(&format!(r#"{payment},"time":31415"#)), &["time wrong_type"]),
        (
            event(&format!(r#"{payment},"time":"2026-06-19T10:00:00Z","arrived_at":"2026-06-19T10:00:00Z""#)),
            &["arrived_at unknown_field"],
        ),
        (event(&format!(r#"{payment},"time":"0031-04-15T10:00:00Z""#)), &["time out_of_range"]),
        (event(r#""type":"paymnt","time":"2026-06-19T10:00:00Z","data":{"amount":1}"#), &["type not_in_list"]),
        // Fields are judged although they stand before the type.
        (
            event(r#""data":{"amount":-31415},"type":"payment","time":"x""#),
            &["time invalid_time", "data.amount out_of_range", "data.days_past_due missing_field"],
        ),
        (
            event(
                r#""data":{"amount":1,"days_past_due":0,"edad":31415},"type":"payment","time":"2026-06-19T10:00:00Z""#,
            ),
            &["data.edad unknown_field"],
        ),
        (event(r#""data":["secreto-4711"],"type":"payment","time":"2026-06-19T10:00:00Z""#), &["data wrong_type"]),
        (
            event(r#""data":{},"type":"application","time":"2026-06-19T10:00:00Z""#),
            &["data.monthly_income missing_field", "data.amount missing_field"],
        ),
    ];
    let server = watched_server();
    for (body, expected) in cases {
        let answer = server.post("/v1/events", JSON, body);
        let found = expect_problem(&answer, 400, "invalid_fields", body);
        assert_eq!(found, expected.iter().map(|&wrong| wrong.to_owned()).collect(), "{body}");
        expect_secret(&server, &answer, body);
    }
}

#[test]
fn numbers_are_taken_in_every_form_that_is_exact() {
    let server = server();
    let probability = |income: &str, amount: &str| {
        let body = format!(r#"{{"application":{{"monthly_income":{income},"amount":{amount}}}}}"#);
        expect(server.post("/v1/score?vector=true", JSON, body))["vector"].clone()
    };
    let plain = probability("1200.5", "5000");
    for (income, amount) in [("1200.500000", "5000.00"), ("12005e-1", "5e3"), ("0.012005e5", "5.0E+3")] {
        assert_eq!(probability(income, amount), plain, "{income} {amount}");
    }
    assert_eq!(probability("-0", "1"), probability("0", "1"));
    assert_eq!(probability("-0.0e5", "1"), probability("0", "1"));
    assert_eq!(probability("0e999999999", "1"), probability("0", "1"));
}

#[test]
fn body_that_is_no_json_is_refused_whole() {
    let server = watched_server();
    let brackets = "[".repeat(60_000);
    let cases: &[(&[u8], &str)] = &[
        (b"", "empty_body"),
        (b" \r\n\t", "empty_body"),
        (b"{", "malformed_json"),
        (br#"{"application":{"monthly_income":NaN}}"#, "malformed_json"),
        (br#"{"application":{"monthly_income":Infinity}}"#, "malformed_json"),
        (br#"{"application":{"monthly_income":-Infinity}}"#, "malformed_json"),
        (br#"{"application":{"monthly_income":031415}}"#, "malformed_json"),
        (br#"{"application":{"monthly_income":+31415}}"#, "malformed_json"),
        (br#"{"application":{"monthly_income":31415.}}"#, "malformed_json"),
        (br#"{"application":{},}"#, "malformed_json"),
        (br#"{"person_id":"secreto-4711"} x"#, "malformed_json"),
        (br#"{"person_id":'secreto-4711'}"#, "malformed_json"),
        (b"{\"person_id\":\"secreto-4711\n\"}", "malformed_json"),
        (b"{\"person_id\":\"secreto-4711\xff\"}", "malformed_json"),
        (b"\xef\xbb\xbf{\"person_id\":\"secreto-4711\"}", "malformed_json"),
        (b"secreto-4711", "malformed_json"),
        (brackets.as_bytes(), "malformed_json"),
    ];
    for (body, code) in cases {
        for path in ["/v1/score", "/v1/events"] {
            let case = format!("{path} {}", String::from_utf8_lossy(&body[..body.len().min(160)]));
            let answer = server.post(path, JSON, body);
            assert!(expect_problem(&answer, 400, code, &case).is_empty(), "{case}");
            expect_secret(&server, &answer, &case);
        }
    }
    let answer = server.post("/v1/score/batch", JSON, "[".repeat(100_000));
    expect_problem(&answer, 400, "malformed_json", "a batch of brackets");
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn body_of_an_unknown_type_is_refused() {
    let server = server();
    let body = application("c-1", "a").to_string();
    for (path, headers) in [
        ("/v1/score", vec![]),
        ("/v1/score", vec![("content-type", "text/plain")]),
        ("/v1/score", vec![("content-type", LINES)]),
        ("/v1/score", vec![("content-type", "application/json; charset=latin-1")]),
        ("/v1/score", vec![("content-type", JSON), ("content-encoding", "gzip")]),
        ("/v1/score/batch", vec![("content-type", "application/x-www-form-urlencoded")]),
        ("/v1/events", vec![("content-type", "json")]),
    ] {
        let answer = server.send("POST", path, &headers, body.as_bytes());
        expect_problem(&answer, 415, "unsupported_media_type", &format!("{path} {headers:?}"));
    }
    let answer = server.post("/v1/score", "Application/JSON; charset=UTF-8", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn body_larger_than_allowed_is_refused_whether_announced_or_not() {
    let server = server_with(&["server.body=1KiB", "server.batch_body=2KiB", "server.head_timeout=1500ms"]);
    for (path, length) in [("/v1/score", 1_025), ("/v1/events/batch", 2_049), ("/v1/score", 99_999_999_999_u64)] {
        let mut connection = server.connect();
        // Refused by its head: the body is not waited for.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        connection.write(head.as_bytes());
        expect_problem(&connection.answer(), 413, "body_too_large", path);
    }
    let mut connection = server.connect();
    let head = format!(
        "POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    connection.write(head.as_bytes());
    for _ in 0..5 {
        connection.write(format!("100\r\n{}\r\n", " ".repeat(256)).as_bytes());
    }
    // The body is never ended, and the connection is not held open for it.
    expect_problem(&connection.answer(), 413, "body_too_large", "chunked");

    let mut just = application("c-1", "a").to_string();
    just += &" ".repeat(1_024 - just.len());
    assert_eq!(server.post("/v1/score", JSON, just).status, 200);
}

#[test]
fn address_or_method_that_there_is_not_is_refused() {
    let server = watched_server();
    for (method, path, allow) in [
        ("GET", "/v1/score", Some("POST")),
        ("PUT", "/v1/events", Some("POST")),
        ("DELETE", "/v1/people/secreto-4711/features", Some("GET, HEAD")),
        ("POST", "/metrics", Some("GET, HEAD")),
        ("GET", "/predecir", Some("POST")),
        ("POST", "/v1/scores", None),
        ("GET", "/secreto-4711", None),
        ("GET", "/v1/people/secreto-4711/nothing", None),
        ("GET", "/v1/people//features", None),
        ("GET", "/v1/people/secreto-4711%07/features", None),
        ("GET", "/../../etc/passwd", None),
    ] {
        let case = format!("{method} {path}");
        let answer = server.send(method, path, &[], b"");
        let (status, code) = if allow.is_some() { (405, "method_not_allowed") } else { (404, "not_found") };
        expect_problem(&answer, status, code, &case);
        assert_eq!(answer.header("allow"), allow, "{case}");
        expect_secret(&server, &answer, &case);
    }
    let long = server.get(&format!("/v1/people/{}/features", SECRET.repeat(11)));
    expect_problem(&long, 404, "not_found", "a long id");
    let unknown = server.get(&format!("/v1/people/{SECRET}/features"));
    expect_problem(&unknown, 404, "person_unknown", "an unknown person");
    expect_secret(&server, &unknown, "an unknown person");
}

#[test]
fn item_of_a_batch_that_is_wrong_has_its_problem_in_its_place() {
    let server = watched_server();
    let good = application("c-1", "a").to_string();
    let wrong = of(r#""monthly_income":"31415","amount":5000"#);
    let line_by_line =
        [&good, &wrong, "{\"person_id\":\"secreto-4711", "", "5", "{\"person_id\":\"\u{7}\"}", &good].join("\n");
    let list = format!("[{good},{wrong},5,{good}]");
    for (content_type, body, scored, problems) in [
        (
            LINES,
            line_by_line,
            [0, 6],
            vec![(1, "invalid_fields"), (2, "malformed_json"), (4, "invalid_fields"), (5, "malformed_json")],
        ),
        (JSON, list, [0, 3], vec![(1, "invalid_fields"), (2, "invalid_fields")]),
    ] {
        let answer = server.post("/v1/score/batch", content_type, body);
        expect_secret(&server, &answer, content_type);
        let said = expect(answer);
        assert_eq!((&said["count"], &said["scored"]), (&json!(2 + problems.len()), &json!(2)), "{said}");
        let results = said["results"].as_array().unwrap();
        let at = |index: i32| results.iter().find(|result| result["index"] == index).unwrap();
        assert!(scored.iter().all(|&index| at(index)["probability_of_default"].is_f64()), "{said}");
        assert!(problems.iter().all(|&(index, code)| at(index)["problem"]["code"] == code), "{said}");
        assert!(wrong_fields(&at(1)["problem"]).contains("application.monthly_income wrong_type"), "{said}");
    }
}

#[test]
fn batch_is_neither_empty_nor_larger_than_allowed() {
    let server = server();
    let batch = |count: usize| lines(&vec![application("c-1", "a"); count]);
    for path in ["/v1/score/batch", "/v1/events/batch"] {
        for (content_type, body, status, code) in [
            (JSON, "[]".to_owned(), 400, "empty_batch"),
            (LINES, batch(1_001), 413, "too_many_items"),
            (JSON, format!("[{}5]", "5,".repeat(1_000)), 413, "too_many_items"),
            (JSON, "{}".to_owned(), 400, "malformed_json"),
            (JSON, "[{},".to_owned(), 400, "malformed_json"),
            (LINES, "\n\n".to_owned(), 400, "empty_body"),
        ] {
            let answer = server.post(path, content_type, body);
            expect_problem(&answer, status, code, &format!("{path} {content_type}"));
        }
    }
    let answer = expect(server.post("/v1/score/batch", LINES, batch(1_000)));
    assert_eq!(answer["scored"], json!(1_000));
}
