//! The same request again gets the decision that it got, under a key of its own or under its application's id.

use std::path::Path;

use serde_json::{Value, json};

use super::{BUNDLE, JSON, LINES, NOW, application, expect, lines, metric, server, server_with};
use crate::support::{Answer, Directory, Server};

const REPLAYED: &str = "idempotency-replayed";

fn under(server: &Server, path: &str, key: &str, body: &str) -> Answer {
    server.send("POST", path, &[("content-type", JSON), ("idempotency-key", key)], body.as_bytes())
}

fn applied(server: &Server, application: &Value) -> Answer {
    server.post("/v1/score", JSON, application.to_string())
}

/// A repetition: the same bytes but for the word that says so.
#[track_caller]
fn expect_again(first: &Answer, again: &Answer) {
    assert_eq!((first.status, again.status), (200, 200), "{} {}", first.text(), again.text());
    assert_eq!((first.header(REPLAYED), again.header(REPLAYED)), (None, Some("true")));
    assert_eq!(again.header("content-type"), Some(JSON));
    assert_eq!(again.text(), first.text().replace(r#""replayed":false"#, r#""replayed":true"#));
    assert_eq!((&first.json()["replayed"], &again.json()["replayed"]), (&json!(false), &json!(true)));
}

#[track_caller]
fn expect_new(answer: &Answer) {
    assert_eq!((answer.status, answer.header(REPLAYED)), (200, None), "{}", answer.text());
    assert_eq!(answer.json()["replayed"], json!(false));
}

#[track_caller]
fn expect_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

fn richer(person: &str, id: &str) -> Value {
    let mut other = application(person, id);
    other["application"]["monthly_income"] = json!(9000);
    other
}

/// With time enough for a disk that stalls: what is asked here is whether an answer is found again, not how soon.
fn start(data: &Path, settings: &[&str]) -> Server {
    let settings = ["budget.score=20s"].iter().chain(settings).flat_map(|setting| ["--set", setting]);
    Server::start_in(data, ["--bundle", BUNDLE, "--clock", NOW, "--workers", "2"].into_iter().chain(settings))
}

#[test]
fn an_application_again_gets_the_decision_that_it_got() {
    let server = server();
    let first = applied(&server, &application("c-1", "a"));
    expect_new(&first);
    let again = applied(&server, &application("c-1", "a"));
    expect_again(&first, &again);
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"), "each exchange has an id of its own");
    // Another application, and the same id of somebody else.
    expect_new(&applied(&server, &application("c-1", "b")));
    expect_new(&applied(&server, &application("c-2", "a")));
    assert_eq!(metric(&server, "cauce_decisions_replayed_total"), 1.0);
    assert_eq!(metric(&server, "cauce_ledger_entries"), 3.0);
}

#[test]
fn the_same_key_with_another_request_is_refused_and_tells_nothing() {
    let server = server();
    expect_new(&applied(&server, &application("c-1", "a")));
    let refused = applied(&server, &richer("c-1", "a"));
    expect_refused(&refused, 422, "idempotency_key_reused");
    assert!(!refused.text().contains("c-1"), "{}", refused.text());
    let with_vector = server.post("/v1/score?vector=true", JSON, application("c-1", "a").to_string());
    expect_refused(&with_vector, 422, "idempotency_key_reused");

    expect_new(&under(&server, "/v1/score", "k", &application("c-3", "a").to_string()));
    expect_refused(
        &under(&server, "/v1/score", "k", &application("c-4", "a").to_string()),
        422,
        "idempotency_key_reused",
    );
}

#[test]
fn a_key_comes_before_the_id_of_the_application() {
    let server = server();
    let body = application("c-1", "a").to_string();
    let first = under(&server, "/v1/score", "one", &body);
    expect_new(&first);
    expect_new(&under(&server, "/v1/score", "two", &body));
    expect_new(&applied(&server, &application("c-1", "a")));
    expect_again(&first, &under(&server, "/v1/score", "one", &body));
}

#[test]
fn what_does_not_name_itself_is_scored_each_time_and_not_kept() {
    let server = server();
    let unnamed = json!({"person_id": "c-1", "application": {"monthly_income": 900, "amount": 100}});
    let mut nobody = application("c-1", "a");
    nobody.as_object_mut().unwrap().remove("person_id");
    for body in [&unnamed, &nobody] {
        (0..2).for_each(|_| expect_new(&applied(&server, body)));
    }
    let headers = [("content-type", JSON), ("x-request-id", "abc-1")];
    (0..2).for_each(|_| expect_new(&server.send("POST", "/v1/score", &headers, unnamed.to_string().as_bytes())));
    assert_eq!(metric(&server, "cauce_ledger_entries"), 0.0);
    // An id that was given counts, even if it is the request's too.
    let named = application("c-1", "abc-1").to_string();
    let first = server.send("POST", "/v1/score", &headers, named.as_bytes());
    expect_again(&first, &server.send("POST", "/v1/score", &headers, named.as_bytes()));
}

#[test]
fn a_batch_and_a_prediction_are_repeated_under_a_key() {
    let server = server();
    let batch = lines(&[application("c-1", "a"), json!({"application": 5}), application("c-2", "a")]);
    let post = |body: &str| {
        let headers = [("content-type", LINES), ("idempotency-key", "k")];
        server.send("POST", "/v1/score/batch", &headers, body.as_bytes())
    };
    let first = post(&batch);
    assert_eq!(first.json()["scored"], json!(2), "{}", first.text());
    expect_again(&first, &post(&batch));
    expect_refused(&post(&lines(&[application("c-1", "a")])), 422, "idempotency_key_reused");

    // The same key at another address is another key.
    let body = json!({"datos": {"ingresos_mensuales": 1200.5, "monto_credito": 5000}}).to_string();
    let first = under(&server, "/predecir", "k", &body);
    expect_again(&first, &under(&server, "/predecir", "k", &body));
    let other = under(&server, "/predecir", "k", &body.replace("5000", "6000"));
    assert_eq!((other.status, &other.json()["codigo"]), (422, &json!("E003")), "{}", other.text());
    let wrong = under(&server, "/predecir", "a b", &body);
    assert_eq!((wrong.status, &wrong.json()["codigo"]), (400, &json!("E003")), "{}", wrong.text());
}

#[test]
fn a_key_that_is_none_is_refused() {
    let server = server();
    let body = application("c-1", "a").to_string();
    let long = "x".repeat(256);
    for key in ["a b", "", "ñ", &long] {
        expect_refused(&under(&server, "/v1/score", key, &body), 400, "invalid_idempotency_key");
    }
    let twice = [("content-type", JSON), ("idempotency-key", "a"), ("idempotency-key", "a")];
    expect_refused(&server.send("POST", "/v1/score", &twice, body.as_bytes()), 400, "invalid_idempotency_key");
    expect_new(&under(&server, "/v1/score", &long[1..], &body));
}

#[test]
fn a_request_that_failed_can_be_tried_again_under_its_key() {
    let server = server();
    let wrong = json!({"person_id": "c-1", "application_id": "a", "application": {"amount": -1}}).to_string();
    assert_eq!(under(&server, "/v1/score", "k", &wrong).status, 400);
    expect_new(&under(&server, "/v1/score", "k", &application("c-1", "a").to_string()));
}

#[test]
fn decisions_outlive_a_process_that_is_killed_and_one_that_is_stopped() {
    for applications in ["relaxed", "durable"] {
        let data = Directory::new(&format!("decisions-{applications}"));
        let durability = format!("log.applications={applications}");
        let mut server = start(data.root(), &[&durability]);
        let body = application("c-1", "a").to_string();
        let first = [applied(&server, &application("c-1", "a")), under(&server, "/v1/score", "k", &body)];
        for is_killed in [true, false] {
            // What nobody waits for is on disk a moment later: the decision in the ledger, and the application in the log, which syncs.
            for waiting in ["cauce_ledger_waiting_bytes", "cauce_log_waiting_records"] {
                while metric(&server, waiting) > 0.0 {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
            match is_killed {
                true => server.kill(),
                false => assert_eq!(server.stop(), Some(0)),
            }
            server = start(data.root(), &[&durability]);
            expect_again(&first[0], &applied(&server, &application("c-1", "a")));
            expect_again(&first[1], &under(&server, "/v1/score", "k", &body));
            expect_refused(&applied(&server, &richer("c-1", "a")), 422, "idempotency_key_reused");
        }
        assert_eq!(metric(&server, "cauce_people"), 1.0);
    }
}

#[test]
fn of_many_that_come_at_once_one_is_scored_and_the_others_wait_or_repeat_it() {
    let server = server_with(&["log.applications=durable"]);
    let mut in_flight = 0;
    for round in 0..50 {
        let body = application("c-1", &round.to_string());
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| applied(&server, &body))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        let scored: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
        let new: Vec<_> = scored.iter().filter(|answer| answer.header(REPLAYED).is_none()).collect();
        assert_eq!(new.len(), 1, "{answers:?}");
        scored.iter().filter(|answer| answer.header(REPLAYED).is_some()).for_each(|again| expect_again(new[0], again));
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            expect_refused(answer, 409, "request_in_flight");
            assert_eq!(answer.header("retry-after"), Some("1"));
            in_flight += 1;
        }
        expect_again(new[0], &applied(&server, &body));
    }
    assert!(in_flight > 0, "nobody ever met another one under way");
}

#[test]
fn a_decision_is_kept_for_the_configured_time() {
    let data = Directory::new("decisions-expiry");
    let at = |clock: &str| {
        let settings = ["--bundle", BUNDLE, "--clock", clock, "--workers", "1", "--set", "ledger.keep=1h"];
        Server::start_in(data.root(), settings)
    };
    let server = at("2026-06-20T12:00:00Z");
    let first = applied(&server, &application("c-1", "a"));
    assert_eq!(server.stop(), Some(0));
    let server = at("2026-06-20T12:59:59Z");
    expect_again(&first, &applied(&server, &application("c-1", "a")));
    assert_eq!(server.stop(), Some(0));
    let server = at("2026-06-20T13:00:00Z");
    expect_new(&applied(&server, &application("c-1", "a")));
    expect_new(&applied(&server, &richer("c-1", "b")));
}

#[test]
fn what_is_not_to_be_kept_is_not() {
    let server = server_with(&["ledger.keep=0s"]);
    (0..2).for_each(|_| expect_new(&applied(&server, &application("c-1", "a"))));
    let server = server_with(&["ledger.answer=100B"]);
    (0..2).for_each(|_| expect_new(&applied(&server, &application("c-1", "a"))));
    assert_eq!(metric(&server, "cauce_ledger_too_large_total"), 2.0);
}

#[test]
fn a_decision_about_somebody_who_was_erased_is_not_repeated_and_their_id_is_in_no_file_of_it() {
    let data = Directory::new("decisions-erasure");
    let person = "erase-me-51c9a3f7";
    let server = start(data.root(), &["log.applications=durable"]);
    expect_new(&applied(&server, &application(person, "a")));
    let other = applied(&server, &application("c-1", "a"));
    let files = crate::support::files(&data.root().join("decisions"));
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(person.len()).any(|at| at == person.as_bytes()), "{}", file.display());
    }
    assert_eq!(server.send("DELETE", &format!("/v1/people/{person}"), &[], b"").status, 200);
    server.kill();
    let server = start(data.root(), &[]);
    let anew = applied(&server, &application(person, "a"));
    expect_new(&anew);
    assert_eq!(anew.json()["history"]["known"], json!(false));
    expect_again(&other, &applied(&server, &application("c-1", "a")));
}

#[test]
fn damaged_decisions_are_refused_at_the_start_unless_their_loss_is_accepted() {
    let data = Directory::new("decisions-damage");
    let server = start(data.root(), &[]);
    expect_new(&applied(&server, &application("c-1", "a")));
    assert_eq!(server.stop(), Some(0));
    let version = crate::support::files(&data.root().join("decisions"));
    let version = version.iter().find(|file| file.ends_with("version")).unwrap();
    std::fs::remove_file(version).unwrap();
    let mut command = crate::support::serve(data.root(), ["--bundle", BUNDLE, "--clock", NOW]);
    let refused = Server::try_launch(&mut command).err().expect("it does not start").stderr();
    assert!(refused.contains("the answers kept at") && refused.contains("--accept-data-loss"), "{refused}");
    let server = Server::launch(command.arg("--accept-data-loss"));
    let scored = expect(applied(&server, &application("c-1", "a")));
    assert_eq!(scored["replayed"], json!(false));
}
