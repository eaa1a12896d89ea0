//! Histories in memory and in the state: whoever is where, what is read is what was applied.

use std::sync::atomic::AtomicBool;
use std::thread;

use cauce_features::event::EventId;
use cauce_features::spec::Specification;
use cauce_features::time::Timestamp;

use super::checkpoint::Written;
use super::memory::Memory;
use super::*;
use crate::log::{LogError, Position};

const NOW_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;

fn plan_named(name: &str, window: &str) -> FeaturePlan {
    let text = format!(
        r#"
        name = "{name}"
        horizon = "90d"
        [application.fields]
        [events.payment.fields]
        amount = {{ type = "integer" }}
        [[features]]
        name = "paid"
        from = "payment"
        aggregate = "sum"
        field = "amount"
        window = {window}
        "#
    );
    FeaturePlan::compile(Specification::parse("features.toml", &text).unwrap()).unwrap()
}

fn plan() -> FeaturePlan {
    plan_named("small", r#"{ sliding = "90d" }"#)
}

fn lifetime_plan() -> FeaturePlan {
    plan_named("life", r#""lifetime""#)
}

fn at(days: i64) -> Timestamp {
    Timestamp::from_millis(NOW_MS + days * DAY_MS)
}

fn payment(person: &str, id: u64, time: Timestamp) -> Event {
    Event::new(person, EventId::from_bits(id), time, 0, vec![id as i64])
}

/// A store over a state that is kept when the store is gone.
struct World {
    plan: FeaturePlan,
    state: Arc<Memory>,
    bounds: Bounds,
    store: Store,
}

impl World {
    fn of(plan: FeaturePlan) -> Self {
        let (state, bounds) = (Arc::<Memory>::default(), Bounds::of_people(1_000));
        let store = Store::open(state.clone(), bounds, &plan).unwrap();
        Self { plan, state, bounds, store }
    }

    fn new() -> Self {
        Self::of(plan())
    }

    /// So many people of one payment each, in the state.
    fn stored(plan: FeaturePlan, people: u64) -> Self {
        let world = Self::of(plan);
        (0..people).for_each(|id| world.pay(&person(id), id, at(0)));
        world.checkpoint();
        world
    }

    fn pay(&self, person: &str, id: u64, time: Timestamp) {
        self.store.apply(&self.plan, &payment(person, id, time)).unwrap();
    }

    fn len(&self, person: &str) -> Option<usize> {
        self.store.read(&self.plan, person, |timeline| timeline.map(|timeline| timeline.len(&self.plan))).unwrap()
    }

    fn checkpoint(&self) -> Written {
        self.store.checkpoint(&self.plan, Position(9), at(0), || Ok(())).unwrap()
    }

    fn sweep(&self, now: Timestamp) {
        (0..self.store.shards()).for_each(|shard| self.store.sweep(&self.plan, shard, now));
    }

    fn digest(&self) -> StateDigest {
        self.store.digest(&self.plan, at(0)).unwrap()
    }

    /// Opens the same state again with so much memory, and nobody in it.
    fn reopen(&mut self, memory_bytes: usize) {
        self.bounds.memory_bytes = memory_bytes;
        self.store = Store::open(self.state.clone(), self.bounds, &self.plan).unwrap();
    }

    /// The same, with everybody in memory for whom there is room.
    fn restart(&mut self, memory_bytes: usize) {
        self.reopen(memory_bytes);
        self.store.load(&self.plan).unwrap();
    }

    fn gets(&self) -> usize {
        self.state.gets.load(Ordering::Relaxed)
    }
}

fn person(id: u64) -> String {
    format!("p-{id}")
}

#[test]
fn a_person_who_left_memory_comes_back_with_all_that_was_applied() {
    let mut world = World::stored(plan(), 100);
    let digest = world.digest();
    world.restart(0);
    assert_eq!((world.store.people(), world.store.resident()), (100, 0));
    assert_eq!(world.digest(), digest);
    assert_eq!(world.len("p-7"), Some(1));
    world.pay("p-7", 1_000, at(0));
    world.pay("p-8", 1_000, at(0));
    assert_eq!((world.len("p-7"), world.len("p-8"), world.len("nobody")), (Some(2), Some(2), None));
    assert_eq!((world.store.people(), world.store.resident()), (100, 2));
}

#[test]
fn people_come_into_memory_beside_requests_and_are_one_person_however_they_came() {
    let mut world = World::stored(plan(), 10_000);
    let digest = world.digest();
    world.reopen(1 << 30);
    assert_eq!((world.store.people(), world.store.resident(), world.digest()), (10_000, 0, digest));
    assert_eq!(world.len("p-7"), Some(1));
    world.pay("p-8", 20_000, at(0));
    let mut pages = 1;
    while world.store.warm(&world.plan).unwrap() {
        pages += 1;
    }
    assert!(pages > 1, "one page holds everybody");
    assert_eq!((world.store.people(), world.store.resident()), (10_000, 10_000));
    assert_eq!((world.len("p-7"), world.len("p-8"), world.len("p-9")), (Some(1), Some(2), Some(1)));
}

#[test]
fn an_unknown_person_costs_the_state_no_question_while_memory_holds_everybody() {
    let mut world = World::stored(plan(), 100);
    world.restart(1 << 30);
    assert_eq!((world.store.resident(), world.len("nobody"), world.len("p-1")), (100, None, Some(1)));
    world.pay("somebody new", 1, at(0));
    assert_eq!(world.gets(), 0);
}

#[test]
fn nobody_leaves_memory_before_a_checkpoint_has_them_or_while_they_are_looked_at() {
    let mut world = World::stored(plan(), 100);
    world.restart(1 << 30);
    world.store.bounds.memory_bytes = 0;
    for id in 0..10 {
        world.pay(&person(id), 1_000, at(0));
    }
    assert_eq!(world.store.shrink(&world.plan), 90);
    assert_eq!(world.store.resident(), 10, "who is dirty stays");
    world.checkpoint();
    assert_eq!(world.store.shrink(&world.plan), 10);
    assert_eq!((world.store.people(), world.store.resident(), world.store.memory_bytes()), (100, 0, 0));
    assert_eq!((world.len("p-3"), world.len("p-50")), (Some(2), Some(1)));
    // Just large enough that one round, which takes away second chances, suffices.
    world.store.bounds.memory_bytes = world.store.memory_bytes() - 1;
    assert_eq!(world.len("p-4"), Some(2));
    assert!(world.store.shrink(&world.plan) > 0);
}

#[test]
fn nothing_reaches_the_state_that_the_log_does_not_have() {
    let world = World::new();
    world.pay("p", 1, at(0));
    let fails = || Err(LogError::Full);
    let refused = world.store.checkpoint(&world.plan, Position(1), at(0), fails);
    assert!(matches!(refused, Err(CheckpointError::Log(LogError::Full))), "{refused:?}");
    assert_eq!((world.state.people(), world.store.checkpointed()), (0, Ok(None)));
    let waits = || {
        assert_eq!(world.state.people(), 0, "the log first");
        world.pay("p", 2, at(0));
        Ok(())
    };
    assert_eq!(world.store.checkpoint(&world.plan, Position(2), at(0), waits).unwrap().people, 1);
    assert_eq!(world.checkpoint().people, 1, "what was applied meanwhile is dirty");
    assert_eq!(world.checkpoint().people, 0);
}

#[test]
fn a_write_that_fails_leaves_everybody_dirty() {
    let mut world = World::stored(plan(), 10);
    world.pay("p-1", 1_000, at(0));
    world.store.erase(&world.plan, "p-2").unwrap();
    world.state.fails.store(true, Ordering::Relaxed);
    let refused = world.store.checkpoint(&world.plan, Position(9), at(0), || Ok(()));
    assert!(matches!(refused, Err(CheckpointError::State(StateError::Unavailable { .. }))), "{refused:?}");
    world.store.bounds.memory_bytes = 0;
    world.store.shrink(&world.plan);
    assert_eq!((world.len("p-1"), world.len("p-2")), (Some(2), None), "who is dirty is in memory");
    world.state.fails.store(false, Ordering::Relaxed);
    let written = world.checkpoint();
    assert_eq!((written.people, written.removed, world.state.people()), (1, 1, 9));
    world.restart(0);
    assert_eq!((world.len("p-1"), world.len("p-2")), (Some(2), None));
}

#[test]
fn a_checkpoint_says_where_the_log_goes_on() {
    let world = World::new();
    for position in [5, 8] {
        world.store.checkpoint(&world.plan, Position(position), at(position as i64), || Ok(())).unwrap();
        let specification = world.plan.specification().hash;
        let expected = Checkpoint { reached: Position(position).into(), at: at(position as i64), specification };
        assert_eq!(world.store.checkpointed(), Ok(Some(expected)));
    }
}

#[test]
fn the_state_of_another_specification_is_refused() {
    let world = World::stored(plan(), 3);
    let other = Store::open(world.state.clone(), world.bounds, &lifetime_plan());
    assert_eq!(other.err(), Some(StateError::OtherSpecification));
    // A first checkpoint that was cut short left people and no checkpoint.
    let state = Arc::<Memory>::default();
    let put = vec![("p".into(), Timeline::default().encode(&world.plan))];
    state.write(&Batch { put, ..Batch::default() }).unwrap();
    let other = Store::open(state, world.bounds, &lifetime_plan());
    assert_eq!(other.err(), Some(StateError::OtherSpecification));
}

#[test]
fn damaged_people_are_counted_and_never_named() {
    let world = World::stored(plan(), 10);
    let put = vec![("secret-1".into(), vec![1, 2]), ("secret-2".into(), vec![])];
    world.state.write(&Batch { put, ..Batch::default() }).unwrap();
    let error = Store::open(world.state.clone(), world.bounds, &world.plan).err().unwrap().to_string();
    assert!(error.contains("2 people's histories") && !error.contains("secret"), "{error}");
}

#[test]
fn an_erased_person_is_gone_from_memory_at_once_and_from_the_state_with_the_next_checkpoint() {
    for memory_bytes in [0, 1 << 30] {
        let mut world = World::stored(plan(), 10);
        world.restart(memory_bytes);
        let taken = world.store.erase(&world.plan, "p-3").unwrap();
        assert_eq!(taken.map(|timeline| timeline.len(&world.plan)), Some(1));
        assert_eq!((world.len("p-3"), world.store.people(), world.state.people()), (None, 9, 10));
        assert!(world.store.erase(&world.plan, "p-3").unwrap().is_none());
        assert_eq!((world.checkpoint().removed, world.state.people()), (1, 9));
        assert_eq!((world.len("p-3"), world.store.people()), (None, 9));
        world.pay("p-3", 5, at(0));
        assert_eq!((world.len("p-3"), world.store.people()), (Some(1), 10));
    }
}

#[test]
fn somebody_erased_and_heard_of_again_before_a_checkpoint_is_stored_anew() {
    let mut world = World::stored(plan(), 10);
    world.store.erase(&world.plan, "p-3").unwrap();
    world.pay("p-3", 77, at(0));
    let written = world.checkpoint();
    assert_eq!((written.people, written.removed), (1, 0));
    let digest = world.digest();
    world.restart(0);
    assert_eq!((world.digest(), world.store.people()), (digest, 10));
}

#[test]
fn memory_is_accounted_to_the_last_byte() {
    let world = World::new();
    for id in 0..2_000_u64 {
        world.pay(&person(id % 50), id, at(-((id % 80) as i64)));
    }
    for id in 0..600 {
        world.pay("busy", id, Timestamp::from_millis(NOW_MS - id as i64 * 60_000));
    }
    world.sweep(at(30));
    let walk = |shard: &Mutex<Shard>| -> usize {
        shard.lock().people.iter().map(|(person, entry)| bytes_of(person, entry, &world.plan)).sum()
    };
    assert_eq!(world.store.memory_bytes(), world.store.shards.iter().map(walk).sum::<usize>());
    for id in 0..50 {
        world.store.erase(&world.plan, &person(id)).unwrap();
    }
    world.store.erase(&world.plan, "busy").unwrap();
    assert_eq!((world.store.memory_bytes(), world.store.people(), world.store.resident()), (0, 0, 0));
}

#[test]
fn the_bound_on_people_counts_those_in_the_state_and_never_stops_who_is_known() {
    let mut world = World::stored(plan(), 10);
    world.bounds.people = 10;
    world.restart(0);
    assert_eq!(world.store.has_room(&world.plan, "p-3"), Ok(true));
    assert_eq!(world.store.has_room(&world.plan, "new"), Ok(false));
    world.store.erase(&world.plan, "p-3").unwrap();
    assert_eq!(world.store.has_room(&world.plan, "new"), Ok(true));
    world.pay("new", 1, at(0));
    assert_eq!(world.store.has_room(&world.plan, "newer"), Ok(false));
}

#[test]
fn a_sweep_takes_people_of_whom_nothing_is_left_out_of_the_state_too() {
    let world = World::stored(plan(), 10);
    world.pay("p-3", 77, at(50));
    world.sweep(at(91));
    assert_eq!((world.len("p-3"), world.len("p-4"), world.store.people()), (Some(1), None, 1));
    assert_eq!((world.checkpoint().removed, world.state.people(), world.store.resident()), (9, 1, 1));
}

#[test]
fn a_sweep_of_the_state_finds_who_is_not_in_memory() {
    let mut world = World::stored(plan(), 500);
    world.pay("p-3", 77, at(50));
    world.checkpoint();
    world.restart(0);
    assert_eq!(world.len("p-5"), Some(1), "in memory, which the other sweep is for");
    let (mut visited, mut removed) = (0, 0);
    loop {
        let swept = world.store.sweep_cold(&world.plan, at(91)).unwrap();
        (visited, removed) = (visited + swept.visited, removed + swept.removed);
        if swept.round_over {
            break;
        }
    }
    assert_eq!((visited, removed, world.store.people()), (499, 498, 2));
    assert_eq!((world.len("p-3"), world.len("p-4"), world.len("p-5")), (Some(1), None, Some(1)));
    assert_eq!((world.checkpoint().removed, world.state.people()), (498, 2));
    assert_eq!((world.len("p-3"), world.len("p-4")), (Some(1), None));
}

#[test]
fn a_lifetime_outlives_the_horizon_and_is_forgotten_in_its_time() {
    for memory_bytes in [0, 1 << 30] {
        let mut world = World::stored(lifetime_plan(), 5);
        world.restart(memory_bytes);
        let sweep = |now| {
            world.sweep(now);
            world.store.sweep_cold(&world.plan, now).unwrap();
        };
        sweep(at(729));
        assert_eq!((world.store.people(), world.len("p-1")), (5, Some(0)));
        let digest = |days| world.store.digest(&world.plan, at(days)).unwrap();
        assert_ne!(digest(729), StateDigest::default());
        assert_eq!(digest(730), StateDigest::default(), "forgotten as of then, swept or not");
        sweep(at(730));
        assert_eq!(world.store.people(), 5, "a sweep stays behind what may still wait to be applied");
        sweep(at(731));
        assert_eq!((world.store.people(), world.len("p-1")), (0, None));
        world.checkpoint();
        assert_eq!((world.state.people(), digest(730)), (0, StateDigest::default()));
    }
}

#[test]
fn order_repetition_restarts_sweeps_and_memory_leave_the_digest_as_it_is() {
    let mut random = Random(3);
    let events: Vec<Event> =
        (0..3_000).map(|id| payment(&person(id % 300), id, at(-(random.below(89) as i64)))).collect();
    for plan in [plan, lifetime_plan] {
        let straight = World::of(plan());
        for event in &events {
            straight.store.apply(&straight.plan, event).unwrap();
        }
        let mut other = World::of(plan());
        other.restart(20_000);
        for step in 0..2 * events.len() {
            let event = &events[if step < events.len() { events.len() - 1 - step } else { random.below(events.len()) }];
            other.store.apply(&other.plan, event).unwrap();
            match random.below(200) {
                0 => other.checkpoint().people,
                1 => other.store.shrink(&other.plan),
                2 => {
                    other.sweep(at(0));
                    0
                }
                3 => other.store.sweep_cold(&other.plan, at(0)).unwrap().visited,
                4 => {
                    other.checkpoint();
                    other.restart(20_000);
                    0
                }
                _ => 0,
            };
        }
        assert_eq!(other.digest(), straight.digest());
        assert_eq!(other.store.people(), 300);
        assert!(other.store.resident() < 300, "some are in the state alone");
        other.pay("p-1", 5_000, at(0));
        assert_ne!(other.digest(), straight.digest());
    }
}

#[test]
fn what_was_read_from_the_state_is_read_again_if_the_person_was_there_and_left_meanwhile() {
    let mut world = World::stored(plan(), 10);
    world.restart(0);
    let world: &'static World = Box::leak(Box::new(world));
    *world.state.meanwhile.lock() = Some(Box::new(|| {
        world.pay("p-3", 1_000, at(0));
        world.checkpoint();
        assert_eq!((world.store.shrink(&world.plan), world.store.resident()), (1, 0));
    }));
    assert_eq!((world.len("p-3"), world.gets()), (Some(2), 3));
    *world.state.meanwhile.lock() = Some(Box::new(|| {
        world.store.erase(&world.plan, "p-4").unwrap();
        world.checkpoint();
    }));
    assert_eq!((world.len("p-4"), world.store.people()), (None, 9));
}

#[test]
fn threads_that_apply_and_read_while_others_are_evicted_lose_nothing() {
    let mut world = World::new();
    world.restart(8_000);
    let (events, over) = (20_000_u64, AtomicBool::new(false));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let world = &world;
                scope.spawn(move || {
                    for id in (writer..events).step_by(2) {
                        let person = person(id % 97);
                        world.pay(&person, id, at(-((id % 80) as i64)));
                        assert!(world.len(&person).is_some_and(|len| len as u64 > id / 97 / 3), "it was lost");
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                world.checkpoint();
                world.store.shrink(&world.plan);
                world.store.sweep_cold(&world.plan, at(0)).unwrap();
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    let straight = World::new();
    (0..events).for_each(|id| straight.pay(&person(id % 97), id, at(-((id % 80) as i64))));
    assert_eq!(world.digest(), straight.digest());
    assert_eq!((world.store.people(), straight.store.people()), (97, 97));
    world.checkpoint();
    world.restart(0);
    assert_eq!(world.digest(), straight.digest());
}

/// A generator that every run of a test repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
