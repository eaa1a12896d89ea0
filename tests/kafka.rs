//! `cauce serve` at a real Kafka: what goes in, what comes out, and what stays the same whatever is killed.

/// The broker of these tests is what it has to be.
mod broker;
