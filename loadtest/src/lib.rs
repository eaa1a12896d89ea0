//! What offers load to a scorer, and makes up the people that the load is about.
//!
//! **The load is open**: when each request is due is fixed before the run by [`schedule`], as requests of many independent people are, and
//! latency counts from that instant. A generator that waits for an answer before it sends the next request asks a stalled service less
//! often, and so leaves out just the requests that would have waited ("coordinated omission", Gil Tene, *How NOT to Measure Latency*).
//!
//! Read in this order:
//!
//! 1. [`scenario`]: the TOML file that says what is offered, and how long.
//! 2. [`schedule`]: when requests are due. [`traffic`]: what they are; each is made from its number, so any thread can make any of them.
//! 3. [`drive`]: sends them, reads the answers, measures; and how late it was itself.
//! 4. [`outcome`]: what came of it, and which of it can be reported. [`limits`]: what was asked of it.
//!    [`search`] finds the highest rate that keeps to limits, [`watch`] what the service uses meanwhile and [`trend`] whether that grows, [`report`] tells all of it.
//! 5. [`cli`]: the command that puts these together, and how it ends.
//! 6. [`simulate`]: people with a hidden propensity to default, their events and applications.

pub mod cli;
pub mod drive;
pub mod duration;
pub mod limits;
pub mod machine;
pub mod outcome;
pub mod progress;
pub mod random;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod simulate;
pub mod traffic;
pub mod trend;
pub mod watch;
