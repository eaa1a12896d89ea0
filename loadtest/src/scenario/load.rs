//! The shape of the load over time: `[load]` of a scenario.

use std::time::Duration;

use cauce_features::spec::source::{Section, meant};

use super::read::Reader;
use crate::schedule::{Pace, Phase, Schedule};
use crate::search::{Growth, Steps};

/// Rates in requests a second.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// One rate; also what `soak` is.
    Steady { rate: f64, duration: Duration, warm_up: Duration },
    /// A rate that grows evenly, to find the highest that keeps to the limits.
    Ramp { from: f64, to: f64, duration: Duration, warm_up: Duration },
    /// Rates that are held, each higher than the one before, to find the highest that keeps to the limits.
    Steps { steps: Steps, hold: Duration, warm_up: Duration },
    /// One rate, and a higher one every so often.
    Burst { rate: f64, burst_rate: f64, every: Duration, length: Duration, duration: Duration, warm_up: Duration },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Steady,
    Ramp,
    Steps,
    Burst,
    Soak,
}

const SHAPES: [(&str, Shape); 5] = [
    ("steady", Shape::Steady),
    ("ramp", Shape::Ramp),
    ("steps", Shape::Steps),
    ("burst", Shape::Burst),
    ("soak", Shape::Soak),
];

/// The keys of each shape.
const KEYS: [(Shape, &[&str]); 5] = [
    (Shape::Steady, &["rate", "duration", "warm_up"]),
    (Shape::Soak, &["rate", "duration", "warm_up"]),
    (Shape::Ramp, &["from", "to", "duration", "warm_up"]),
    (Shape::Steps, &["from", "factor", "by", "up_to", "halvings", "hold", "warm_up"]),
    (Shape::Burst, &["rate", "burst_rate", "every", "for", "duration", "warm_up"]),
];

/// Beyond what any machine sends: a slip of the finger.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=10_000_000.0;

/// Between the last rate that held and the first that did not: an eighth of the way from one to the other.
const HALVINGS: u64 = 3;
/// A rate that does not hold is tried once more.
const TRIES: usize = 2;

/// Bursts in one run: each is two phases.
const BURSTS_MOST: f64 = 10_000.0;

impl Load {
    /// When requests are due; of steps, those of the first, since the others depend on the answers.
    pub fn schedule(&self, pace: Pace, seed: u64) -> Schedule {
        let phases = match *self {
            Self::Steady { rate, duration, warm_up } => with_warm_up(rate, warm_up, [Phase::steady(rate, duration)]),
            Self::Ramp { from, to, duration, warm_up } => {
                with_warm_up(from, warm_up, [Phase { from, to, duration, is_warm_up: false }])
            }
            Self::Burst { rate, burst_rate, every, length, duration, warm_up } => {
                with_warm_up(rate, warm_up, bursts(rate, burst_rate, every, length, duration))
            }
            Self::Steps { steps, hold, warm_up } => {
                with_warm_up(steps.from, warm_up, [Phase::steady(steps.from, hold)])
            }
        };
        Schedule { phases, pace, seed }
    }

    /// So many requests at one rate: the run ends between the last one and the one that would follow.
    pub fn exactly(requests: u64, rate: f64, pace: Pace, seed: u64) -> Schedule {
        // Half as long again, and a hundred gaps: a Poisson process is not so late in the age of the universe.
        let ample = Duration::from_secs_f64((requests as f64 * 1.5 + 100.0) / rate);
        let mut schedule = Schedule { phases: vec![Phase::steady(rate, ample)], pace, seed };
        let mut dues = schedule.arrivals().skip(requests.saturating_sub(1) as usize).map(|arrival| arrival.due);
        if let (Some(last), Some(next)) = (dues.next(), dues.next()) {
            schedule.phases[0].duration = last + (next - last) / 2;
        }
        schedule
    }

    /// Another rate than the file says.
    pub fn set_rate(&mut self, to: f64) -> Result<(), String> {
        match self {
            Self::Steady { rate, .. } | Self::Burst { rate, .. } if RATES.contains(&to) => *rate = to,
            Self::Steady { .. } | Self::Burst { .. } => {
                return Err(format!("`--rate` is from {} to {}, not {to}", RATES.start(), RATES.end()));
            }
            Self::Ramp { .. } | Self::Steps { .. } => {
                return Err("`--rate` is for one rate: shapes `steady`, `burst` and `soak`".to_owned());
            }
        }
        Ok(())
    }

    /// Another length than the file says; of steps, that of each.
    pub fn set_duration(&mut self, to: Duration) -> Result<(), String> {
        match self {
            Self::Steady { duration, .. } if duration.is_zero() => {
                return Err("`--duration` follows from a file that is sent once".to_owned());
            }
            Self::Steady { duration, .. } | Self::Burst { duration, .. } | Self::Ramp { duration, .. } => {
                *duration = to
            }
            Self::Steps { hold, .. } => *hold = to,
        }
        Ok(())
    }
}

fn with_warm_up(rate: f64, warm_up: Duration, phases: impl IntoIterator<Item = Phase>) -> Vec<Phase> {
    let warm_up = (!warm_up.is_zero()).then(|| Phase { is_warm_up: true, ..Phase::steady(rate, warm_up) });
    warm_up.into_iter().chain(phases).collect()
}

/// Each burst at the end of its turn, so that a run begins with the ordinary rate.
fn bursts(rate: f64, burst_rate: f64, every: Duration, length: Duration, duration: Duration) -> Vec<Phase> {
    let (mut phases, mut left) = (Vec::new(), duration);
    while !left.is_zero() {
        for (rate, of_turn) in [(rate, every - length), (burst_rate, length)] {
            let part = of_turn.min(left);
            if !part.is_zero() {
                phases.push(Phase::steady(rate, part));
            }
            left -= part;
        }
    }
    phases
}

/// Whether the shape is `soak`: whatever is wrong with it is noted elsewhere.
pub(super) fn is_soak(file: Section<'_>) -> bool {
    let shape = file.table.get("load").and_then(|load| load.get_ref().as_table()?.get("shape"));
    shape.and_then(|shape| shape.get_ref().as_str()) == Some("soak")
}

/// Reads `[load]`. `once` says whether the length follows from a file.
pub(super) fn read(reader: &mut Reader<'_>, file: Section<'_>, once: bool) -> Option<Load> {
    let Some(section) = reader.source.section(file, "load") else {
        if !file.table.contains_key("load") {
            reader.refuse(file.at, "`[load]` is missing: it says when requests are due");
        }
        return None;
    };
    reader.require(section, "shape");
    let shape = reader.word(section, "shape", &SHAPES)?;
    only(reader, section, shape);
    let rate = |reader: &mut Reader<'_>, key: &str| {
        reader.require(section, key);
        reader.number(section, key, RATES)
    };
    let length = |reader: &mut Reader<'_>, key: &str| {
        reader.require(section, key);
        reader.duration(section, key)
    };
    let warm_up = reader.duration(section, "warm_up").unwrap_or_default();
    let load = match shape {
        Shape::Steady if once => Load::Steady { rate: rate(reader, "rate")?, duration: Duration::ZERO, warm_up },
        Shape::Steady | Shape::Soak => {
            let (rate, duration) = (rate(reader, "rate"), length(reader, "duration"));
            Load::Steady { rate: rate?, duration: duration?, warm_up }
        }
        Shape::Ramp => {
            let (from, to, duration) = (rate(reader, "from"), rate(reader, "to"), length(reader, "duration"));
            Load::Ramp { from: from?, to: to?, duration: duration?, warm_up }
        }
        Shape::Steps => {
            let (from, up_to, hold) = (rate(reader, "from"), rate(reader, "up_to"), length(reader, "hold"));
            let growth = growth(reader, section);
            let halvings = reader.count(section, "halvings", 0..=10).unwrap_or(HALVINGS) as usize;
            let steps = Steps { from: from?, growth: growth?, up_to: up_to?, halvings, tries: TRIES };
            Load::Steps { steps, hold: hold?, warm_up }
        }
        Shape::Burst => {
            let (rate, burst_rate) = (rate(reader, "rate"), rate(reader, "burst_rate"));
            let (every, length, duration) =
                (length(reader, "every"), length(reader, "for"), length(reader, "duration"));
            Load::Burst {
                rate: rate?,
                burst_rate: burst_rate?,
                every: every?,
                length: length?,
                duration: duration?,
                warm_up,
            }
        }
    };
    check(reader, section, &load, once);
    Some(load)
}

/// Refuses keys that the shape has not, and says which shape has them.
fn only(reader: &mut Reader<'_>, section: Section<'_>, shape: Shape) {
    let keys_of = |of: Shape| KEYS.iter().find(|(shape, _)| *shape == of).map_or(&[][..], |(_, keys)| keys);
    let word = |of: Shape| SHAPES.iter().find(|(_, shape)| *shape == of).map_or("", |(word, _)| word);
    for key in section.table.keys() {
        let name: &str = key.get_ref();
        if name == "shape" || keys_of(shape).contains(&name) {
            continue;
        }
        let other = SHAPES.iter().find(|(_, other)| keys_of(*other).contains(&name));
        let message = match other {
            Some((other, _)) => format!("`{name}` belongs to shape `{other}`, not `{}`", word(shape)),
            None => format!("unknown key `{name}`{}", meant(name, keys_of(shape).iter().copied().chain(["shape"]))),
        };
        reader.refuse(key.span().start, message);
    }
}

fn growth(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Growth> {
    let factor = reader.number(section, "factor", 1.001..=100.0);
    let by = reader.number(section, "by", RATES);
    match (section.table.contains_key("factor"), section.table.contains_key("by")) {
        (true, false) => factor.map(Growth::Factor),
        (false, true) => by.map(Growth::By),
        _ => {
            reader.refuse(section.at, "steps grow by `factor = 1.5` or `by = 500`: exactly one of them");
            None
        }
    }
}

fn check(reader: &mut Reader<'_>, section: Section<'_>, load: &Load, once: bool) {
    let wrong = match load {
        Load::Steps { steps, .. } if steps.from > steps.up_to => "`up_to` is at least `from`",
        Load::Ramp { from, to, .. } if from >= to => "`to` is above `from`",
        Load::Burst { every, length, .. } if length >= every => "`for` is shorter than `every`",
        Load::Burst { every, duration, .. } if duration.div_duration_f64(*every) > BURSTS_MOST => {
            "a run has at most 10000 bursts"
        }
        Load::Steady { warm_up, .. } if once && !warm_up.is_zero() => {
            "`warm_up` would use up lines of a file that is sent once: leave it out"
        }
        _ if once && section.table.contains_key("duration") => {
            "`duration` follows from a file that is sent once: leave it out"
        }
        _ if once && !matches!(load, Load::Steady { .. }) => "a file that is sent once needs shape `steady`",
        _ => return,
    };
    reader.refuse(section.at, wrong);
}
