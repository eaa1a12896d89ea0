//! cauce-features: a person's history, one event later, and the exact features of it at any instant.
//!
//! Two functions carry everything:
//!
//! ```text
//! Timeline::apply(&plan, &event)                     -> Applied        a person's history, one event later
//! FeaturePlan::vector(&timeline, &application, as_of) -> FeatureVector  a pure read at an instant
//! ```
//!
//! The crate is pure: no clock, no files, no network, no async runtime. Time is an argument. That is what makes the
//! training table, the served vector and every replay the same bits (invariants F1 and F2 of ARCHITECTURE.md).
//!
//! Reading order: [`spec`] (what a user writes) → [`event`], [`application`] (raw record to valid value) → [`plan`] (the
//! specification compiled) → [`timeline`] (the set of events) → [`vector`] (the pure read).

mod aggregate;
pub mod application;
pub mod event;
pub mod expression;
pub mod fixed;
pub mod nearest;
pub mod plan;
pub mod record;
pub mod spec;
mod streams;
pub mod time;
pub mod timeline;
pub mod vector;
mod window;
