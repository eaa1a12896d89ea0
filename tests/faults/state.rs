//! Histories on a disk that stalls or fails: who is in memory notices nothing.

use std::time::Duration;

use serde_json::Value;

use super::{BUDGET, Front, arguments, breaker, expect_mode, expect_none_late, has_reason, metric, of_person, opened};
use crate::support::Server;
use crate::support::disk::FailingDisk;
use crate::support::history::{JSON, LINES, lines, payment};
use crate::support::kafka::topics::await_true;

const PEOPLE: u32 = 40;
/// What is asked of the disk reaches it: nobody stays in memory who is on disk, and no block of it does.
const COLD: [&str; 3] = ["store.memory=1B", "store.block_cache=1B", "store.checkpoint_every=1d"];
const EIO: i32 = 5;

/// A server with people on disk, `c-0` and so on, and with `hot` in memory. `c-0` was scored before.
fn server(disk: &FailingDisk) -> Server {
    let server = disk.serve(arguments(&COLD));
    let events: Vec<Value> = (0..PEOPLE).map(|number| paid(&format!("c-{number}"), "1")).collect();
    assert_eq!(server.post("/v1/events/batch", LINES, lines(&events)).status, 200);
    expect_mode(&Front::new(&server).score(&of_person("c-0", "before", 5_000)), "full", &[]);
    assert_eq!(server.post("/v1/admin/checkpoint", JSON, "").status, 200);
    await_true("nobody is in memory", || metric(&server, "cauce_people_in_memory") == 0.0);
    assert_eq!(server.post("/v1/events", JSON, paid("hot", "1").to_string()).status, 201);
    server
}

fn paid(person: &str, id: &str) -> Value {
    let yesterday = crate::support::kafka::chaos::now_ms() - crate::support::history::DAY_MS;
    payment(person, id, &crate::support::history::instant(yesterday), 3)
}

/// Nobody is kept waiting for the disk, and once it heals all is as before.
fn expect_the_ladder(disk: &FailingDisk, server: &Server) {
    let (mut front, mut events) = (Front::new(server), Front::new(server).within(BUDGET * 2));
    let hot = |front: &mut Front<'_>, id: &str| {
        let answer = front.score(&of_person("hot", id, 5_000));
        expect_mode(&answer, "full", &[]);
        assert_eq!((&answer["recorded"], &answer["history"]["known"]), (&true.into(), &true.into()), "{answer}");
    };
    hot(&mut front, "first");
    let refused = |events: &mut Front<'_>| {
        let (status, answer) = events.post("/v1/events", &paid("c-1", "2"));
        assert_eq!((status, &answer["code"]), (503, &"state_unavailable".into()), "{answer}");
    };
    refused(&mut events);
    // Who was scored before has that score; the others have what the scorecard says of a stranger.
    let answer = front.score(&of_person("c-0", "during", 5_000));
    expect_mode(&answer, "cached", &["history_unavailable"]);
    assert!(answer["cached_age_seconds"].as_f64().unwrap() > 0.0, "{answer}");

    let mut numbers = (1..PEOPLE).cycle();
    let mut next = |what: &str| of_person(&format!("c-{}", numbers.next().unwrap()), what, 5_000);
    let answer = front.until("the disk is left alone", |front| {
        let answer = front.score(&next("during"));
        assert_eq!((&answer["recorded"], &answer["history"]["known"]), (&false.into(), &false.into()), "{answer}");
        let is_open = has_reason(&answer, "history_breaker_open");
        if !is_open {
            expect_mode(&answer, "fallback", &["history_unavailable"]);
        }
        is_open.then_some(answer)
    });
    expect_mode(&answer, "fallback", &["history_breaker_open"]);
    assert!(opened(server, "state") >= 1.0);
    refused(&mut events);
    hot(&mut front, "second");

    disk.heal();
    front.until("histories are read again", |front| {
        let answer = front.score(&next("after"));
        let is_well = answer["mode"] == "full" && breaker(server, "state") == "closed";
        is_well.then_some(answer)
    });
    for number in 0..PEOPLE {
        let mut ids = (0..).map(|attempt| format!("at last {attempt}"));
        // There is hardly any memory: who was read may have left it before the application is recorded, as the answer then says.
        front.until("an application is recorded", |front| {
            let answer = front.score(&of_person(&format!("c-{number}"), &ids.next().unwrap(), 5_000));
            expect_mode(&answer, "full", &[]);
            assert_eq!(answer["history"]["known"], true, "{answer}");
            (answer["recorded"] == true).then_some(answer)
        });
    }
    let (status, answer) = Front::new(server).within(Duration::from_secs(5)).post("/v1/events", &paid("c-1", "2"));
    assert_eq!(status, 201, "{answer}");
    expect_none_late(&[&front, &events]);
}

#[test]
fn stalled_disk_costs_those_their_history_who_rest_on_it_and_nobody_time() {
    let disk = FailingDisk::new("stalled-state");
    let server = server(&disk);
    disk.stall_in("/state/", "read", 600_000);
    expect_the_ladder(&disk, &server);
}

#[test]
fn failing_disk_costs_those_their_history_who_rest_on_it() {
    let disk = FailingDisk::new("failing-state");
    let server = server(&disk);
    disk.fail_in("/state/", "read", EIO);
    expect_the_ladder(&disk, &server);
}

/// What is asked of a person who rests on disk, beside scores and events.
const QUESTIONS: [(&str, &str); 4] = [
    ("GET", "/v1/people/c-1/features"),
    ("GET", "/v1/people/c-2/timeline"),
    ("GET", "/v1/people/c-3"),
    ("DELETE", "/v1/people/c-4"),
];

#[test]
fn question_that_has_to_wait_for_the_disk_waits_for_its_budget_and_holds_up_nobody_else() {
    let disk = FailingDisk::new("stalled-questions");
    let server = server(&disk);
    let headers = [("x-latency-budget-ms", "200")];
    disk.stall_in("/", "read", 600_000);
    std::thread::scope(|scope| {
        // Each of them on both workers.
        let asked: Vec<_> = QUESTIONS.iter().cycle().take(4 * QUESTIONS.len()).collect();
        let asked = asked.into_iter().map(|(method, path)| {
            let server = &server;
            let ask = move || (path, server.send(method, path, &headers, b""));
            scope.spawn(ask)
        });
        let asked: Vec<_> = asked.collect();
        let mut front = Front::new(&server);
        for id in 0..50 {
            expect_mode(&front.score(&of_person("hot", &id.to_string(), 5_000)), "full", &[]);
        }
        for question in asked {
            let (path, answer) = question.join().unwrap();
            let code = answer.json()["code"].clone();
            assert!(answer.status == 503 && (code == "state_unavailable" || code == "log_slow"), "{path}: {code}");
        }
        expect_none_late(&[&front]);
    });
    disk.heal();
    for (method, path) in QUESTIONS {
        await_true("it is answered", || server.send(method, path, &[], b"").status == 200);
    }
}
