//! One history, given to instances in different orders, numbers and batches, to some through crashes: the same state (F1).

use serde_json::{Value, json};

use super::settings;
use crate::support::client::Client;
use crate::support::crash::digest;
use crate::support::history::{self, JSON, LINES, NOW_MS, Random, lines};
use crate::support::{Directory, Server};

const PEOPLE: u64 = 80;

#[track_caller]
fn take_all(server: &Server, events: &[Value]) {
    let answer = server.post("/v1/events/batch", LINES, lines(events));
    assert_eq!((answer.status, &answer.json()["refused"]), (200, &json!(0)), "{}", answer.text());
}

/// Every feature of every person as it is served, then every vector that the model sees.
fn served(server: &Server) -> (Vec<Value>, Vec<Value>) {
    let mut client = Client::connect(server.authority()).unwrap();
    let features = (0..PEOPLE).map(|person| {
        let mut answer = client.get(&format!("/v1/people/c-{person}/features")).unwrap().json();
        answer.as_object_mut().unwrap().remove("request_id");
        answer
    });
    let features = features.collect();
    let applications = json!(history::applications(PEOPLE)).to_string();
    let scored = server.post("/v1/score/batch?vector=true", JSON, applications).json();
    (features, scored["results"].as_array().unwrap().clone())
}

/// In order, in large batches.
fn in_order(events: &[Value]) -> Server {
    let server = Server::start(settings(&[]));
    events.chunks(1_000).for_each(|events| take_all(&server, events));
    server
}

/// Shuffled and partly repeated, singly and in batches of any size, with hardly any memory and checkpoints all the time.
fn shuffled(events: &[Value], random: &mut Random) -> Server {
    let server = Server::start(settings(&["store.memory=64KiB", "store.checkpoint_every=50ms"]));
    let mut events: Vec<Value> = events.iter().chain(events.iter().step_by(3)).cloned().collect();
    random.shuffle(&mut events);
    let mut rest = events.as_slice();
    while let [first, more @ ..] = rest {
        let status = server.post("/v1/events", JSON, first.to_string()).status;
        assert!([200, 201].contains(&status), "{status}");
        let (now, later) = more.split_at(more.len().min(random.below(200) as usize));
        if !now.is_empty() {
            take_all(&server, now);
        }
        rest = later;
    }
    server
}

/// By four clients at once, each in its own order, and everything again after a kill.
fn at_once_and_again(events: &[Value], random: &mut Random, data: &Directory) -> Server {
    let settings = || settings(&["log.segment=256KiB"]);
    let server = Server::start_in(data.root(), settings());
    let mut orders = [0; 4].map(|_| events.to_vec());
    orders.iter_mut().for_each(|events| random.shuffle(events));
    std::thread::scope(|scope| {
        for (events, size) in orders.iter().zip([7, 40, 150, 600]) {
            let server = &server;
            scope.spawn(move || events[..events.len() / 2].chunks(size).for_each(|events| take_all(server, events)));
        }
    });
    server.kill();
    let server = Server::start_in(data.root(), settings());
    orders[0].chunks(300).for_each(|events| take_all(&server, events));
    server
}

#[test]
fn same_events_in_any_order_number_and_batching_give_the_same_digest_and_vectors() {
    for seed in 1..=3 {
        let (mut random, data) = (Random(seed), Directory::new(&format!("same-digest-{seed}")));
        let events = history::events(PEOPLE, seed);
        let one = in_order(&events);
        let expected = (digest(&one, NOW_MS), served(&one), digest(&one, NOW_MS));
        for other in [shuffled(&events, &mut random), at_once_and_again(&events, &mut random, &data)] {
            // Scoring adds the applications to the histories.
            let found = (digest(&other, NOW_MS), served(&other), digest(&other, NOW_MS));
            assert_eq!(found, expected, "seed {seed}");
            assert_ne!(found.0, found.2, "the applications are not part of the digest");
        }
    }
}

#[test]
fn one_other_value_is_another_digest() {
    let mut events = history::events(5, 9);
    let one = digest(&in_order(&events), NOW_MS);
    let payment = events.iter_mut().find(|event| event["type"] == "payment").expect("a third are payments");
    payment["data"]["days_past_due"] = json!(3_650);
    assert_ne!(digest(&in_order(&events), NOW_MS), one);
}
