//! Where a value stands on an axis, and which values are written beside it: multiples of 1, 2 and 5, as people read them.

/// An axis: from 0 at its lower end to 1 at its upper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    from: f64,
    to: f64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// With a mark at each multiple of this.
    Linear(f64),
    /// Seconds, marked at whole minutes and hours where they are many.
    Time,
    Log,
    /// Shares below 1 by how many nines they have: 0.9, 0.99 and 0.999 are as far from each other.
    Nines,
}

/// Steps and marks that fit on an axis, also on a phone.
const LINEAR_STEPS: f64 = 4.0;
const TIME_STEPS_FIT: f64 = 6.0;
const LOG_MARKS: usize = 8;

/// Steps of an axis of seconds.
const TIME_STEPS: [f64; 16] =
    [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0];

impl Scale {
    /// From zero to the next mark above the highest value.
    pub(crate) fn from_zero(highest: f64) -> Self {
        Self::between(0.0, highest)
    }

    /// Around the values, from mark to mark: for what never comes near zero and whose changes are what matters.
    pub(crate) fn between(lowest: f64, highest: f64) -> Self {
        // A flat line is in the middle, and a chart of nothing has an axis too.
        let (lowest, highest) = match lowest.abs() * 0.05 {
            _ if highest > lowest => (lowest, highest),
            0.0 => (0.0, 1.0),
            around => (lowest - around, lowest + around),
        };
        let step = nice_above((highest - lowest) / LINEAR_STEPS);
        let (from, to) = ((lowest / step + 1e-9).floor() * step, (highest / step - 1e-9).ceil() * step);
        Self { from, to, kind: Kind::Linear(step) }
    }

    /// Seconds of a run.
    pub(crate) fn time(seconds: f64) -> Self {
        Self { from: 0.0, to: seconds.max(1.0), kind: Kind::Time }
    }

    /// Values above zero, each ten times as far as the other; over one power of ten at least.
    pub(crate) fn log(lowest: f64, highest: f64) -> Self {
        let lowest = if lowest > 0.0 { lowest } else { 1.0 };
        let (from, to) = (nice_below(lowest), nice_above(highest.max(lowest)));
        Self { from, to: if to >= from * 9.99 { to } else { from * 10.0 }, kind: Kind::Log }
    }

    /// Shares from none to this many nines.
    pub(crate) fn nines(nines: f64) -> Self {
        Self { from: 0.0, to: nines.max(1.0), kind: Kind::Nines }
    }

    /// From zero (or around the values), unless the highest would press the rest to the ground: then by powers of ten.
    pub(crate) fn fitting(values: &[f64]) -> Self {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(lowest), Some(highest)) = (sorted.first(), sorted.last()) else { return Self::from_zero(0.0) };
        let middle = sorted[sorted.len() / 2];
        if *highest > 12.0 * middle { Self::log(*lowest, *highest) } else { Self::from_zero(*highest) }
    }

    pub(crate) fn is_log(&self) -> bool {
        self.kind == Kind::Log
    }

    /// From 0 to 1; what is outside is at the edge.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let place = match self.kind {
            Kind::Log => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
            Kind::Nines => -(1.0 - value).max(1e-12).log10() / self.to,
            Kind::Linear(_) | Kind::Time => (value - self.from) / (self.to - self.from),
        };
        place.clamp(0.0, 1.0)
    }

    /// The values that are written beside it.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        match self.kind {
            Kind::Linear(step) => self.multiples(step),
            Kind::Time => {
                let fits = |step: &&f64| self.to / **step <= TIME_STEPS_FIT;
                self.multiples(*TIME_STEPS.iter().find(fits).unwrap_or(&nice_above(self.to / TIME_STEPS_FIT)))
            }
            Kind::Log => self.powers(),
            Kind::Nines => {
                let nines = (1..=(self.to + 1e-9) as i32).map(|nines| 1.0 - 0.1f64.powi(nines));
                [0.0, 0.5].into_iter().chain(nines).collect()
            }
        }
    }

    fn multiples(&self, step: f64) -> Vec<f64> {
        let (first, last) = ((self.from / step - 1e-9).ceil() as i64, (self.to / step + 1e-9).floor() as i64);
        (first..=last).map(|number| number as f64 * step).collect()
    }

    /// 1, 2 and 5 of each power of ten as long as they fit, then 1 alone, then every second or third 1.
    fn powers(&self) -> Vec<f64> {
        let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let of = |multiples: &[f64], every: usize| -> Vec<f64> {
            let powers = (first..=last).step_by(every).map(|power| 10f64.powi(power));
            let all = powers.flat_map(|power| multiples.iter().map(move |multiple| multiple * power));
            all.filter(|value| *value >= self.from * 0.999 && *value <= self.to * 1.001).collect()
        };
        let mut tries = vec![of(&[1.0, 2.0, 5.0], 1)];
        tries.extend((1..=12).map(|every| of(&[1.0], every)));
        tries.into_iter().find(|ticks| ticks.len() <= LOG_MARKS).unwrap_or_default()
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below the value.
fn nice_above(value: f64) -> f64 {
    let power = power_below(value);
    [1.0, 2.0, 5.0]
        .map(|multiple| multiple * power)
        .into_iter()
        .find(|nice| *nice >= value * 0.999_999)
        .unwrap_or(10.0 * power)
}

fn nice_below(value: f64) -> f64 {
    let power = power_below(value);
    [5.0, 2.0].map(|multiple| multiple * power).into_iter().find(|nice| *nice <= value).unwrap_or(power)
}

fn power_below(value: f64) -> f64 {
    if value > 0.0 { 10f64.powi(value.log10().floor() as i32) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format::tick;

    fn ticks(scale: Scale) -> String {
        scale.ticks().into_iter().map(tick).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn marks_are_multiples_of_one_two_and_five() {
        let table = [
            (Scale::from_zero(0.0), "0 0.5 1"),
            (Scale::from_zero(1.0), "0 0.5 1"),
            (Scale::from_zero(3.0), "0 1 2 3"),
            (Scale::from_zero(7.3), "0 2 4 6 8"),
            (Scale::from_zero(0.042), "0 0.02 0.04 0.06"),
            (Scale::from_zero(10_000.0), "0 5000 10k"),
            (Scale::from_zero(12_345.0), "0 5000 10k 15k"),
            (Scale::between(101.0, 104.5), "101 102 103 104 105"),
            (Scale::between(50.0, 50.0), "46 48 50 52 54"),
            (Scale::between(-3.0, 7.0), "-5 0 5 10"),
            (Scale::time(10.0), "0 2 4 6 8 10"),
            (Scale::time(45.0), "0 10 20 30 40"),
            (Scale::time(600.0), "0 120 240 360 480 600"),
            (Scale::time(7_200.0), "0 1800 3600 5400 7200"),
            (Scale::log(0.3, 40.0), "0.2 0.5 1 2 5 10 20 50"),
            (Scale::log(2.0, 3.0), "2 5 10 20"),
            (Scale::log(0.01, 9_000.0), "0.01 0.1 1 10 100 1000 10k"),
            (Scale::log(1e-6, 1e9), "0.000001 0.0001 0.01 1 100 10k 1M 100M"),
            (Scale::log(0.0, 0.0), "1 2 5 10"),
            (Scale::nines(3.3), "0 0.5 0.9 0.99 0.999"),
        ];
        for (scale, marks) in table {
            assert_eq!(ticks(scale), marks, "{scale:?}");
        }
    }

    #[test]
    fn values_stand_between_the_ends_and_in_their_order() {
        for scale in [Scale::from_zero(93.0), Scale::between(40.0, 93.0), Scale::log(0.5, 93.0), Scale::time(93.0)] {
            let places: Vec<f64> = (0..=100).map(|value| scale.place(f64::from(value))).collect();
            assert!(places.is_sorted(), "{scale:?}");
            assert!(places.iter().all(|place| (0.0..=1.0).contains(place)), "{scale:?}");
        }
        assert_eq!(Scale::from_zero(10.0).place(5.0), 0.5);
        assert!((Scale::log(1.0, 100.0).place(10.0) - 0.5).abs() < 1e-9);
        assert!((Scale::nines(4.0).place(0.99) - 0.5).abs() < 1e-9);
        assert_eq!(Scale::nines(4.0).place(1.0), 1.0);
    }

    #[test]
    fn single_peak_does_not_press_the_rest_to_the_ground() {
        assert!(!Scale::fitting(&[1.0, 1.2, 1.1, 4.0]).is_log());
        assert!(Scale::fitting(&[1.0, 1.2, 1.1, 300.0]).is_log());
        assert!(!Scale::fitting(&[]).is_log());
    }
}
