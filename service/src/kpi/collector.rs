//! Makes the snapshot of each second: what all threads recorded, added to the window and the day, beside what was read of the service.
//!
//! A function of its arguments and what it was given before: neither clock nor file is known here.

use std::sync::Arc;
use std::time::Duration;

use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;

use super::decisions::Sums;
use super::drift::Comparison;
use super::interval::Interval;
use super::percentiles::Times;
use super::recorder::Scheme;
use super::snapshot::*;
use super::window::Window;
use crate::cache::{self, CacheStatus};
use crate::config;
use crate::degrade::{MODES, REASONS};
use crate::error::CODES;
use crate::metrics::{REFUSED, STAGES};

const DAY_MS: i64 = 86_400_000;

/// A row of the table of routes, as KPIs tell it.
#[derive(Debug, Clone, Copy)]
pub struct RouteRow {
    pub method: &'static str,
    pub path: &'static str,
    /// Whether one application is scored there.
    pub scores: bool,
}

/// What was read of the service when the second ended.
#[derive(Debug, Clone)]
pub struct Readings {
    pub uptime: Duration,
    pub resources: Resources,
    /// Counts since the start.
    pub cache: CacheStatus,
    /// What is served.
    pub bundle: Arc<Bundle>,
}

/// What snapshots are made of.
pub struct Collector {
    routes: Vec<RouteRow>,
    scheme: Arc<Scheme>,
    names: Names,
    window: Window,
    comparison: Comparison,
    today: Sums,
    today_since: Timestamp,
    cache: CacheStatus,
    scratch: Times,
}

/// What is counted by name.
struct Names {
    codes: Vec<Arc<str>>,
    modes: Vec<Arc<str>>,
    reasons: Vec<Arc<str>>,
}

impl Collector {
    /// Begins at an instant, with nothing recorded and the cache as it is. `routes` are those of the scheme, in order.
    pub fn new(
        settings: &config::Kpi,
        scheme: Arc<Scheme>,
        routes: Vec<RouteRow>,
        cache: CacheStatus,
        now: Timestamp,
    ) -> Self {
        Self {
            routes,
            names: Names {
                codes: CODES.iter().map(|row| row.name.into()).collect(),
                modes: MODES.iter().map(|(_, name)| (*name).into()).collect(),
                reasons: REASONS.iter().map(|(_, name)| (*name).into()).collect(),
            },
            window: Window::new(settings.window.get(), scheme.extent),
            comparison: Comparison::new(settings),
            scheme,
            today: Sums::default(),
            today_since: now,
            cache,
            scratch: Times::default(),
        }
    }

    /// The snapshot at the end of a second, or of so much time since the last one. `second` is what was recorded meanwhile.
    pub fn tick(&mut self, now: Timestamp, elapsed: Duration, second: &mut Interval, readings: Readings) -> Snapshot {
        let Readings { uptime, resources, cache, bundle } = readings;
        for level in 0..cache::LEVELS.len() {
            second.counts.hits[level] += cache.hits[level] - self.cache.hits[level];
            second.counts.misses[level] += cache.misses[level] - self.cache.misses[level];
        }
        self.cache = cache;
        let midnight = Timestamp::from_millis(now.millis() - now.millis().rem_euclid(DAY_MS));
        if self.today_since < midnight {
            (self.today, self.today_since) = (Sums::default(), midnight);
        }
        self.today.add(&second.groups[0]);
        self.window.push(second, elapsed);
        self.comparison.follow(&bundle);
        self.comparison.advance(elapsed);
        second.rows.of(&bundle).for_each(|(vector, probability)| self.comparison.add(vector, probability));
        Snapshot {
            timestamp: now,
            uptime_seconds: uptime.as_secs_f64(),
            window_seconds: self.window.covered().as_secs_f64(),
            performance: self.performance(),
            quality: self.quality(),
            business: self.business(),
            model: self.model(&bundle),
            point: self.point(now, elapsed, second, &resources),
            resources,
            ..Snapshot::default()
        }
    }

    fn performance(&mut self) -> Performance {
        let Self { routes, window, scratch, .. } = self;
        let (total, seconds) = (window.total(), window.covered().as_secs_f64());
        let counts = &total.counts;
        let asked = routes.iter().zip(&total.routes).filter_map(|(row, route)| {
            let route = route.as_ref().filter(|route| route.times.count() > 0)?;
            Some(RouteKpis {
                method: row.method,
                route: row.path,
                per_second: rate(route.times.count(), seconds),
                over_budget: route.over_budget,
                seconds: route.times.percentiles(),
            })
        });
        let stages = STAGES.iter().zip(&total.stages).filter_map(|((_, stage), times)| {
            let times = times.as_ref().filter(|times| times.count() > 0)?;
            Some(StageKpis { stage, seconds: times.percentiles() })
        });
        Performance {
            requests_per_second: rate(counts.requests, seconds),
            scores_per_second: rate(total.scores(), seconds),
            response_seconds: responses(routes, total, scratch),
            over_budget: counts.over_budget,
            over_budget_rate: share(counts.over_budget, counts.budgeted),
            routes: asked.collect(),
            stages: stages.collect(),
        }
    }

    fn quality(&self) -> Quality {
        let (total, names) = (self.window.total(), &self.names);
        let counts = &total.counts;
        let (requests, events) = (counts.requests, counts.events.iter().sum());
        let level = |(level, name): (usize, &&'static str)| {
            let (hits, misses) = (counts.hits[level], counts.misses[level]);
            CacheKpis { level: name, hits, misses, hit_rate: share(hits, hits + misses) }
        };
        Quality {
            requests,
            success_rate: share(requests - counts.errors - counts.client_errors, requests),
            error_rate: share(counts.errors, requests),
            client_error_rate: share(counts.client_errors, requests),
            timeout_rate: share(counts.timeouts, requests),
            errors: named(&names.codes, &counts.codes).filter(|count| count.count > 0).collect(),
            degraded_rate: share(counts.degraded, total.scores()),
            modes: named(&names.modes, &counts.modes).collect(),
            reasons: named(&names.reasons, &counts.reasons).filter(|count| count.count > 0).collect(),
            cache: cache::LEVELS.iter().enumerate().map(level).collect(),
            cache_hit_rate: counts.cache_hit_rate(),
            events,
            events_refused_rate: share(counts.events[REFUSED].iter().sum(), events),
        }
    }

    fn business(&self) -> Business {
        let (bands, groups) = (&self.scheme.bands.names(), &self.scheme.groups);
        let mut sums = self.window.total().groups.iter().map(|sums| sums.told(bands));
        let window = sums.next().unwrap_or_default();
        // In the order in which the scheme counts them.
        let mut group = |name: &Arc<str>| Group { name: name.clone(), decisions: sums.next().unwrap_or_default() };
        Business {
            today: self.today.told(bands),
            today_since: self.today_since,
            window,
            products: groups.products().iter().map(&mut group).collect(),
            segments: groups
                .segments()
                .iter()
                .map(|segment| Segment {
                    field: segment.field.clone(),
                    groups: segment.groups.iter().map(&mut group).collect(),
                })
                .collect(),
        }
    }

    fn model(&self, bundle: &Bundle) -> Model {
        Model {
            name: bundle.name().into(),
            version: bundle.version().into(),
            hash: bundle.hash().into(),
            scores: self.comparison.scores(),
            drift: self.comparison.features(),
            samples: self.comparison.samples(),
        }
    }

    fn point(&mut self, timestamp: Timestamp, lasted: Duration, second: &Interval, resources: &Resources) -> Point {
        let counts = &second.counts;
        Point {
            timestamp,
            seconds: lasted.as_secs_f64(),
            requests: counts.requests,
            scores: second.scores(),
            errors: counts.errors,
            degraded: counts.degraded,
            response_seconds: responses(&self.routes, second, &mut self.scratch),
            modes: counts.modes,
            cache_hit_rate: counts.cache_hit_rate(),
            mean_confidence: second.groups[0].mean_confidence(),
            cpu_ratio: resources.cpu_ratio,
            memory_ratio: resources.memory_ratio,
            open_connections: resources.open_connections,
            in_flight: resources.in_flight,
            queue_records: resources.queue_records,
            event_loop_delay_seconds: resources.event_loop_delay_seconds,
            lag_seconds: resources.kafka.map(|kafka| kafka.lag_seconds),
        }
    }
}

/// How long the routes took that score one application.
fn responses(routes: &[RouteRow], interval: &Interval, scratch: &mut Times) -> Percentiles {
    scratch.clear();
    for (_, route) in routes.iter().zip(&interval.routes).filter(|(row, _)| row.scores) {
        if let Some(route) = route {
            scratch.add(&route.times);
        }
    }
    scratch.percentiles()
}

fn named<'n>(names: &'n [Arc<str>], counts: &'n [u64]) -> impl Iterator<Item = Count> + 'n {
    names.iter().zip(counts).map(|(name, count)| Count { name: name.clone(), count: *count })
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests;
