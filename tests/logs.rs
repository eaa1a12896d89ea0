//! What a line of the log and a span say of a request, and that neither says anything of a person.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use crate::http::metric;
use crate::support::collector::{Collector, attribute};
use crate::support::disk::FailingDisk;
use crate::support::history::{BUNDLE, JSON, NOW, application, payment};
use crate::support::{Answer, Directory, Server, serve};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const TIME: &str = "2026-06-10T12:00:00Z";
const EIO: i32 = 5;

/// Longer than any export takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with these settings, each as `section.key=value`.
fn arguments(settings: &[&str]) -> Vec<String> {
    let fixed = ["--bundle", BUNDLE, "--clock", NOW, "--workers", "2"];
    fixed.into_iter().chain(settings.iter().flat_map(|setting| ["--set", setting])).map(str::to_owned).collect()
}

/// Posts under a request id, in a trace.
fn post(server: &Server, path: &str, id: &str, traceparent: &str, body: &Value) -> Answer {
    let headers = [("content-type", JSON), ("x-request-id", id), ("traceparent", traceparent)];
    server.send("POST", path, &headers, body.to_string().as_bytes())
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

/// Asks until there is something.
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server whose log cannot be written any more, and the line in which it says so of a request.
fn failed(name: &str, format: &str) -> (Server, String) {
    let disk = FailingDisk::new(name);
    let server = disk.serve(arguments(&[&format!("logging.format={format}")]));
    disk.fail("sync", EIO);
    let line = until("a request fails", || {
        let event = payment("c-1", "1", TIME, 0);
        let status = post(&server, "/v1/events", "r-17", &traceparent("01"), &event).status;
        assert!(status >= 500 || status == 201, "{status}");
        server.log().lines().find(|line| line.contains("request failed")).map(str::to_owned)
    });
    (server, line)
}

#[test]
fn line_of_json_is_an_object_and_names_its_request_and_trace() {
    let (server, line) = failed("log-json", "json");
    let lines: Vec<Value> = server.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        let has = |key: &str| line[key].is_string();
        assert!(has("timestamp") && has("level") && has("target") && has("message"), "{line}");
    }
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("request failed")));
    assert_eq!((&line["status"], &line["code"]), (&json!(503), &json!("log_unavailable")));
    let span = &line["span"];
    let named = json!({
        "name": "request", "request_id": "r-17", "trace_id": TRACE, "span_id": span["span_id"], "method": "POST", "route": "/v1/events",
    });
    assert_eq!(span, &named);
    let own = span["span_id"].as_str().unwrap();
    assert!(own.len() == 16 && own != SPAN, "{own}");
}

#[test]
fn line_of_text_names_its_request_and_trace() {
    let (_server, line) = failed("log-text", "text");
    for part in ["r-17", TRACE, "\"POST\"", "\"/v1/events\"", "status=503"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("`{name}` in {spans:?}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn spans_of_a_request_and_its_stages_reach_the_receiver() {
    let (collector, data) = (Collector::start(), Directory::new("traces"));
    let otlp = format!("tracing.otlp={}", collector.url());
    let settings =
        [&otlp[..], "tracing.sample_percent=0", "tracing.headers=CAUCE_TEST_HEADERS", "tracing.service=scores"];
    let mut command = serve(data.root(), arguments(&settings));
    let server = Server::launch(command.env("CAUCE_TEST_HEADERS", "x-key=a secret"));
    for (id, flags, person) in [("r-1", "01", "c-1"), ("r-2", "00", "c-2")] {
        let answer = post(&server, "/v1/score", id, &traceparent(flags), &application(person, id));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Neither what has no caller that records nor what asks how the service is doing.
    post(&server, "/v1/score", "r-3", "", &application("c-3", "r-3"));
    server.send("GET", "/healthz", &[("traceparent", &traceparent("01"))], b"");
    let spans = until("the spans are exported", || Some(collector.spans()).filter(|spans| !spans.is_empty()));

    let request = named(&spans, "POST /v1/score");
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.to_owned(), SPAN.to_owned()));
    assert_eq!(request.kind, i32::from(SpanKind::Server));
    let version = server.get("/v1/bundle").json()["version"].as_str().unwrap().to_owned();
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/score"),
        ("http.response.status_code", "200"),
        ("cauce.request_id", "r-1"),
        ("cauce.mode", "full"),
        ("cauce.degraded_reasons", ""),
        ("cauce.bundle.version", &version),
    ] {
        assert_eq!(attribute(request, key).as_deref(), Some(value), "{key}");
    }
    for stage in ["receive", "validate", "state", "features", "model", "ledger", "reply"] {
        let span = named(&spans, stage);
        assert_eq!((&span.trace_id, &span.parent_span_id), (&request.trace_id, &request.span_id), "{stage}");
        assert!(request.start_time_unix_nano <= span.start_time_unix_nano, "{stage}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{stage}");
        assert!(span.end_time_unix_nano <= request.end_time_unix_nano, "{stage}");
    }
    assert_eq!(metric(&server, "cauce_traces_exported_total"), 1.0);
    assert!(!server.log().contains("a secret"));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(collector.spans().iter().filter(|span| span.kind == i32::from(SpanKind::Server)).count(), 1);
    let export = collector.exports().remove(0);
    assert!(
        export.head.starts_with("post /v1/traces ") && export.head.contains("\r\nx-key: a secret\r\n"),
        "{}",
        export.head
    );
}

#[test]
fn receiver_that_is_down_or_does_not_answer_costs_requests_nothing_and_is_counted() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (receiver, at_least) in [(free, 40.0), (silent.local_addr().unwrap(), 20.0)] {
        let otlp = format!("tracing.otlp=http://{receiver}/v1/traces");
        let settings = [&otlp[..], "tracing.sample_percent=100", "tracing.queue=20", "budget.score=2s"];
        let server = Server::start(arguments(&settings));
        for number in 0..40 {
            let answer = post(&server, "/v1/score", "r", "", &application(&format!("c-{number}"), "a"));
            assert_eq!((answer.status, &answer.json()["mode"]), (200, &json!("full")), "{}", answer.text());
        }
        until("what is not exported is counted", || {
            (metric(&server, "cauce_traces_dropped_total") >= at_least).then_some(())
        });
        assert_eq!(metric(&server, "cauce_traces_exported_total"), 0.0);
        // One more, so that something is under way at the end.
        post(&server, "/v1/score", "r", "", &application("c-40", "a"));
        let begin = Instant::now();
        assert_eq!(server.stop(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    }
}

#[test]
fn headers_that_are_not_there_stop_the_start_and_are_not_shown() {
    for (value, said) in [(None, "is not set"), (Some("a secret"), "name=value")] {
        let data = Directory::new("trace-headers");
        let settings = ["tracing.otlp=http://localhost:1/v1/traces", "tracing.headers=CAUCE_TEST_HEADERS"];
        let mut command = serve(data.root(), arguments(&settings));
        value.map(|value| command.env("CAUCE_TEST_HEADERS", value));
        let Err(ended) = Server::try_launch(&mut command) else { panic!("it starts with {value:?}") };
        let stderr = ended.stderr();
        assert!(stderr.contains("`CAUCE_TEST_HEADERS`") && stderr.contains(said), "{stderr}");
        assert!(!stderr.contains("a secret"), "{stderr}");
    }
}

/// What may stand nowhere, in lower case: persons, names, and values of fields.
const PERSONAL: [&str; 9] =
    ["ximena", "quispe", "paqari", "bodega", "zorro", "987654321", "tarjeta-robada", "apellido", "evt-chasqui"];

/// Asks for everything that knows a person, well and badly.
fn ask_about_people(server: &Server) {
    let secret = json!({"monthly_income": 987_654_321.5, "amount": 5000, "apellido": "Paqari"});
    let scored = |fields: Value| json!({"person_id": "Ximena Quispe", "application": fields});
    let good = scored(json!({"monthly_income": 987_654_321.5, "amount": 5000}));
    let event = json!({
        "person_id": "Ximena Quispe", "event_id": "evt-chasqui", "type": "transaction", "time": TIME,
        "data": {"amount": 987_654_321.25, "direction": "out", "channel": "card", "counterparty": "Bodega Zorro"},
    });
    let mut conflict = event.clone();
    conflict["data"]["amount"] = json!(987_654_321.75);
    let mut unknown = event.clone();
    unknown["data"]["channel"] = json!("tarjeta-robada");
    let broken = "{\"person_id\": \"Ximena Quispe\", \"application\": {\"amount\": 987654321";
    for (path, body) in [
        ("/v1/score", good.to_string()),
        ("/v1/score", scored(secret.clone()).to_string()),
        ("/v1/score", broken.to_owned()),
        ("/v1/score/batch", json!([good, scored(secret.clone()), 5, "Ximena"]).to_string()),
        ("/v1/events", event.to_string()),
        ("/v1/events", event.to_string()),
        ("/v1/events", conflict.to_string()),
        ("/v1/events", unknown.to_string()),
        ("/v1/events", broken.to_owned()),
        ("/v1/events/batch", json!([event, conflict, unknown, "Ximena"]).to_string()),
        ("/predecir", json!({"session_id": "Ximena Quispe", "datos": secret}).to_string()),
        ("/predecir", json!({"datos": "Paqari"}).to_string()),
        ("/v1/people/Ximena%20Quispe", String::new()),
        ("/Ximena/Quispe?apellido=Paqari", String::new()),
    ] {
        server.send(
            "POST",
            path,
            &[("content-type", JSON), ("idempotency-key", &format!("k{}", body.len()))],
            body.as_bytes(),
        );
        server.send("POST", path, &[("content-type", "text/Ximena")], body.as_bytes());
    }
    for (method, path) in [
        ("GET", "/v1/people/Ximena%20Quispe"),
        ("GET", "/v1/people/Ximena%20Quispe/features?as_of=Paqari"),
        ("GET", "/v1/people/Ximena%20Quispe/features"),
        ("GET", "/v1/people/Ximena%20Quispe/timeline?cursor=Ximena"),
        ("GET", "/v1/people/Ximena%20Quispe/timeline"),
        ("GET", "/v1/people/Ximena%ZZ/Quispe/timeline"),
        ("PAQARI", "/v1/people/Ximena%20Quispe"),
        ("DELETE", "/v1/people/Ximena%20Quispe"),
        ("GET", "/v1/people/Ximena%20Quispe"),
    ] {
        server.send(method, path, &[("x-latency-budget-ms", "5000")], b"");
        server.send(method, path, &[("traceparent", "Ximena"), ("x-request-id", "Ximena Quispe")], b"");
    }
}

#[test]
fn nothing_of_a_person_is_logged_or_exported_even_at_trace_level() {
    for format in ["text", "json"] {
        let collector = Collector::start();
        let (otlp, form) = (format!("tracing.otlp={}", collector.url()), format!("logging.format={format}"));
        let settings = [&otlp[..], &form, "tracing.sample_percent=100", "logging.level=trace"];
        let server = Server::start(arguments(&settings));
        ask_about_people(&server);
        until("all is exported", || {
            let done = server.log().matches("request done").count();
            let spans = collector.spans();
            let requests = spans.iter().filter(|span| span.kind == i32::from(SpanKind::Server)).count();
            (requests >= 46 && done >= requests).then_some(())
        });
        let exported = collector.exports();
        let log = server.log().to_lowercase();
        let bodies = exported.iter().map(|export| String::from_utf8_lossy(&export.body).to_lowercase());
        for text in bodies.chain([log]) {
            for word in PERSONAL {
                assert!(!text.contains(word), "`{word}` in {text}");
            }
        }
    }
}
