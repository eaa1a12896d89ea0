//! Models that are slow or fail.

use std::time::Duration;

use serde_json::Value;

use super::{
    Front, anonymous, arguments, breaker, expect_late, expect_mode, expect_none_late, has_reason, metric, of_person,
    opened,
};
use crate::support::bundle::{self, FAILING_AMOUNT};
use crate::support::{Directory, Server};

/// The arguments of a server of a bundle.
fn of(bundle: &Directory, settings: &[&str]) -> Vec<String> {
    let mut arguments = arguments(settings);
    arguments.extend(["--bundle".to_owned(), bundle.root().display().to_string()]);
    arguments
}

/// Has the failing model fail until it is left alone.
#[track_caller]
fn fail_until_open(front: &mut Front<'_>) {
    front.until("the model is left alone", |front| {
        let answer = front.score(&anonymous(FAILING_AMOUNT));
        let is_open = has_reason(&answer, "model_breaker_open");
        if !is_open {
            expect_mode(&answer, "fallback", &["model_failed"]);
        }
        is_open.then_some(answer)
    });
}

#[test]
fn slow_model_is_stopped_in_time_left_alone_and_taken_up_again() {
    let bundle = bundle::slow("slow-model");
    let server = Server::start(of(&bundle, &["breaker.slow_percent=101"]));
    let mut front = Front::new(&server);
    let mut amounts = 1_000..;
    // Who has less time than an answer usually may take says nothing of the model to the others.
    let mut hurried = Front::new(&server).within(Duration::from_millis(10));
    for _ in 0..60 {
        let (status, answer) = hurried.post("/v1/score", &anonymous(amounts.next().unwrap()));
        assert!(status == 200 && answer["mode"] != "full", "{answer}");
        assert!(!has_reason(&answer, "model_breaker_open"), "{answer}");
    }
    assert_eq!((breaker(&server, "model"), opened(&server, "model")), (Value::from("closed"), 0.0));
    let mut stopped = 0;
    let answer = front.until("the model is left alone", |front| {
        let answer = front.score(&anonymous(amounts.next()?));
        let is_open = has_reason(&answer, "model_breaker_open");
        stopped += u32::from(has_reason(&answer, "model_timed_out"));
        assert!(is_open || has_reason(&answer, "model_timed_out") || has_reason(&answer, "model_too_slow"), "{answer}");
        is_open.then_some(answer)
    });
    expect_mode(&answer, "fallback", &["model_breaker_open"]);
    assert!(answer["probability_of_default"].is_f64() && answer["band"].is_string(), "{answer}");
    assert_eq!((breaker(&server, "model") != "closed", opened(&server, "model") >= 1.0), (true, true));
    assert_eq!(server.get("/healthz").json()["status"], "degraded");
    assert!(stopped > 0 && metric(&server, "cauce_model_runs_stopped_total") >= f64::from(stopped));

    // Who has the time gets what the model says, and with that the breaker closes.
    let mut patient = Front::new(&server).within(Duration::from_secs(20));
    let answer = patient.until("the model answers who waits", |front| {
        let answer = front.score(&anonymous(amounts.next()?));
        (answer["mode"] == "full").then_some(answer)
    });
    assert!(answer["timing_us"]["model"].as_f64().unwrap() > 50_000.0, "it is no slow model: {answer}");
    patient.until("the breaker is closed", |front| {
        front.score(&anonymous(amounts.next()?));
        (breaker(front.server, "model") == "closed").then_some(Value::Null)
    });
    let answer = front.score(&anonymous(amounts.next().unwrap()));
    assert!(answer["mode"] == "fallback" && !has_reason(&answer, "model_breaker_open"), "{answer}");
    expect_none_late(&[&hurried, &front, &patient]);
}

#[test]
fn slow_model_makes_nobody_late_who_waits_beside_its_runs() {
    let bundle = bundle::slow("slow-for-many");
    // It is never left alone here, so that every answer has runs of others beside it.
    let server = Server::start(of(&bundle, &["breaker.calls=1000000", "log.applications=durable"]));
    let excused = std::thread::scope(|scope| {
        let clients = [0, 1, 2, 3, 4, 5, 6, 7].map(|client| {
            let server = &server;
            scope.spawn(move || {
                let mut front = Front::new(server).queued();
                for number in 0..12 {
                    let person = format!("p-{client}-{number}");
                    let answer = front.score(&of_person(&person, "a", 1_000 + client * 100 + number));
                    assert!(answer["mode"] != "full", "{answer}");
                }
                front.excused
            })
        });
        clients.map(|client| client.join().unwrap()).iter().sum()
    });
    expect_late(&server, excused);
}

#[test]
fn those_who_ask_at_once_for_the_same_score_are_told_the_true_reason() {
    let bundle = bundle::slow("slow-at-once");
    let server = Server::start(of(&bundle, &["breaker.calls=1000000"]));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let server = &server;
            scope.spawn(move || {
                // Some have no time to speak of: who asks beside them for the same has their own all the same.
                let hurried = client % 2 == 0;
                let mut front = Front::new(server).queued();
                if hurried {
                    front = front.within(Duration::from_millis(10));
                }
                for amount in 1_000..1_010 {
                    let answer = front.score(&anonymous(amount));
                    let is_true = has_reason(&answer, "model_timed_out") || has_reason(&answer, "model_too_slow");
                    assert!(answer["mode"] != "full" && is_true && !has_reason(&answer, "model_failed"), "{answer}");
                }
            });
        }
    });
}

#[test]
fn failing_model_is_left_alone_its_sessions_replaced_and_the_last_score_given_with_its_age() {
    let bundle = bundle::failing("failing-model");
    let server = Server::start(of(&bundle, &[]));
    let mut front = Front::new(&server);
    expect_mode(&front.score(&of_person("c-1", "before", 5_000)), "full", &[]);
    fail_until_open(&mut front);
    assert!(opened(&server, "model") >= 1.0);
    assert!(metric(&server, "cauce_model_sessions_replaced_total") >= 1.0);

    // What the model never failed on is not asked either. Somebody who was scored before has that score, though his history has gone on.
    let answer = front.until("others are kept from the model", |front| {
        fail_until_open(front);
        let answer = front.score(&of_person("c-1", "now", 5_000));
        has_reason(&answer, "model_breaker_open").then_some(answer)
    });
    expect_mode(&answer, "cached", &["model_breaker_open"]);
    assert_eq!(answer["probability_of_default"], 0.0625, "{answer}");
    assert!(answer["cached_age_seconds"].as_f64().unwrap() > 0.0, "{answer}");
    let answer = front.until("a stranger is not asked for", |front| {
        fail_until_open(front);
        let answer = front.score(&of_person("c-2", "now", 5_000));
        (answer["mode"] != "full").then_some(answer)
    });
    expect_mode(&answer, "fallback", &["model_breaker_open"]);

    let mut amounts = 10_000..;
    front.until("all is full again", |front| {
        let answer = front.score(&anonymous(amounts.next()?));
        (answer["mode"] == "full" && breaker(front.server, "model") == "closed").then_some(answer)
    });
    (0..20).for_each(|_| expect_mode(&front.score(&anonymous(amounts.next().unwrap())), "full", &[]));
    expect_none_late(&[&front]);
}

#[test]
fn last_score_outlives_a_restart() {
    let (bundle, data) = (bundle::failing("failing-after"), Directory::new("failing-after-data"));
    let server = Server::start_in(data.root(), of(&bundle, &[]));
    expect_mode(&Front::new(&server).score(&of_person("c-1", "before", 5_000)), "full", &[]);
    assert_eq!(server.stop(), Some(0));

    let server = Server::start_in(data.root(), of(&bundle, &[]));
    // The score of another history is no hit.
    let asked = || metric(&server, "cauce_cache_lookups_total{level=\"l2\",result=\"miss\"}");
    assert_eq!(asked(), 0.0);
    let mut front = Front::new(&server);
    let answer = front.until("the model is left alone", |front| {
        fail_until_open(front);
        let answer = front.score(&of_person("c-1", "after", 5_000));
        (answer["mode"] != "full").then_some(answer)
    });
    expect_mode(&answer, "cached", &["model_breaker_open"]);
    assert_eq!(answer["probability_of_default"], 0.0625, "{answer}");
    assert!(answer["cached_age_seconds"].as_f64().unwrap() > 0.0 && asked() >= 1.0, "{answer}");
    expect_none_late(&[&front]);
}
