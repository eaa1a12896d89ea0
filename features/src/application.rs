//! A loan application: raw record to valid value, parsed once at the edge.

use crate::event::EventId;

/// A valid application.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    person: String,
    id: EventId,
    values: Vec<i64>,
}

impl Application {
    /// Whose application it is; empty for nobody known.
    pub fn person(&self) -> &str {
        &self.person
    }

    /// The identity under which it is recorded as an event; the read never counts it for itself.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Its raw values in declared order, [`crate::fixed::MISSING`] where not given.
    pub fn values(&self) -> &[i64] {
        &self.values
    }
}
