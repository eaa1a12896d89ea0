//! The queue of a hook: single cases, and random traffic held to what a receiver may hear.

use super::*;
use crate::alerts::webhook::delivery::Cause;

const SETTINGS: Settings = Settings { bound: 4, retry: (Duration::from_secs(1), Duration::from_secs(8)) };

use AlertState::{Firing, Resolved};

fn alert(id: &str, state: AlertState) -> Alert {
    Alert::for_tests(id, "memory", state)
}

fn failed(after: Option<u64>) -> Outcome {
    Outcome::Retry { cause: Cause::Status(503), after: after.map(Duration::from_secs) }
}

/// A queue, its clock, and what was counted.
struct Test {
    queue: Queue,
    now: Instant,
    counted: Vec<Told>,
}

impl Test {
    fn new() -> Self {
        Self { queue: Queue::new(SETTINGS), now: Instant::now(), counted: Vec::new() }
    }

    fn push(&mut self, id: &str, state: AlertState) {
        let counted = &mut self.counted;
        self.queue.push(alert(id, state), |told| counted.push(told));
    }

    /// Sends what is first, with this outcome.
    fn send(&mut self, outcome: &Outcome) -> (String, AlertState, Told) {
        let Next::Send { number, alert } = self.queue.next(self.now) else { panic!("nothing can be sent") };
        let told = self.queue.done(number, outcome, self.now, 0);
        (alert.id.to_string(), alert.state, told)
    }

    fn waiting(&self) -> Vec<(&str, AlertState)> {
        self.queue.waiting.iter().map(|one| (&*one.alert.id, one.alert.state)).collect()
    }
}

#[test]
fn notices_leave_in_their_order() {
    let mut test = Test::new();
    test.push("a", Firing);
    test.push("b", Firing);
    assert_eq!(test.send(&Outcome::Delivered), ("a".into(), Firing, Told::Delivered));
    assert_eq!(test.send(&Outcome::Refused { status: 400 }), ("b".into(), Firing, Told::Refused));
    assert_eq!(test.queue.next(test.now), Next::Nothing);
    assert!(test.counted.is_empty());
}

#[test]
fn episode_that_nobody_heard_of_is_not_told() {
    let mut test = Test::new();
    test.push("a", Firing);
    test.push("a", Resolved);
    assert!(test.waiting().is_empty());
    assert_eq!(test.counted, [Told::Cancelled, Told::Cancelled]);
    // Another was heard of before the start.
    test.queue.remember("b".into());
    test.push("b", Resolved);
    assert_eq!(test.waiting(), [("b", Resolved)]);
}

#[test]
fn end_of_what_may_have_been_heard_is_told_even_if_its_beginning_seemed_to_fail() {
    let mut test = Test::new();
    test.push("a", Firing);
    assert_eq!(test.send(&failed(None)), ("a".into(), Firing, Told::Retried));
    test.push("a", Resolved);
    assert_eq!(test.waiting(), [("a", Resolved)]);
    test.now += Duration::from_secs(1);
    assert_eq!(test.send(&Outcome::Delivered), ("a".into(), Resolved, Told::Delivered));
    assert_eq!(test.counted, [Told::Cancelled]);
}

#[test]
fn what_is_under_way_and_no_longer_true_is_not_sent_again() {
    let mut test = Test::new();
    test.push("a", Firing);
    let Next::Send { number, .. } = test.queue.next(test.now) else { panic!() };
    test.push("a", Resolved);
    assert_eq!(test.queue.done(number, &failed(None), test.now, 0), Told::Cancelled);
    assert_eq!(test.waiting(), [("a", Resolved)]);
    // It is counted once, by its outcome.
    assert!(test.counted.is_empty());
}

#[test]
fn what_is_under_way_takes_no_place_of_those_that_wait() {
    let mut test = Test::new();
    test.push("a", Firing);
    let Next::Send { number, .. } = test.queue.next(test.now) else { panic!() };
    for id in ["b", "c", "d", "e", "f"] {
        test.push(id, Firing);
    }
    assert_eq!(test.waiting(), ["a", "c", "d", "e", "f"].map(|id| (id, Firing)));
    assert_eq!(test.queue.done(number, &Outcome::Delivered, test.now, 0), Told::Delivered);
    assert_eq!(test.counted, [Told::Dropped]);
}

#[test]
fn only_the_newest_of_each_state_waits_and_an_end_before_another_beginning_is_kept() {
    let mut test = Test::new();
    test.push("a", Firing);
    test.send(&Outcome::Delivered);
    for state in [Firing, Firing, Resolved, Firing, Firing] {
        test.push("a", state);
    }
    assert_eq!(test.waiting(), [("a", Resolved), ("a", Firing)]);
    test.push("a", Resolved);
    assert_eq!(test.waiting(), [("a", Resolved)]);
}

#[test]
fn oldest_goes_when_too_many_wait() {
    let mut test = Test::new();
    for id in ["a", "b", "c", "d", "e"] {
        test.push(id, Firing);
    }
    assert_eq!(test.waiting(), ["b", "c", "d", "e"].map(|id| (id, Firing)));
    assert_eq!(test.counted, [Told::Dropped]);
}

#[test]
fn pauses_double_up_to_their_bound_and_end_with_a_success() {
    let mut test = Test::new();
    test.push("a", Firing);
    for halves in [1, 2, 4, 8, 8, 8] {
        assert_eq!(test.send(&failed(None)).2, Told::Retried);
        let until = test.now + Duration::from_millis(500 * halves);
        assert_eq!(test.queue.next(test.now), Next::Later(until));
        test.now = until;
    }
    assert_eq!(test.send(&Outcome::Delivered).2, Told::Delivered);
    test.push("b", Firing);
    assert_eq!(test.send(&failed(None)).2, Told::Retried);
    assert_eq!(test.queue.next(test.now), Next::Later(test.now + Duration::from_millis(500)));
    for random in [0, u64::MAX / 2, u64::MAX] {
        let pause = SETTINGS.pause(40, random);
        assert!((4..=8).contains(&pause.as_secs()), "{pause:?}");
    }
}

#[test]
fn retry_after_is_heeded_by_all_that_waits_within_its_bound() {
    let mut test = Test::new();
    test.push("a", Firing);
    test.push("b", Firing);
    assert_eq!(test.send(&failed(Some(30))).2, Told::Retried);
    test.push("a", Resolved);
    assert_eq!(test.queue.next(test.now), Next::Later(test.now + Duration::from_secs(30)));
    test.now += Duration::from_secs(30);
    for (retry_most, asked, pause) in [(8, 299, 299), (8, 86_400, 300), (600, 86_400, 600)] {
        test.queue.settings.retry.1 = Duration::from_secs(retry_most);
        assert_eq!(test.send(&failed(Some(asked))), ("b".into(), Firing, Told::Retried));
        let until = test.now + Duration::from_secs(pause);
        assert_eq!(test.queue.next(test.now), Next::Later(until));
        test.now = until;
    }
}

#[test]
fn notice_waits_for_as_long_as_its_receiver_is_away() {
    let mut test = Test::new();
    test.push("a", Firing);
    for _ in 0..1_000 {
        assert_eq!(test.send(&failed(None)).2, Told::Retried);
        test.now += Duration::from_secs(3600);
    }
    assert_eq!(test.send(&Outcome::Delivered), ("a".into(), Firing, Told::Delivered));
}

#[test]
fn closed_queue_sends_what_can_be_sent_at_once_and_ends() {
    let mut test = Test::new();
    test.push("a", Firing);
    test.push("b", Firing);
    test.queue.close();
    assert_eq!(test.send(&Outcome::Delivered).0, "a");
    assert_eq!(test.send(&failed(None)).0, "b");
    assert_eq!(test.queue.next(test.now), Next::End);
    test.queue.end();
    assert!(test.queue.has_ended());
}

#[test]
fn receiver_hears_last_how_things_are_whatever_happens_between() {
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    const IDS: [&str; 2] = ["a", "b"];
    for _ in 0..500 {
        // Both fit, so nothing is dropped.
        let mut test = Test::new();
        let (mut truth, mut heard) = ([Resolved; 2], [Resolved; 2]);
        for step in 0..200 {
            let which = random(2) as usize;
            if step < 150 && random(3) == 0 {
                truth[which] = if truth[which] == Firing && random(4) > 0 { Resolved } else { Firing };
                test.push(IDS[which], truth[which]);
            }
            let Next::Send { number, alert } = test.queue.next(test.now) else {
                test.now += Duration::from_secs(8);
                continue;
            };
            // While it is under way things may change.
            if step < 150 && random(3) == 0 {
                truth[which] = Firing;
                test.push(IDS[which], Firing);
            }
            let arrives = random(3) > 0 || step >= 150;
            // A failure may have arrived all the same.
            if arrives || random(2) == 0 {
                heard[usize::from(&*alert.id == IDS[1])] = alert.state;
            }
            let outcome = if arrives { Outcome::Delivered } else { failed(None) };
            test.queue.done(number, &outcome, test.now, random(1 << 31));
            assert!(test.queue.waiting() <= 4);
        }
        assert_eq!((heard, test.queue.waiting()), (truth, 0));
        assert!(!test.counted.contains(&Told::Dropped));
    }
}
