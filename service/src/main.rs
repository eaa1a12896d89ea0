//! The `cauce` binary: scores default risk over HTTP, and does offline what the service does online.
//!
//! Reading order: `scoring` (an application's way) → `ingest` (an event's way) →
//! `http` (what both look like from outside) → `app` (what holds it together). Only `app`
//! sees everything; `scoring` and `ingest` know neither HTTP nor a clock.

#![allow(unreachable_pub, reason = "in a binary `pub` only says which items a module means for the others")]

mod app;
mod cli;
mod clock;
mod config;
mod error;
mod http;
mod ingest;
mod log;
mod metrics;
mod offline;
mod scoring;
mod store;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
