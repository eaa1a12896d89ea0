//! What Cauce promises from outside: each test runs the real `cauce`, on free ports and in a directory of its own.

#![allow(clippy::unwrap_used)]

/// Runs the binary, holds a server, keeps a directory.
mod support;

/// Alerts: fired, resolved, and told to webhooks.
mod alerts;
/// `cauce backfill`: the training table, point in time.
mod backfill;
/// `cauce check` and `cauce score`: the bundles that ship.
mod bundles;
/// The command line itself: health, wrong arguments.
mod commands;
/// The page at `/` in a real browser.
mod dashboard;
/// What was acknowledged, whatever happens to the process and the disk.
mod durable;
/// Connections, overload and the end of the process.
mod edge;
/// Every answer in time and true, whatever is slow or broken.
mod faults;
/// `cauce serve`: every route, and what is refused.
mod http;
/// `cauce serve` as one of a group of instances at a real Kafka.
mod kafka;
/// How the service says how it does: once, live, and in the words of the Ahorro Valle front-end.
mod kpis;
/// The load test against a real service, and what it tells.
mod loadtest;
/// Lines of the log and spans: whom they name, and whom they never do.
mod logs;
/// What Prometheus and Grafana are given.
mod metrics;
/// Another bundle in service while requests come, and back.
mod reload;
