//! The commands that work without a server.

mod health;

pub(crate) use health::Health;
