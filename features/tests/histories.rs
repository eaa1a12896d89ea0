//! What happens to generated people, and when they are looked at: instants that crowd at edges, ids that collide, values at
//! the ends of their range.

use std::fmt;
use std::ops::Range;

use cauce_features::application::Application;
use cauce_features::event::{Event, EventId};
use cauce_features::fixed::MISSING;
use cauce_features::spec::CalendarUnit;
use cauce_features::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::calendar;
use crate::model::{Field, FieldKind, Model};

/// 2023-01-01T00:00:00Z and 2027-01-01T00:00:00Z.
const YEARS_MS: Range<i64> = 1_672_531_200_000..1_798_761_600_000;
const DAY_MS: i64 = 86_400_000;

/// A person, an application and the instants at which it is read.
#[derive(Clone)]
pub(crate) struct History {
    /// In order of arrival; two may share time and id.
    pub(crate) events: Vec<Event>,
    pub(crate) application: Application,
    /// The first is the instant around which the events crowd.
    pub(crate) reads_ms: Vec<i64>,
}

/// A line for each event, in time from the main read: what a failure has to show.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from_ms = self.reads_ms[0];
        writeln!(
            f,
            "main read at {from_ms}, reads {:?}",
            self.reads_ms.iter().map(|at| at - from_ms).collect::<Vec<_>>()
        )?;
        let (id, values) = (self.application.id().bits(), self.application.values());
        writeln!(f, "application {id} {values:?}")?;
        self.events.iter().try_for_each(|event| {
            let (kind, since_ms) = (event.kind(), event.time().millis() - from_ms);
            writeln!(f, "kind {kind} at {since_ms} id {} {:?}", event.id().bits(), event.values())
        })
    }
}

impl History {
    /// The first of every identity.
    pub(crate) fn without_conflicts(mut self) -> Self {
        let mut known = std::collections::HashSet::new();
        self.events.retain(|event| known.insert((event.time(), event.id())));
        self
    }
}

/// An instant, said by what it stands beside.
#[derive(Debug, Clone)]
enum Moment {
    /// So far from the main read.
    Apart(i64),
    /// Beside an earlier instant.
    Beside { which: Index, delta_ms: i64 },
    /// A window's length from an earlier instant.
    Length { which: Index, length: Index, forward: bool, delta_ms: i64 },
    /// Where a day, week or month begins.
    Calendar { unit: CalendarUnit, back: i64, delta_ms: i64 },
}

#[derive(Debug, Clone)]
struct Happening {
    moment: Moment,
    id: String,
    kind: usize,
    values: Vec<i64>,
}

/// Histories of so many events.
pub(crate) fn histories(model: &Model, size: Range<usize>) -> BoxedStrategy<History> {
    histories_around(model, size, moment().boxed())
}

/// Histories whose events fall into very few instants.
pub(crate) fn tied_histories(model: &Model, size: Range<usize>) -> BoxedStrategy<History> {
    histories_around(model, size, (-1..=1_i64).prop_map(Moment::Apart).boxed())
}

fn histories_around(model: &Model, size: Range<usize>, moment: BoxedStrategy<Moment>) -> BoxedStrategy<History> {
    let kinds = (0..=model.application_kind()).map(|kind| {
        let fields: Vec<_> = model.fields(kind).into_iter().map(value).collect();
        (moment.clone(), id(), Just(kind), fields)
            .prop_map(|(moment, id, kind, values)| Happening { moment, id, kind, values })
            .boxed()
    });
    let happenings = prop::collection::vec(prop::strategy::Union::new(kinds), size);
    let fields: Vec<_> = model.application.iter().map(value).collect();
    let application = (id(), fields).prop_map(|(id, values)| Application::new("p", event_id(&id), values));
    let reads = prop::collection::vec(self::moment(), 3);
    let model = model.clone();
    (main_read(&model), happenings, application, reads)
        .prop_map(move |(as_of_ms, happenings, application, reads)| {
            let mut known = vec![as_of_ms];
            let events = happenings.into_iter().map(|happening| happening.event(&model, &mut known)).collect();
            let mut reads_ms = vec![as_of_ms];
            reads_ms.extend(reads.iter().map(|read| read.resolve(&model, &known)));
            History { events, application, reads_ms }
        })
        .boxed()
}

impl Happening {
    fn event(self, model: &Model, known: &mut Vec<i64>) -> Event {
        let Self { moment, id, kind, values } = self;
        let time_ms = moment.resolve(model, known);
        known.push(time_ms);
        Event::new("p", event_id(&id), Timestamp::from_millis(time_ms), kind, values)
    }
}

pub(crate) fn event_id(text: &str) -> EventId {
    EventId::parse(text).expect("a valid id")
}

/// Any instant of some years, or one beside the beginning of a month.
fn main_read(model: &Model) -> impl Strategy<Value = i64> + use<> {
    let offset = model.utc_offset_minutes;
    let first = move |(at, delta_ms): (i64, i64)| calendar::start(at, CalendarUnit::Month, offset, 0) + delta_ms;
    prop_oneof![3 => YEARS_MS, 1 => (YEARS_MS, -1..=1_i64).prop_map(first)]
}

fn moment() -> impl Strategy<Value = Moment> {
    let delta = || -1..=1_i64;
    let units = select(vec![CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month]);
    prop_oneof![
        20 => (-100 * DAY_MS..10 * DAY_MS).prop_map(Moment::Apart),
        1 => (-200 * 365 * DAY_MS..200 * 365 * DAY_MS).prop_map(Moment::Apart),
        20 => (-DAY_MS..1_000).prop_map(Moment::Apart),
        10 => delta().prop_map(Moment::Apart),
        20 => (any::<Index>(), delta()).prop_map(|(which, delta_ms)| Moment::Beside { which, delta_ms }),
        40 => (any::<Index>(), any::<Index>(), any::<bool>(), delta())
            .prop_map(|(which, length, forward, delta_ms)| Moment::Length { which, length, forward, delta_ms }),
        20 => (units, 0..3_i64, delta()).prop_map(|(unit, back, delta_ms)| Moment::Calendar { unit, back, delta_ms }),
    ]
}

impl Moment {
    /// The instant, given those that are known already; the first of them is the main read.
    fn resolve(&self, model: &Model, known: &[i64]) -> i64 {
        let at_ms = match *self {
            Self::Apart(millis) => known[0] + millis,
            Self::Beside { which, delta_ms } => known[which.index(known.len())] + delta_ms,
            Self::Length { which, length, forward, delta_ms } => {
                // Half of them from the main read, whose windows' edges matter most.
                let from = known[which.index(2 * known.len()).saturating_sub(known.len())];
                let lengths = model.lengths_ms();
                let length = lengths[length.index(lengths.len())];
                from + if forward { length } else { -length } + delta_ms
            }
            Self::Calendar { unit, back, delta_ms } => {
                calendar::start(known[0], unit, model.utc_offset_minutes, back) + delta_ms
            }
        };
        at_ms.clamp(Timestamp::MIN.millis(), Timestamp::MAX.millis())
    }
}

/// Few enough to collide, as numbers and as texts.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => (0..4_u64).prop_map(|number| number.to_string()),
        3 => (0..1_u64 << 48).prop_map(|number| number.to_string()),
        1 => (0..4_u64).prop_map(|number| format!("t-{number}")),
        2 => any::<u32>().prop_map(|number| format!("0{number}")),
    ]
}

/// A raw value of a field: often small, sometimes at an end of its range.
fn value(field: &Field) -> BoxedStrategy<i64> {
    let given = match field.kind {
        FieldKind::Integer { min, max } | FieldKind::Decimal { min, max, .. } => {
            let small = (-3..=3_i64).prop_map(move |near| near.clamp(min, max));
            let usual = (-100_000..=1_000_000_i64).prop_map(move |near| near.clamp(min, max));
            prop_oneof![3 => small, 4 => usual, 1 => Just(min), 1 => Just(max), 1 => min..=max].boxed()
        }
        FieldKind::Category { values } => (0..values as i64).boxed(),
        FieldKind::Boolean => (0..=1_i64).boxed(),
        FieldKind::Text => {
            prop_oneof![4 => -3..=3_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN + 1), 1 => i64::MIN + 1..=i64::MAX]
                .boxed()
        }
    };
    if field.required { given } else { prop_oneof![3 => given, 1 => Just(MISSING)].boxed() }
}
