//! What stands around a record: whose it is, which one, and when.

use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::object::{Errors, Key, Members, Object, kind_of, not_an_object, read_object, shown, text};
use super::{FieldCode, FieldError, RecordErrors, Unknown, check_id, value};
use crate::event::EventId;
use crate::fixed::MISSING;
use crate::nearest::nearest;
use crate::spec::Specification;
use crate::time::{TimeError, Timestamp};

/// Which keys stand around a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnvelopeKind {
    Event,
    HistoricEvent,
    Application,
    HistoricApplication,
    StreamedApplication,
}

/// A record with what stands around it, all valid. What its kind does not carry is empty.
pub(crate) struct Envelope {
    /// The person's id and, behind it, the record's.
    pub(crate) ids: String,
    pub(crate) person_bytes: usize,
    pub(crate) id: EventId,
    /// There where it has to be.
    pub(crate) time: Option<Timestamp>,
    pub(crate) arrived_at: Option<Timestamp>,
    pub(crate) label: Option<bool>,
    pub(crate) high_priority: bool,
    pub(crate) event_type: usize,
    pub(crate) values: Vec<i64>,
}

impl Envelope {
    pub(crate) fn read(
        specification: &Specification,
        json: &[u8],
        kind: EnvelopeKind,
        id_if_absent: &str,
    ) -> Result<Self, RecordErrors> {
        let mut reader = Reader::new(specification, kind);
        read_object(json, &mut reader)?;
        reader.finish(id_if_absent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Person,
    Id,
    Type,
    Time,
    ArrivedAt,
    Label,
    Priority,
    Record,
}

/// A key of an envelope, and whether it has to be there.
struct Member {
    key: &'static str,
    part: Part,
    required: bool,
}

const fn member(key: &'static str, part: Part, required: bool) -> Member {
    Member { key, part, required }
}

/// The last of each list belong to history files only.
const EVENT: [Member; 6] = [
    member("person_id", Part::Person, true),
    member("event_id", Part::Id, true),
    member("type", Part::Type, true),
    member("time", Part::Time, true),
    member("data", Part::Record, true),
    member("arrived_at", Part::ArrivedAt, false),
];
const APPLICATION: [Member; 5] = [
    member("person_id", Part::Person, false),
    member("application_id", Part::Id, false),
    member("application", Part::Record, true),
    member("as_of", Part::Time, true),
    member("label", Part::Label, false),
];

/// Of a stream, where the record's own time may stand for `as_of`.
const STREAMED: [Member; 5] = [
    member("person_id", Part::Person, false),
    member("application_id", Part::Id, false),
    member("application", Part::Record, true),
    member("as_of", Part::Time, false),
    member("priority", Part::Priority, false),
];

impl EnvelopeKind {
    fn all_members(self) -> &'static [Member] {
        match self {
            Self::Event | Self::HistoricEvent => &EVENT,
            Self::Application | Self::HistoricApplication => &APPLICATION,
            Self::StreamedApplication => &STREAMED,
        }
    }

    fn members(self) -> &'static [Member] {
        match self {
            Self::Event => &EVENT[..5],
            Self::Application => &APPLICATION[..3],
            Self::HistoricEvent | Self::HistoricApplication | Self::StreamedApplication => self.all_members(),
        }
    }

    fn is_application(self) -> bool {
        !matches!(self, Self::Event | Self::HistoricEvent)
    }

    fn record_key(self) -> &'static str {
        if self.is_application() { "application" } else { "data" }
    }
}

struct Reader<'s, 'de> {
    specification: &'s Specification,
    kind: EnvelopeKind,
    errors: Errors,
    seen: u8,
    person: Cow<'de, str>,
    id: Option<(EventId, Cow<'de, str>)>,
    event_type: Option<usize>,
    /// A record that came before its type.
    waiting: Option<&'de RawValue>,
    time: Option<Timestamp>,
    arrived_at: Option<Timestamp>,
    label: Option<bool>,
    high_priority: bool,
    values: Vec<i64>,
}

impl<'de> Members<'de> for Reader<'_, 'de> {
    fn members<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let members = self.kind.members();
        let find = |key: &str| members.iter().position(|member| member.key == key).ok_or_else(|| shown(key));
        while let Some(found) = map.next_key_seed(Key(find))? {
            let index = match found {
                Ok(index) => index,
                Err(key) => {
                    map.next_value::<IgnoredAny>()?;
                    self.refuse_unknown(key);
                    continue;
                }
            };
            let member = &members[index];
            if self.seen >> index & 1 == 1 {
                map.next_value::<IgnoredAny>()?;
                self.refuse(member.key, FieldCode::DuplicateField, "once more", "the field once");
                continue;
            }
            self.seen |= 1 << index;
            match (member.part, self.event_type) {
                (Part::Record, Some(event_type)) => map.next_value_seed(Object(&mut self.fields(event_type)))?,
                (Part::Record, None) => self.waiting = Some(map.next_value()?),
                _ => self.part(member, map.next_value::<&'de RawValue>()?.get()),
            }
        }
        Ok(())
    }

    fn not_an_object(&mut self, given: &'static str) {
        self.seen = u8::MAX;
        self.errors.push(not_an_object("", given));
    }
}

impl<'s, 'de> Reader<'s, 'de> {
    fn new(specification: &'s Specification, kind: EnvelopeKind) -> Self {
        Self {
            specification,
            kind,
            errors: Errors::default(),
            seen: 0,
            person: Cow::Borrowed(""),
            id: None,
            event_type: kind.is_application().then(|| specification.application_event()),
            waiting: None,
            time: None,
            arrived_at: None,
            label: None,
            high_priority: false,
            values: Vec::new(),
        }
    }

    /// Where the record's values go.
    fn fields(&mut self, event_type: usize) -> Fields<'_> {
        let specification = self.specification;
        let record = match self.kind.is_application() {
            true => &specification.application,
            false => &specification.events[event_type].record,
        };
        self.values = vec![MISSING; record.fields.len()];
        Fields {
            record,
            unknown: Unknown::Refuse,
            path: self.kind.record_key(),
            values: &mut self.values,
            errors: &mut self.errors,
        }
    }

    fn part(&mut self, member: &Member, raw: &'de str) {
        let Member { key, part, required } = *member;
        if raw == "null" {
            if required {
                self.refuse(key, FieldCode::MissingField, "null", part.expected());
            }
            return;
        }
        if part == Part::Label {
            match raw {
                "0" => self.label = Some(false),
                "1" => self.label = Some(true),
                _ => self.refuse(key, FieldCode::OutOfRange, kind_of(raw), part.expected()),
            }
            return;
        }
        match text(raw) {
            Some(text) => self.text_part(key, part, text),
            None => self.refuse(key, FieldCode::WrongType, kind_of(raw), part.expected()),
        }
    }

    fn text_part(&mut self, key: &'static str, part: Part, text: Cow<'de, str>) {
        match part {
            Part::Person => match check_id(&text) {
                Ok(()) => self.person = text,
                Err(error) => self.errors.push(FieldError::id(key, error)),
            },
            Part::Id => match EventId::parse(&text) {
                Ok(id) => self.id = Some((id, text)),
                Err(error) => self.errors.push(FieldError::id(key, error)),
            },
            Part::Type => self.event_type(&text),
            Part::Time | Part::ArrivedAt => match Timestamp::parse(&text) {
                Ok(time) if part == Part::Time => self.time = Some(time),
                Ok(time) => self.arrived_at = Some(time),
                Err(error) => self.refuse_time(key, error),
            },
            Part::Priority => match &*text {
                "high" => self.high_priority = true,
                "normal" => self.high_priority = false,
                _ => self.refuse(key, FieldCode::NotInList, "text that is not in the list", part.expected()),
            },
            Part::Label | Part::Record => {}
        }
    }

    fn event_type(&mut self, name: &str) {
        self.event_type = self.specification.event_type(name);
        if self.event_type.is_none() {
            let names = || self.specification.events.iter().map(|event| event.name.as_str());
            let expected =
                if names().len() <= 12 { value::listed(names()) } else { format!("{} types", names().len()) };
            self.errors.push(FieldError {
                path: "type".into(),
                code: FieldCode::NotInList,
                given: "text that is not in the list",
                expected: format!("one of {expected}"),
                suggestion: nearest(name, names()).map(str::to_owned),
            });
        }
    }

    fn finish(mut self, id_if_absent: &'de str) -> Result<Envelope, RecordErrors> {
        let members = self.kind.members();
        for (index, member) in members.iter().enumerate() {
            if member.required && self.seen >> index & 1 == 0 {
                self.refuse(member.key, FieldCode::MissingField, "absent", member.part.expected());
            }
        }
        // Without its type a record cannot be judged.
        if let (Some(raw), Some(event_type)) = (self.waiting, self.event_type) {
            read_object(raw.get().as_bytes(), &mut self.fields(event_type))?;
        }
        if self.id.is_none() && self.kind.is_application() {
            self.text_part("application_id", Part::Id, Cow::Borrowed(id_if_absent));
        }
        let Self { errors, person, id, time, arrived_at, label, high_priority, event_type, values, .. } = self;
        let (Some((id, id_text)), Some(event_type)) = (id, event_type) else {
            return Err(errors.refusal());
        };
        let person_bytes = person.len();
        let mut ids = String::with_capacity(person.len() + id_text.len());
        ids.push_str(&person);
        ids.push_str(&id_text);
        errors.or(Envelope { ids, person_bytes, id, time, arrived_at, label, high_priority, event_type, values })
    }

    #[cold]
    fn refuse(&mut self, key: &str, code: FieldCode, given: &'static str, expected: &str) {
        self.errors.push(FieldError { path: key.into(), code, given, expected: expected.into(), suggestion: None });
    }

    #[cold]
    fn refuse_time(&mut self, key: &str, error: TimeError) {
        let (code, given) = match error {
            TimeError::Format => (FieldCode::InvalidTime, "text that is no time"),
            TimeError::OutOfRange => (FieldCode::OutOfRange, "time out of range"),
        };
        self.refuse(key, code, given, &error.to_string());
    }

    #[cold]
    fn refuse_unknown(&mut self, key: String) {
        let members = self.kind.members();
        let historic = self.kind.all_members()[members.len()..].iter().any(|member| member.key == key);
        let keys = || members.iter().map(|member| member.key);
        let expected = if historic {
            "no such field: history files alone carry it".into()
        } else {
            format!("one of {}", value::listed(keys()))
        };
        let suggestion = nearest(&key, keys()).map(str::to_owned);
        let code = FieldCode::UnknownField;
        self.errors.push(FieldError { path: key, code, given: "unknown field", expected, suggestion });
    }
}

impl Part {
    fn expected(self) -> &'static str {
        match self {
            Self::Person | Self::Id => "text of 1 to 128 bytes without control characters",
            Self::Type => "the name of an event type",
            Self::Time | Self::ArrivedAt => "a time with its offset, as `2026-01-15T14:00:00Z`",
            Self::Label => "0 or 1",
            Self::Priority => "`high` or `normal`",
            Self::Record => "an object",
        }
    }
}
