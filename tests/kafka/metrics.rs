//! The metrics page of an instance with Kafka.

use super::{Group, record};
use crate::metrics::assert_conventions;
use crate::support::history::{application, payment};

#[test]
fn what_is_shown_with_kafka_keeps_to_the_conventions_of_prometheus() {
    let group = Group::start("metrics", &[]);
    group.events([record(&payment("c-1", "1", "2026-06-10T12:00:00Z", 0), 0)]);
    group.score(record(&application("c-1", "a"), 1));
    let page = group.server.get("/metrics").text();
    assert!(page.contains("# TYPE cauce_kafka_lag_records gauge\n"), "{page}");
    assert_conventions(&page);
}
