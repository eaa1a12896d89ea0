//! What is counted where requests are let in. [`EDGE_FAMILIES`] is its table of names, as [`super::FAMILIES`] is of the rest.

use std::time::Duration;

use metrics::{Counter, Gauge};

use super::{Family, Metrics, counter, gauge};
use crate::admission::{Class, Reason};
use crate::http::connection::Slow;

const REFUSED: &str = "cauce_requests_refused_total";
const DELAY: &str = "cauce_event_loop_delay_seconds";
const SHARE: &str = "cauce_refusal_probability";
const SLOW: &str = "cauce_slow_clients_total";
const CONNECTIONS: &str = "cauce_http_connections";
const LIVE: &str = "cauce_live_clients";
const IN_FLIGHT: &str = "cauce_requests_in_flight";

/// Every family there is of the edge, beside the others.
pub const EDGE_FAMILIES: [Family; 7] = [
    counter(REFUSED, "Requests refused before they were begun, by class and reason.").by(&["class", "reason"]),
    gauge(DELAY, "How late an event loop last ran by its own work, by worker.").by(&["worker"]),
    gauge(SHARE, "The share of interactive requests that is refused for overload, by worker.").by(&["worker"]),
    counter(SLOW, "Connections closed on clients that took too long, by what for.").by(&["kind"]),
    gauge(CONNECTIONS, "Open connections, by worker.").by(&["worker"]),
    gauge(LIVE, "Clients that follow live KPIs."),
    gauge(IN_FLIGHT, "Requests that hold a permit, by worker.").by(&["worker"]),
];

/// A handle on every series of one worker; counters are those of all.
pub struct EdgeMetrics {
    refused: [[Counter; Reason::ALL.len()]; Class::ALL.len()],
    slow: [Counter; Slow::ALL.len()],
    delay: Gauge,
    share: Gauge,
    in_flight: Gauge,
    connections: Gauge,
    live: Gauge,
}

impl EdgeMetrics {
    /// All series at zero, on the page of the others.
    pub fn new(metrics: &Metrics, worker: usize) -> Self {
        let worker = worker.to_string();
        let gauge = |name: &'static str| metrics::gauge!(name, "worker" => worker.clone());
        let reasons = |class: Class| {
            let of =
                |reason: Reason| metrics::counter!(REFUSED, "class" => class.as_str(), "reason" => reason.as_str());
            Reason::ALL.map(of)
        };
        metrics.register(|| Self {
            refused: Class::ALL.map(reasons),
            slow: Slow::ALL.map(|kind| metrics::counter!(SLOW, "kind" => kind.as_str())),
            delay: gauge(DELAY),
            share: gauge(SHARE),
            in_flight: gauge(IN_FLIGHT),
            connections: gauge(CONNECTIONS),
            live: metrics::gauge!(LIVE),
        })
    }

    /// Counts a refused request.
    pub fn refused(&self, class: Class, reason: Reason) {
        self.refused[class as usize][reason as usize].increment(1);
    }

    /// Counts a connection that was closed on a slow client.
    pub fn slow(&self, kind: Slow) {
        self.slow[kind as usize].increment(1);
    }

    /// How the worker stands.
    pub fn load(&self, late: Duration, share: f64, in_flight: usize, connections: usize, live: usize) {
        self.delay.set(late.as_secs_f64());
        self.share.set(share);
        self.in_flight.set(in_flight as f64);
        self.connections.set(connections as f64);
        self.live.set(live as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogStatus;
    use crate::metrics::Held;

    #[test]
    fn every_family_of_the_table_is_on_the_page_once_and_labels_stand_in_their_order() {
        let metrics = Metrics::new(&[], [("name", ""), ("version", ""), ("hash", "")]);
        let (one, other) = (EdgeMetrics::new(&metrics, 0), EdgeMetrics::new(&metrics, 1));
        one.refused(Class::Batch, Reason::Permits);
        other.refused(Class::Batch, Reason::Permits);
        other.slow(Slow::Write);
        let page = metrics.render(&Held::default(), &LogStatus::default(), &crate::scoring::Guards::for_tests());
        for family in &EDGE_FAMILIES {
            assert_eq!(
                page.matches(&format!("# TYPE {} {}\n", family.name, family.kind)).count(),
                1,
                "{}",
                family.name
            );
        }
        assert!(page.contains("cauce_requests_refused_total{class=\"batch\",reason=\"permits\"} 2\n"), "{page}");
        assert!(page.contains("cauce_slow_clients_total{kind=\"write\"} 1\n"), "{page}");
    }
}
