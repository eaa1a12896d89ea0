//! Known records in, a document out.

use std::time::Instant;

use cauce_features::application::Application;
use cauce_features::vector::ReadFacts;
use cauce_model::score::Score;

use super::*;
use crate::config::{Config, Override};
use crate::degrade::{Mode, Reason, Reasons};
use crate::error::Code;
use crate::ingest::tests::bundle;
use crate::kpi::groups::Groups;
use crate::kpi::recorder::{Answered, Recorder, Recorders};
use crate::scoring::{Decision, History, Made};

/// 2026-01-15T23:59:58Z.
const NOW: Timestamp = Timestamp::from_millis(1_768_521_598_000);
const SECOND: Duration = Duration::from_secs(1);
const ROUTES: [RouteRow; 3] = [
    RouteRow { method: "POST", path: "/v1/score", scores: true },
    RouteRow { method: "POST", path: "/v1/events", scores: false },
    RouteRow { method: "GET", path: "/metrics", scores: false },
];

/// A service of one thread, and what makes its snapshots.
struct World {
    bundle: Arc<Bundle>,
    recorders: Recorders,
    recorder: Arc<Recorder>,
    collector: Collector,
    second: Interval,
    cache: CacheStatus,
    now: Timestamp,
}

impl World {
    fn new(settings: &[&str]) -> Self {
        let flags = settings.iter().map(|setting| Override::parse(setting).unwrap()).collect();
        let settings = Config::load(None, std::iter::empty(), flags).unwrap().kpi;
        let bundle = bundle("ahorro-valle");
        let groups = Groups::new(&settings, bundle.plan().specification()).unwrap();
        let recorders = Recorders::new(Scheme::new(vec![true, true, false], groups, &bundle, settings.drift_rows));
        let collector =
            Collector::new(&settings, recorders.scheme().clone(), ROUTES.into(), CacheStatus::default(), NOW);
        let (recorder, second) = (recorders.open(), Interval::new(recorders.scheme().extent));
        Self { bundle, recorders, recorder, collector, second, cache: CacheStatus::default(), now: NOW }
    }

    fn answer(&self, route: usize, status: u16, code: Option<Code>, took_ms: u64) {
        let (took, budget) = (Some(Duration::from_millis(took_ms)), (route == 0).then_some(Duration::from_millis(50)));
        self.recorder.answered(&Answered { route, status, code, took, budget });
    }

    fn refuse(&self, route: usize, code: Code) {
        let (status, code) = (code.row().status, Some(code));
        self.recorder.answered(&Answered { route, status, code, took: None, budget: None });
    }

    /// Scores an application of somebody of this age; without a probability a person has to decide.
    fn score(&self, age: i64, product: Option<&str>, mode: Mode, reasons: Reasons, probability: Option<f32>) {
        let specification = self.bundle.plan().specification();
        let mut values = vec![cauce_features::fixed::MISSING; specification.application.fields.len()];
        values[specification.application.index_of("age").unwrap()] = age;
        let application = Application::new("", cauce_features::event::EventId::parse("a").unwrap(), values);
        let facts = ReadFacts { newest_event: None, truncated: false, coarse: false };
        let score: Option<Score<'_>> = probability.map(|probability| self.bundle.policy().score(probability));
        let vector = &vec![0.5; self.bundle.width()];
        let (made, history) = (Made { mode, reasons, age: None }, History { known: false, facts });
        let decision = Decision { score, made, history, recorded: true, vector };
        self.recorder.scored(&application, product, &decision, &self.bundle);
    }

    /// A second passes.
    fn tick(&mut self) -> Snapshot {
        self.now = Timestamp::from_millis(self.now.millis() + 1000);
        self.second.clear();
        let load = self.recorders.take(&mut self.second, Instant::now());
        let resources = Resources { in_flight: load.in_flight as u64, ..Resources::default() };
        let readings = Readings { uptime: SECOND, resources, cache: self.cache, bundle: self.bundle.clone() };
        self.collector.tick(self.now, SECOND, &mut self.second, readings)
    }
}

fn counts(of: &[Count]) -> Vec<(&str, u64)> {
    of.iter().map(|count| (&*count.name, count.count)).collect()
}

/// Within the one percent that percentiles may be off.
fn is_about(seconds: Option<f64>, expected: f64) -> bool {
    seconds.is_some_and(|seconds| (seconds / expected - 1.0).abs() <= 0.01)
}

#[test]
fn nothing_is_said_of_nothing() {
    let snapshot = World::new(&[]).tick();
    assert_eq!((snapshot.window_seconds, snapshot.performance.requests_per_second), (1.0, 0.0));
    assert_eq!(snapshot.point.seconds, 1.0);
    assert_eq!(snapshot.performance.response_seconds, Percentiles::default());
    let quality = snapshot.quality;
    let rates = [quality.success_rate, quality.error_rate, quality.timeout_rate, quality.degraded_rate];
    assert_eq!((rates, quality.cache_hit_rate, quality.events_refused_rate), ([None; 4], None, None));
    assert!(snapshot.performance.routes.is_empty() && quality.errors.is_empty() && quality.reasons.is_empty());
}

#[test]
fn requests_are_told_by_outcome_and_what_watches_the_service_is_none() {
    let mut world = World::new(&[]);
    for took_ms in [10, 10, 10, 70] {
        world.answer(0, 200, None, took_ms);
    }
    world.answer(1, 201, None, 5);
    world.answer(1, 400, Some(Code::InvalidFields), 1);
    world.answer(1, 503, Some(Code::LogSlow), 30);
    world.answer(2, 200, None, 900);
    world.answer(2, 503, Some(Code::Stopping), 1);
    world.refuse(0, Code::Overloaded);
    let snapshot = world.tick();

    let (performance, quality) = (&snapshot.performance, &snapshot.quality);
    assert_eq!((quality.requests, performance.requests_per_second), (8, 8.0));
    assert_eq!((quality.success_rate, quality.error_rate), (Some(5.0 / 8.0), Some(2.0 / 8.0)));
    assert_eq!((quality.client_error_rate, quality.timeout_rate), (Some(1.0 / 8.0), Some(2.0 / 8.0)));
    assert_eq!(counts(&quality.errors), [("invalid_fields", 1), ("log_slow", 1), ("overloaded", 1)]);
    assert_eq!((performance.over_budget, performance.over_budget_rate), (1, Some(0.25)));

    let response = performance.response_seconds;
    assert_eq!(response.count, 4);
    assert!(is_about(response.p50, 0.01) && is_about(response.max, 0.07) && is_about(response.mean, 0.025));
    let routes: Vec<_> = performance.routes.iter().map(|of| (of.route, of.seconds.count, of.over_budget)).collect();
    assert_eq!(routes, [("/v1/score", 4, 1), ("/v1/events", 3, 0), ("/metrics", 2, 0)]);
    let point = &snapshot.point;
    assert_eq!((point.requests, point.errors, point.response_seconds.count), (8, 2, 4));
}

#[test]
fn scores_are_told_by_mode_reason_and_what_was_decided() {
    let mut world = World::new(&["kpi.products=card", "kpi.segments=age 30"]);
    let reasons = Reasons::NONE.with(Reason::ModelTooSlow);
    world.score(25, Some("card"), Mode::Full, Reasons::NONE, Some(0.01));
    world.score(45, Some("loan"), Mode::Fallback, reasons, Some(0.99));
    world.score(45, None, Mode::Refer, reasons, None);
    // Of a batch: all three were not kept in time, and one had been as it should be.
    world.recorder.degraded(Reason::LogSlow, 3, 1);
    world.recorder.stages(&[None, Some(SECOND), None, None, None, None, None, None]);
    world.recorder.events(0, 3);
    world.recorder.events(REFUSED.start, 1);
    let snapshot = world.tick();

    let quality = &snapshot.quality;
    assert_eq!(counts(&quality.modes), [("full", 1), ("cached", 0), ("fallback", 1), ("refer", 1)]);
    assert_eq!(counts(&quality.reasons), [("model_too_slow", 2), ("log_slow", 3)]);
    assert_eq!((quality.degraded_rate, quality.events_refused_rate), (Some(1.0), Some(0.25)));
    assert_eq!(snapshot.performance.stages[0].stage, "validate");
    assert_eq!((snapshot.point.modes, snapshot.point.degraded, snapshot.point.scores), ([1, 0, 1, 1], 3, 3));

    let business = &snapshot.business;
    let window = &business.window;
    assert_eq!((window.decisions, window.approved, window.referred, window.declined), (3, 1, 1, 1));
    assert_eq!(window.predicted_default_share, Some(0.5));
    assert!(is_about(window.mean_probability, 0.5) && is_about(window.mean_confidence, 0.99));
    assert_eq!(window.bands.iter().map(|band| band.count).collect::<Vec<_>>(), [1, 1]);
    let groups = |of: &[Group]| of.iter().map(|of| (of.name.to_string(), of.decisions.decisions)).collect::<Vec<_>>();
    assert_eq!(groups(&business.products), [("card".to_owned(), 1), ("other".to_owned(), 2)]);
    assert_eq!(&*business.segments[0].field, "age");
    let ages = [("<30".to_owned(), 1), (">=30".to_owned(), 2), ("none".to_owned(), 0)];
    assert_eq!(groups(&business.segments[0].groups), ages);
}

#[test]
fn vectors_are_compared_with_training_unless_their_history_was_missing() {
    let mut world = World::new(&["kpi.drift_rows=3"]);
    world.score(25, None, Mode::Full, Reasons::NONE, Some(0.2));
    world.score(25, None, Mode::Fallback, Reasons::NONE.with(Reason::ModelFailed), Some(0.2));
    world.score(25, None, Mode::Fallback, Reasons::NONE.with(Reason::HistoryUnavailable), Some(0.2));
    let model = world.tick().model;
    assert_eq!((model.samples, model.scores.samples, &*model.hash), (2, 1, world.bundle.hash()));

    // No more than so many a second.
    (0..9).for_each(|_| world.score(25, None, Mode::Full, Reasons::NONE, Some(0.2)));
    assert_eq!(world.tick().model.samples, 5);
}

#[test]
fn lookups_are_those_of_the_window() {
    let mut world = World::new(&["kpi.window=10s"]);
    world.cache = CacheStatus { hits: [100, 0], misses: [100, 50], l1_entries: 9 };
    let quality = world.tick().quality;
    assert_eq!((quality.cache_hit_rate, quality.cache[0].hit_rate), (Some(0.5), Some(0.5)));
    for _ in 0..10 {
        world.tick();
    }
    world.cache.hits = [101, 1];
    world.cache.misses = [102, 51];
    let snapshot = world.tick();
    assert_eq!((snapshot.quality.cache[0].hits, snapshot.quality.cache[0].misses), (1, 2));
    assert_eq!((snapshot.quality.cache_hit_rate, snapshot.point.cache_hit_rate), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
    // What the first level missed a second ago, the second makes good.
    world.cache.hits = [101, 2];
    let snapshot = world.tick();
    assert_eq!((snapshot.quality.cache_hit_rate, snapshot.point.cache_hit_rate), (Some(1.0), Some(1.0)));
}

#[test]
fn what_is_older_than_the_window_is_told_no_more_and_the_day_goes_on_until_midnight() {
    let mut world = World::new(&["kpi.window=10s"]);
    world.score(25, None, Mode::Full, Reasons::NONE, Some(0.2));
    world.answer(0, 200, None, 10);
    let before = world.tick();
    assert_eq!((before.business.today.decisions, before.business.today_since), (1, NOW));

    // The second that midnight ends is of the day that begins.
    world.score(25, None, Mode::Full, Reasons::NONE, Some(0.2));
    let after = world.tick();
    assert_eq!((after.business.today.decisions, after.business.window.decisions), (1, 2));
    assert_eq!(after.business.today_since.to_string(), "2026-01-16T00:00:00Z");

    let last = (0..11).map(|_| world.tick()).last().unwrap();
    assert_eq!((last.business.today.decisions, last.business.window.decisions), (1, 0));
    assert_eq!((last.quality.requests, last.performance.response_seconds.count, last.window_seconds), (0, 0, 10.0));
    assert_eq!(last.point.requests, 0);
}

#[test]
fn delay_of_a_loop_is_the_longest_that_it_told_or_that_of_its_standing_still() {
    let world = World::new(&[]);
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let delay = |now| world.recorders.take(&mut Interval::new(world.recorders.scheme().extent), now).delay.as_millis();
    // A thread without a loop stands still for ever.
    assert_eq!(delay(at(5_000)), 0);
    world.recorder.load(Duration::from_millis(30), 1, at(100));
    world.recorder.load(Duration::from_millis(2), 3, at(200));
    assert_eq!([delay(at(150)), delay(at(190)), delay(at(1_700)), delay(at(2_700))], [30, 0, 1_500, 2_500]);
    world.recorder.load(Duration::from_millis(2_600), 0, at(2_900));
    assert_eq!([delay(at(2_850)), delay(at(2_850))], [2_600, 0]);
}

#[test]
fn nothing_is_lost_or_counted_twice_while_seconds_are_taken() {
    const EACH: u64 = 20_000;
    let world = World::new(&[]);
    let mut total = Interval::new(world.recorders.scheme().extent);
    let recorders: Vec<_> = (0..3).map(|_| world.recorders.open()).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = recorders
            .into_iter()
            .map(|recorder| {
                scope.spawn(move || {
                    for number in 0..EACH {
                        let took = Some(Duration::from_nanos(number + 1));
                        recorder.answered(&Answered { route: 0, status: 200, code: None, took, budget: None });
                    }
                })
            })
            .collect();
        let until = Instant::now() + Duration::from_secs(60);
        while !threads.iter().all(|thread| thread.is_finished()) && Instant::now() < until {
            world.recorders.take(&mut total, Instant::now());
        }
    });
    world.recorders.take(&mut total, Instant::now());
    assert_eq!((total.counts.requests, total.route(0).times.count()), (3 * EACH, 3 * EACH));
}
