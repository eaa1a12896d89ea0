//! The `cauce` service as a library, so that benchmarks run what the binary runs: it scores default risk over HTTP, and does
//! offline what the service does online.
//!
//! Reading order: `scoring` (an application's way), `degrade` and `scoring::ladder` (how it is answered in time) → `ingest` (a record's way) →
//! `log` (where it is safe) and `store` (what it becomes) → `http` (what both look like from outside; `http::single` first) → `app` (what
//! holds it together). Only `app` sees everything; `scoring`, `degrade` and `ingest` know neither HTTP nor a clock.

#![allow(
    unreachable_pub,
    reason = "in a binary's own library `pub` only says which items a module means for the others"
)]

mod admission;
mod alerts;
pub mod app;
mod breaker;
mod cache;
pub mod cli;
mod clock;
pub mod config;
mod deadline;
mod degrade;
mod error;
mod grafana;
mod http;
mod ingest;
mod kafka;
mod keeper;
mod kpi;
mod ledger;
mod limits;
mod log;
mod logging;
mod machine;
mod metrics;
mod offline;
mod outgoing;
mod reload;
mod scoring;
mod serving;
mod shelf;
mod store;
mod stream;
mod tally;
mod trace;
mod watchdog;

#[doc(hidden)]
pub use kpi::accuracy::percentile_error_max;
