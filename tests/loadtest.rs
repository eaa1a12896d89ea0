//! The load test: a real run against a real service, told.

/// The page, in a real browser.
mod report;
