//! More than can be answered: what is let in is answered in time, the rest is told when to ask again.

use std::time::{Duration, Instant};

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::{Answers, Outcome};
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::traffic::{Prepared, Verdict};

use super::{metric, scores, server_with};
use crate::support::client::{Client, request};
use crate::support::history::{JSON, application, payment};
use crate::support::{Answer, Server};

/// What comes of so many requests a second; one that is due while no connection is free is not sent.
fn load(server: &Server, requests: Vec<Vec<u8>>, connections: usize, rate: f64, seconds: u64) -> Outcome {
    let traffic = Prepared { kind: "score".to_owned(), requests };
    let phases = vec![Phase::steady(rate, Duration::from_secs(seconds))];
    let schedule = Schedule { phases, pace: Pace::Poisson, seed: 4711 };
    let target = server.authority().parse().unwrap();
    Drive { connections, waiting: 0, ..Drive::to(target, &traffic, &schedule) }.run().unwrap()
}

fn refused(outcome: &Outcome) -> Answers {
    outcome.of(None, Some(Verdict::Refused))
}

#[test]
fn under_several_times_its_capacity_the_service_answers_in_time_what_it_lets_in() {
    let server = server_with(&[]);
    let mut client = Client::connect(server.authority()).unwrap();
    let body = application("c-1", "a").to_string();
    let ask = request("/v1/score", JSON, body.as_bytes());
    // One after another, the service has nothing else to do: about what it can answer, in this build and on this machine.
    let begin = Instant::now();
    let alone = (0..300).filter(|_| client.ask(&ask).unwrap().status == 200).count();
    assert_eq!(alone, 300, "a client alone is never refused");
    let capacity = 300.0 / begin.elapsed().as_secs_f64();

    let outcome = load(&server, scores(100), 150, capacity * 6.0, 3);
    let (admitted, refused) = (outcome.good(), refused(&outcome));
    let said = format!("{capacity:.0} a second alone; {outcome}");
    println!("{said}");
    let statuses: Vec<_> = outcome.answered.keys().map(|(_, _, status)| *status).collect();
    assert_eq!(statuses, [200, 503], "{said}");
    assert_eq!((outcome.dropped, outcome.unanswered, outcome.closed), (0, 0, 0), "{said}");
    assert_eq!(refused.without_retry_after, 0, "{said}");
    assert!(refused.from_sent.count() > 100 && admitted.from_sent.count() > 100, "{said}");
    // In a build without optimisation, beside other tests and a generator that takes a core: what a queue of all would take is a multiple.
    assert!(admitted.from_sent.percentile(50.0) < Duration::from_millis(250), "{said}");
    assert!(metric(&server, r#"cauce_requests_refused_total{class="interactive",reason="overload"}"#) > 100.0);

    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(metric(&server, r#"cauce_refusal_probability{worker="0"}"#), 0.0);
    let after = (0..100).filter(|_| client.ask(&ask).unwrap().status == 200).count();
    assert_eq!(after, 100, "two seconds later all is as before");
}

#[test]
fn while_much_is_refused_health_and_metrics_are_not() {
    let server = server_with(&[]);
    std::thread::scope(|scope| {
        let loaded = scope.spawn(|| load(&server, scores(100), 200, 20_000.0, 3));
        while !loaded.is_finished() {
            for path in ["/livez", "/readyz", "/healthz", "/metrics"] {
                assert_eq!(server.get(path).status, 200, "{path}");
            }
        }
        assert!(refused(&loaded.join().unwrap()).from_due.count() > 0);
    });
}

#[test]
fn permits_bound_what_waits_for_the_disk_and_slow_bodies_hold_none() {
    // No event is on disk before all four permits are taken, many times over.
    let server = server_with(&["admission.in_flight=4", "admission.delay=0ms"]);
    let event = |id: u64| payment("c-1", &id.to_string(), "2026-06-10T12:00:00Z", 0).to_string();
    let requests = (0..5000).map(|id| request("/v1/events", JSON, event(id).as_bytes())).collect();
    let outcome = load(&server, requests, 64, 4000.0, 1);
    assert!(outcome.good().from_due.count() > 0 && refused(&outcome).from_due.count() > 0, "{outcome}");
    assert_eq!((outcome.dropped, refused(&outcome).without_retry_after), (0, 0), "{outcome}");
    assert!(metric(&server, r#"cauce_requests_refused_total{class="interactive",reason="permits"}"#) > 0.0);

    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let mut slow: Vec<_> = (0..20).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|connection| connection.write(head.as_bytes()));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.post("/v1/events", JSON, event(9999)).status, 201);
}

#[test]
fn refused_request_is_a_problem_in_the_form_of_its_route() {
    let server = server_with(&["limits.requests_per_second=1", "limits.burst=1"]);
    let body = application("c-1", "a").to_string();
    let ask = || server.post("/v1/score", JSON, &body);
    assert_eq!(ask().status, 200);
    let refused = ask();
    let said = refused.json();
    assert_eq!((refused.status, &said["code"]), (429, &"rate_limited".into()), "{said}");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(said["request_id"].as_str(), refused.header("x-request-id"));
    let refused = server.send("POST", "/predecir", &[("x-request-id", "mia")], b"{}");
    assert_eq!((refused.status, &refused.json()["codigo"]), (429, &"E429".into()));
    assert_eq!(refused.json()["request_id"], "mia");
}

#[test]
fn client_over_its_limit_is_told_so_on_a_connection_that_stays() {
    let settings = ["limits.requests_per_second=1", "limits.burst=3", "limits.key=x-client-id"];
    let server = server_with(&settings);
    let body = application("c-1", "a").to_string();
    let ask = |client: &str| {
        server.send("POST", "/v1/score", &[("x-client-id", client), ("content-type", JSON)], body.as_bytes())
    };
    let limits = |answer: &Answer| {
        assert_eq!(answer.header("ratelimit-policy"), Some(r#""default";q=3;w=3"#));
        answer.header("ratelimit").unwrap().to_owned()
    };
    for remaining in [2, 1, 0] {
        let answer = ask("one");
        assert_eq!(answer.status, 200);
        assert!(limits(&answer).starts_with(&format!(r#""default";r={remaining};t="#)), "{:?}", answer.headers);
    }
    let refused = ask("one");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{}", refused.text());
    assert!(limits(&refused).starts_with(r#""default";r=0;t="#));
    assert_eq!(ask("two").status, 200, "another client has its own");
    for path in ["/livez", "/readyz", "/healthz", "/metrics"] {
        assert!((0..5).all(|_| server.get(path).status == 200), "{path}");
    }
    // By address, and on one connection.
    let mut client = Client::connect(server.authority()).unwrap();
    let ask = request("/v1/score", JSON, body.as_bytes());
    let statuses: Vec<_> = (0..8).map(|_| client.ask(&ask).unwrap().status).collect();
    assert_eq!(statuses[..3], [200, 200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(!server.log().contains("one") || !server.log().contains("x-client-id"), "clients are nobody's business");
}

#[test]
fn refused_request_whose_body_comes_later_keeps_its_connection() {
    let server = server_with(&["limits.requests_per_second=1", "limits.burst=1", "server.body_timeout=20s"]);
    let body = application("c-1", "a").to_string();
    assert_eq!(server.post("/v1/score", JSON, &body).status, 200);
    let whole = request("/v1/score", JSON, body.as_bytes());
    let (head, rest) = whole.split_at(whole.len() - 20);
    let mut connection = server.connect();
    connection.write(head);
    std::thread::sleep(Duration::from_millis(300));
    connection.write(rest);
    // The next one is understood: the body of the first was taken.
    connection.write(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let said = String::from_utf8(connection.answer().body).unwrap();
    assert!(said.contains("rate_limited") && said.contains("HTTP/1.1 200 OK"), "{said}");
}

#[test]
fn slow_connections_take_nothing_from_others() {
    let server = server_with(&["server.head_timeout=30s"]);
    let mut client = Client::connect(server.authority()).unwrap();
    let ask = scores(1).remove(0);
    let mut slow: Vec<_> = (0..500).map(|_| server.connect()).collect();
    for round in 0..5 {
        slow.iter_mut()
            .for_each(|connection| connection.write(if round == 0 { b"GET /livez HTTP/1.1\r\nx: " } else { b"x" }));
        assert!((0..50).all(|_| client.ask(&ask).unwrap().status == 200));
    }
    assert!(metric(&server, r#"cauce_http_connections{worker="0"}"#) >= 500.0);
}
