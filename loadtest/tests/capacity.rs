//! The highest rate of a server whose limit is known: one connection, and each answer takes two milliseconds. A busy machine makes it
//! slower, and nothing makes it faster, so what is found has a wide lower bound and a close upper one.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::Outcome;
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::search::{Goal, Growth, Search, Steps};
use cauce_loadtest::traffic::{Prepared, write_request};

const ANSWER_TAKES: Duration = Duration::from_millis(2);
/// 500 a second, and what [`Search`] lets a step fall behind.
const MOST: f64 = 550.0;
/// All is answered in the end: what is too much shows in a queue alone.
const GOAL: Goal = Goal { p99: None, error_rate: 0.0 };

fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                // Requests have no body: an empty line ends one.
                for _ in lines.map_while(Result::ok).filter(String::is_empty) {
                    thread::sleep(ANSWER_TAKES);
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn offer(target: SocketAddr, phase: Phase) -> Outcome {
    let mut request = Vec::new();
    write_request("POST", "/", "x", "application/json", b"", &mut request);
    let traffic = Prepared { kind: "score".to_owned(), requests: vec![request] };
    let schedule = Schedule { phases: vec![phase], pace: Pace::Constant, seed: 1 };
    Drive { connections: 1, ..Drive::to(target, &traffic, &schedule) }.run().unwrap()
}

fn assert_found(search: &Search) {
    let highest = search.highest.unwrap_or_default();
    assert!((100.0..=MOST).contains(&highest), "{search:?}");
}

#[test]
fn steps_find_the_rate_that_a_server_of_known_capacity_keeps_up_with() {
    let target = serve();
    let steps = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 1600.0, halvings: 1, tries: 2 };
    let search = Search::by_steps(&steps, &GOAL, |rate| Ok(offer(target, Phase::steady(rate, Duration::from_secs(1)))));
    assert_found(&search.unwrap());
}

#[test]
fn ramp_finds_it_though_all_of_its_requests_are_answered_in_the_end() {
    let ramp = Phase { from: 100.0, to: 1100.0, duration: Duration::from_secs(5), is_warm_up: false };
    let outcome = offer(serve(), ramp);
    assert_found(&Search::along_ramp(&outcome, &GOAL));
}
