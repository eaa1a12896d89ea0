//! A loan application: raw record to valid value, parsed once at the edge.

use crate::event::{Event, EventId};
use crate::record::{Envelope, EnvelopeKind, FieldError, RecordErrors, Unknown};
use crate::spec::Specification;
use crate::time::Timestamp;

/// A valid application.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// The person's id and, behind it, the application's: one allocation for both.
    ids: String,
    person_bytes: usize,
    id: EventId,
    values: Vec<i64>,
}

/// An application of a stream: when it stood, if it says so, and whether it may wait.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedApplication {
    pub application: Application,
    pub as_of: Option<Timestamp>,
    pub high_priority: bool,
}

/// An application of a history file: when it stood, and how it ended if that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoricApplication {
    pub application: Application,
    pub as_of: Timestamp,
    /// Whether the loan defaulted.
    pub label: Option<bool>,
}

impl Application {
    /// Reads `{"person_id"?, "application_id"?, "application": {…}}`: valid, or every wrong field at once. An application
    /// without an id takes `id_if_absent`, which the caller makes from the request's.
    pub fn from_json(specification: &Specification, json: &[u8], id_if_absent: &str) -> Result<Self, RecordErrors> {
        Envelope::read(specification, json, EnvelopeKind::Application, id_if_absent).map(Self::from_envelope)
    }

    /// Reads the fields alone, for an adapter whose envelope is another: `person` may be empty, for nobody known.
    pub fn from_fields(
        specification: &Specification,
        person: &str,
        id: &str,
        fields: &[u8],
        unknown: Unknown,
    ) -> Result<Self, RecordErrors> {
        let wrong_id = |path: &str, error| RecordErrors::Fields(vec![FieldError::id(path, error)]);
        if !person.is_empty() {
            crate::record::check_id(person).map_err(|error| wrong_id("person_id", error))?;
        }
        let event_id = EventId::parse(id).map_err(|error| wrong_id("application_id", error))?;
        let values = specification.application.read(fields, unknown)?;
        Ok(Self { ids: format!("{person}{id}"), person_bytes: person.len(), id: event_id, values })
    }

    /// An application whose parts are already valid: `values` in declared order, [`crate::fixed::MISSING`] where not given.
    pub fn new(person: &str, id: EventId, values: Vec<i64>) -> Self {
        Self { ids: person.to_owned(), person_bytes: person.len(), id, values }
    }

    /// The same application, of the person who stands beside it in a stream.
    pub fn of_person(self, person: &str) -> Self {
        let ids = format!("{person}{}", self.id_text());
        Self { ids, person_bytes: person.len(), ..self }
    }

    fn from_envelope(envelope: Envelope) -> Self {
        let Envelope { ids, person_bytes, id, values, .. } = envelope;
        Self { ids, person_bytes, id, values }
    }

    /// The event of type `application` as which it is recorded when it is scored, without the protected fields.
    pub fn as_event(&self, specification: &Specification, as_of: Timestamp) -> Event {
        let fields = &specification.application.fields;
        let values = fields.iter().zip(&self.values).filter(|(field, _)| !field.protected).map(|(_, value)| *value);
        let kind = specification.application_event();
        Event::with_ids(self.ids.clone(), self.person_bytes, self.id, as_of, kind, values.collect())
    }

    /// Whose application it is; empty for nobody known.
    pub fn person(&self) -> &str {
        &self.ids[..self.person_bytes]
    }

    /// The identity under which it is recorded as an event; the read never counts it for itself.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Its id as it was given; empty for an application that was not read from a record.
    pub fn id_text(&self) -> &str {
        &self.ids[self.person_bytes..]
    }

    /// Its raw values in declared order, [`crate::fixed::MISSING`] where not given.
    pub fn values(&self) -> &[i64] {
        &self.values
    }
}

impl HistoricApplication {
    /// Reads an application with `as_of` and, optionally, `label` (0 or 1) beside it.
    pub fn from_json(specification: &Specification, json: &[u8], id_if_absent: &str) -> Result<Self, RecordErrors> {
        let envelope = Envelope::read(specification, json, EnvelopeKind::HistoricApplication, id_if_absent)?;
        let (as_of, label) = (envelope.time.expect("a history without a time is refused"), envelope.label);
        Ok(Self { application: Application::from_envelope(envelope), as_of, label })
    }
}

impl StreamedApplication {
    /// Reads an application with, optionally, `as_of` and `priority` (`high` or `normal`) beside it.
    pub fn from_json(specification: &Specification, json: &[u8], id_if_absent: &str) -> Result<Self, RecordErrors> {
        let envelope = Envelope::read(specification, json, EnvelopeKind::StreamedApplication, id_if_absent)?;
        let (as_of, high_priority) = (envelope.time, envelope.high_priority);
        Ok(Self { application: Application::from_envelope(envelope), as_of, high_priority })
    }
}
