//! The load test: a real run against a real service, told.

/// The command: its runs, and how they end.
mod command;
/// The page, in a real browser.
mod report;
