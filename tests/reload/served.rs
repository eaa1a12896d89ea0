//! What is put in service: under load, back again, by signal and by watch.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    APPROVES, DECLINES, bundles, decided_by, expect_swapped, hang_up, in_service, put, reload, reloads, rollback, seal,
    server, until,
};
use crate::support::client::Client;
use crate::support::history::{JSON, application};
use crate::support::{Server, copy};

/// Reloads under load.
const SWAPS: usize = 4;

/// Asks without a pause until told to stop; how many answers there were of each bundle.
fn ask(server: &Server, connection: usize, done: &AtomicBool) -> [usize; 2] {
    let mut client = Client::connect(server.authority()).unwrap();
    let mut answers = [0; 2];
    for number in 0.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        // Of its own, or it would be answered as before.
        let one = application(&format!("c-{connection}"), &number.to_string());
        let reply = client.post("/v1/score", JSON, &one.to_string()).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.json());
        answers[usize::from(decided_by(&reply.json()) == APPROVES)] += 1;
        let many = json!([one, application("c-1", "b"), application("c-2", "a")]);
        let reply = client.post("/v1/score/batch", JSON, &many.to_string()).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.json());
        let batch = reply.json();
        for scored in batch["results"].as_array().unwrap() {
            let mut scored = scored.clone();
            scored["bundle"] = batch["bundle"].clone();
            decided_by(&scored);
        }
    }
    answers
}

/// Has those who ask end, also where an expectation failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_request_fails_and_each_answer_is_of_one_bundle_while_bundles_are_swapped_under_load() {
    let directory = bundles("load");
    // Time enough for a machine that stalls: what is asked is that no answer is refused, or of two bundles, not how soon it comes.
    let patient = ["budget.score=20s", "budget.batch=20s", "admission.delay=0ms", "breaker.calls=1000000"];
    let server = server(&directory, APPROVES, &patient);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, done) = (&server, &done);
        let ends = Ends(done);
        let asking: Vec<_> = (0..4).map(|connection| scope.spawn(move || ask(server, connection, done))).collect();
        let mut versions = [DECLINES, APPROVES].into_iter().cycle();
        let mut old = APPROVES;
        for _ in 0..SWAPS {
            let new = versions.next().unwrap();
            expect_swapped(&reload(server, &directory.path(new)), old, new);
            // Whatever begins after the answer is of the new one.
            assert_eq!(in_service(server), new);
            old = new;
        }
        drop(ends);
        let answers = asking.into_iter().map(|asking| asking.join().unwrap());
        let answers = answers.fold([0; 2], |sum, some| [sum[0] + some[0], sum[1] + some[1]]);
        assert!(answers.iter().all(|count| *count > SWAPS), "{answers:?}");
    });
    assert_eq!(reloads(&server, "swapped"), SWAPS as f64);
    let page = server.get("/metrics").text();
    for class in ["4xx", "5xx"] {
        assert!(page.contains(&format!(r#"cauce_http_requests_total{{route="/v1/score",status="{class}"}} 0"#)));
    }
}

#[test]
fn one_call_goes_back_and_a_second_does_not_return() {
    let directory = bundles("back");
    let server = server(&directory, APPROVES, &[]);
    let answer = rollback(&server);
    assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("no_previous_bundle")));
    let answer = reload(&server, &directory.path(DECLINES));
    expect_swapped(&answer, APPROVES, DECLINES);
    assert!(answer.json()["took_ms"]["check"].as_f64().unwrap() > 0.0);
    assert_eq!(server.get("/v1/bundle").json()["previous"]["version"], APPROVES);

    let answer = rollback(&server);
    let said = answer.json();
    assert_eq!((answer.status, &said["outcome"]), (200, &json!("rolled_back")), "{said}");
    assert_eq!((&said["old"]["version"], &said["new"]["version"]), (&json!(DECLINES), &json!(APPROVES)));
    assert_eq!(in_service(&server), APPROVES);
    assert_eq!(rollback(&server).status, 409);
    assert_eq!(in_service(&server), APPROVES);

    let page = server.get("/metrics").text();
    let served: Vec<&str> = page.lines().filter(|line| line.starts_with("cauce_bundle_info{")).collect();
    assert!(served.len() == 1 && served[0].contains(r#"version="approves""#), "{served:?}");
    assert_eq!((reloads(&server, "swapped"), reloads(&server, "rolled_back")), (1.0, 1.0));
}

#[test]
fn bundle_that_is_in_service_already_does_not_take_the_place_of_the_one_before() {
    let directory = bundles("same");
    let server = server(&directory, APPROVES, &[]);
    expect_swapped(&reload(&server, &directory.path(DECLINES)), APPROVES, DECLINES);
    let answer = reload(&server, &directory.path(DECLINES));
    assert_eq!((answer.status, &answer.json()["outcome"]), (200, &json!("unchanged")), "{}", answer.text());
    assert_eq!(rollback(&server).status, 200);
    assert_eq!(in_service(&server), APPROVES);
}

#[test]
fn empty_body_and_a_signal_mean_the_configured_directory() {
    let directory = bundles("signal");
    let served = directory.path("served");
    copy(&directory.path(APPROVES), &served);
    let server = server(&directory, "served", &[]);
    copy(&directory.path(DECLINES), &served);
    expect_swapped(&server.send("POST", "/admin/bundle", &[], b""), APPROVES, DECLINES);
    copy(&directory.path(APPROVES), &served);
    hang_up(&server);
    until("SIGHUP reloads", || server.get("/v1/bundle").json()["version"] == APPROVES);
    assert_eq!(in_service(&server), APPROVES);

    fs::write(served.join("model.onnx"), "no model").unwrap();
    hang_up(&server);
    until("a broken bundle is refused", || server.log().contains("bundle refused"));
    assert!(server.log().contains("`model.onnx` is not the file that `bundle.json` describes"), "{}", server.log());
    assert_eq!(in_service(&server), APPROVES);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn watched_directory_is_reloaded_once_it_is_whole_and_a_bad_one_is_tried_once() {
    let directory = bundles("watch");
    let served = directory.path("served");
    copy(&directory.path(APPROVES), &served);
    let server = server(&directory, "served", &["model.watch=50ms"]);
    // The manifest first, as a copy in the order of names does, and the rest long after: refused, then taken.
    let arrives = |file: &str| put(&fs::read(directory.path(DECLINES).join(file)).unwrap(), &served.join(file));
    arrives("bundle.json");
    until("half a bundle is refused", || reloads(&server, "refused") == 1.0);
    thread::sleep(Duration::from_millis(500));
    assert_eq!((reloads(&server, "refused"), in_service(&server).as_str()), (1.0, APPROVES));
    arrives("reference.json");
    until("the whole bundle is taken", || server.get("/v1/bundle").json()["version"] == DECLINES);
    assert_eq!(in_service(&server), DECLINES);

    // What was rolled back from stays out until there is something else.
    assert_eq!(rollback(&server).status, 200);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(in_service(&server), APPROVES);
    seal(&served, "declines-2");
    until("another bundle is taken", || server.get("/v1/bundle").json()["version"] == "declines-2");
}

#[test]
fn everything_that_is_said_of_the_bundle_is_said_of_the_one_in_service() {
    let directory = bundles("said");
    let server = server(&directory, APPROVES, &[]);
    expect_swapped(&reload(&server, &directory.path(DECLINES)), APPROVES, DECLINES);
    let described = server.get("/v1/bundle").json();
    assert_eq!((&described["version"], &described["decline_from"]), (&json!(DECLINES), &json!(0.0)));
    assert_eq!(server.get("/healthz").json()["bundle"]["hash"], described["hash"]);
    let data = json!({"edad": 30, "ingresos_mensuales": 1200.5, "monto_credito": 5000});
    let predicted: Value = server.post("/predecir", JSON, json!({"datos": data}).to_string()).json();
    assert_eq!((&predicted["decision"], &predicted["modelo"]["hash"]), (&json!("decline"), &described["hash"]));
}
