//! What the simulator's people send: applications and events, each made from its number alone.
//!
//! A number decides by a random stream of its own what an item is (sent for the first time, a repetition, late, invalid), whose, and when.
//! A repetition is the same bytes as an earlier item: one of the same kind, as many requests before as are due in a second to a minute at
//! the run's mean rate (in a burst or late in a ramp that is sooner), found by going back from a random one among them to the first that
//! was not itself a repetition. So it needs no memory of what was sent.

use std::ops::Range;

use cauce_features::time::Timestamp;
use rand::RngExt;
use rand_distr::{Distribution, Zipf};

use super::mistakes;
use crate::random::{self, Random};
use crate::scenario::People;
use crate::schedule::Schedule;
use crate::simulate::{Bank, write_number};

/// Streams of random draws, apart from those of schedules and people.
const ITEM_STREAM: u64 = 32;

/// How far back a repetition looks at most, in requests: a kind that is rarer than this among the requests is not repeated.
const LOOKED_AT_MOST: u64 = 10_000;

/// Items a millisecond, at the highest rate of a run, up to which its ids stay below 2^47: such cost the service least.
const SHORT_IDS_MOST: f64 = 512.0;

/// Event times: so much before an event is due …
const JITTER_MS: Range<i64> = 1_000..10_000;
/// … and with a clock that stands still so much before it, whatever is due.
const STANDING_MS: Range<i64> = 0..3_600_000;
/// A late one's, in hours before that.
const LATE_H: Range<f64> = 1.0..720.0;

/// People, and what makes their items.
#[derive(Debug)]
pub struct Clients {
    seed: u64,
    bank: Bank,
    people: Zipf<f64>,
    schedule: Schedule,
    /// Begin of the run, or a clock that stands still.
    base: Timestamp,
    is_standing: bool,
    /// Numbers from here on are ids of this run.
    ids: u64,
    /// Numbers of items are numbers of requests times this.
    stride: u64,
    /// Requests back that a repetition is from.
    window: Range<u64>,
}

/// The items of one kind of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Items {
    pub of: Of,
    /// Of all items, as parts of 1.
    pub invalid: f64,
    pub repeated: f64,
    pub late: f64,
    /// In a request.
    pub size: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Applications { has_person: bool, has_id: bool },
    Events,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    First,
    Late,
    Repetition,
    Invalid,
}

impl Clients {
    /// `started_at` makes the ids and the applications of a run its own.
    pub fn new(
        people: &People,
        clock: Option<Timestamp>,
        schedule: &Schedule,
        started_at: Timestamp,
        stride: u64,
    ) -> Self {
        let base = clock.unwrap_or(started_at);
        let duration = schedule.duration().as_secs_f64().max(1e-3);
        let rate = schedule.phases.iter().map(|phase| phase.requests()).sum::<f64>() / duration;
        let least = rate.ceil().max(1.0) as u64;
        let highest = schedule.phases.iter().map(|phase| phase.from.max(phase.to)).fold(0.0, f64::max);
        Self {
            seed: schedule.seed,
            bank: Bank { seed: people.seed, start: Timestamp::from_millis(base.millis() - 90 * 86_400_000), end: base },
            people: Zipf::new(people.count as f64, people.zipf).expect("a scenario's numbers are within bounds"),
            schedule: schedule.clone(),
            base,
            is_standing: clock.is_some(),
            ids: first_id(started_at, highest / 1_000.0 * stride as f64),
            stride,
            window: least..least.saturating_mul(60),
        }
    }

    /// A number that nothing else has, in this run or another.
    pub fn id(&self, number: u64) -> u64 {
        self.ids.wrapping_add(number.wrapping_mul(self.stride))
    }

    /// Writes an item. `is_same_kind` says whether a request is of this kind.
    pub fn write(&self, items: &Items, number: u64, place: u32, is_same_kind: &dyn Fn(u64) -> bool, out: &mut Vec<u8>) {
        let (role, mut random) = self.role(items, number, place);
        match role {
            Role::First | Role::Late => self.write_first(items.of, role, number, place, random, out),
            Role::Repetition => {
                let place = random.random_range(0..items.size);
                let (number, place, role, random) = self
                    .earlier(items, number, place, is_same_kind, &mut random)
                    .unwrap_or((number, place, Role::First, random));
                self.write_first(items.of, role, number, place, random, out);
            }
            Role::Invalid => {
                let text = match items.of {
                    Of::Applications { .. } => pick(&mistakes::APPLICATIONS, &mut random),
                    Of::Events => pick(&mistakes::EVENTS, &mut random),
                };
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// How many items of a request are made to be refused.
    pub fn invalid(&self, items: &Items, number: u64) -> u32 {
        if items.invalid == 0.0 {
            return 0;
        }
        (0..items.size).filter(|place| self.role(items, number, *place).0 == Role::Invalid).count() as u32
    }

    fn role(&self, items: &Items, number: u64, place: u32) -> (Role, Random) {
        let mut random = random::stream(self.seed, ITEM_STREAM, number.wrapping_mul(self.stride) + u64::from(place));
        let draw: f64 = random.random();
        let roles = [(items.invalid, Role::Invalid), (items.repeated, Role::Repetition), (items.late, Role::Late)];
        let mut below = 0.0;
        for (share, role) in roles {
            below += share;
            if draw < below {
                return (role, random);
            }
        }
        (Role::First, random)
    }

    /// The item that a repetition repeats; none as long as there is nothing to repeat.
    fn earlier(
        &self,
        items: &Items,
        number: u64,
        place: u32,
        is_same_kind: &dyn Fn(u64) -> bool,
        random: &mut Random,
    ) -> Option<(u64, u32, Role, Random)> {
        let most = self.window.end.min(number + 1);
        if most <= self.window.start {
            return None;
        }
        let newest = number - random.random_range(self.window.start..most);
        let oldest = newest.saturating_sub(LOOKED_AT_MOST);
        (oldest..=newest).rev().filter(|number| is_same_kind(*number)).find_map(|number| {
            let (role, random) = self.role(items, number, place);
            matches!(role, Role::First | Role::Late).then_some((number, place, role, random))
        })
    }

    fn write_first(&self, of: Of, role: Role, number: u64, place: u32, mut random: Random, out: &mut Vec<u8>) {
        let index = number.wrapping_mul(self.stride) + u64::from(place);
        let person = self.bank.person(self.people.sample(&mut random) as u64);
        match of {
            Of::Events => {
                let time = self.time(role, number, &mut random);
                person.write_event(self.ids.wrapping_add(index), time, out);
            }
            Of::Applications { has_person, has_id } => {
                out.push(b'{');
                if has_person {
                    out.extend_from_slice(br#""person_id":""#);
                    person.write_id(out);
                    out.extend_from_slice(br#"","#);
                }
                if has_id {
                    out.extend_from_slice(br#""application_id":""#);
                    write_number(self.ids.wrapping_add(index), out);
                    out.extend_from_slice(br#"","#);
                }
                out.extend_from_slice(br#""application":"#);
                // One that another run has asked about, or another step of a search, is no new one to the service.
                person.write_application(self.ids.wrapping_add(index), out);
                out.push(b'}');
            }
        }
    }

    /// When an event happened: just before it is due on average, which its number tells. Arrivals of a Poisson process are ahead of that by
    /// some roots of their number, which is taken off: an event that is sent before it happened is refused.
    fn time(&self, role: Role, number: u64, random: &mut Random) -> Timestamp {
        let before = if self.is_standing { STANDING_MS } else { JITTER_MS };
        let mut millis = self.base.millis() - random.random_range(before);
        if !self.is_standing {
            millis += self.schedule.expected_at(number as f64 - 4.0 * (number as f64).sqrt()).as_millis() as i64;
        }
        if role == Role::Late {
            // Evenly over orders of magnitude: hours as often as weeks.
            let hours = (LATE_H.start.ln() + random.random::<f64>() * (LATE_H.end / LATE_H.start).ln()).exp();
            millis -= (hours * 3_600_000.0) as i64;
        }
        Timestamp::from_millis(millis)
    }
}

fn pick(table: &[(&str, &'static str)], random: &mut Random) -> &'static str {
    table[random.random_range(0..table.len())].1
}

/// The first id of a run that begins then and sends at most so many items a millisecond: fewer than there are ids for each, so that the ids
/// of a run that begins after its end are others.
fn first_id(started_at: Timestamp, items_a_millisecond: f64) -> u64 {
    let millis = started_at.millis() as u64;
    if items_a_millisecond <= SHORT_IDS_MOST {
        // 37 bits of milliseconds are four years, with a thousand ids for each.
        (millis & ((1 << 37) - 1)) << 10
    } else {
        // 41 bits of milliseconds are seventy, with four million ids for each; none is below 2^47.
        (millis & ((1 << 41) - 1)) << 22
    }
}
