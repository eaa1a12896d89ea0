//! Decisions, added up. Sums are whole numbers, so what was added can be taken off again exactly.

use std::sync::Arc;

use cauce_model::score::{Decision, Score};
use parking_lot::Mutex;

use super::snapshot::{Count, Decisions};

/// Names of bands that are told apart over the life of the process; a bundle has 32 at most. Beyond, a band counts as the last one (S5).
pub const BANDS: usize = 32;

/// A probability of one.
const ONE: f64 = 1e9;

/// A number of decisions. 320 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    pub decisions: u64,
    by_decision: [u64; 3],
    /// Those with a score.
    scored: u64,
    defaults: u64,
    probability: u64,
    confidence: u64,
    bands: [u64; BANDS],
}

/// The names of bands, by their number. Bundles that name them alike count alike.
#[derive(Debug, Default)]
pub struct Bands(Mutex<Vec<Arc<str>>>);

impl Bands {
    /// The number of a name, which may be new.
    pub fn number(&self, name: &str) -> usize {
        let mut names = self.0.lock();
        match names.iter().position(|known| **known == *name) {
            Some(number) => number,
            None if names.len() < BANDS => {
                names.push(name.into());
                names.len() - 1
            }
            None => BANDS - 1,
        }
    }

    /// All names so far.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.0.lock().clone()
    }
}

impl Sums {
    /// Adds a decision; without a score a person has to decide. `band` is the number of the score's.
    pub fn count(&mut self, score: Option<&Score<'_>>, band: usize) {
        self.decisions += 1;
        self.by_decision[score.map_or(Decision::Refer, |score| score.decision) as usize] += 1;
        let Some(score) = score else { return };
        self.scored += 1;
        self.defaults += u64::from(score.probability_of_default >= 0.5);
        self.probability += (f64::from(score.probability_of_default) * ONE) as u64;
        self.confidence += (f64::from(score.confidence) * ONE) as u64;
        self.bands[band] += 1;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.each(other, |sum, other| *sum += other);
    }

    /// Takes off what was added before.
    pub fn subtract(&mut self, other: &Self) {
        self.each(other, |sum, other| *sum -= other);
    }

    /// The mean confidence of those with a score.
    pub fn mean_confidence(&self) -> Option<f64> {
        self.mean(self.confidence)
    }

    /// As they are told.
    pub fn told(&self, bands: &[Arc<str>]) -> Decisions {
        let [approved, referred, declined] = self.by_decision;
        let bands = bands.iter().zip(self.bands).filter(|(_, count)| *count > 0);
        Decisions {
            decisions: self.decisions,
            approved,
            referred,
            declined,
            predicted_default_share: (self.scored > 0).then(|| self.defaults as f64 / self.scored as f64),
            mean_probability: self.mean(self.probability),
            mean_confidence: self.mean_confidence(),
            bands: bands.map(|(name, count)| Count { name: name.clone(), count }).collect(),
        }
    }

    fn mean(&self, sum: u64) -> Option<f64> {
        (self.scored > 0).then(|| sum as f64 / self.scored as f64 / ONE)
    }

    fn each(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        let Self { decisions, by_decision, scored, defaults, probability, confidence, bands } = self;
        let single = [
            (decisions, other.decisions),
            (scored, other.scored),
            (defaults, other.defaults),
            (probability, other.probability),
            (confidence, other.confidence),
        ];
        single.into_iter().for_each(|(sum, other)| change(sum, other));
        by_decision.iter_mut().zip(other.by_decision).for_each(|(sum, other)| change(sum, other));
        bands.iter_mut().zip(other.bands).for_each(|(sum, other)| change(sum, other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(decision: Decision, probability: f32) -> Score<'static> {
        let confidence = probability.max(1.0 - probability);
        Score { decision, probability_of_default: probability, band: "A", confidence }
    }

    #[test]
    fn decisions_are_told_by_kind_band_and_mean() {
        let bands = Bands::default();
        let (a, b) = (bands.number("A"), bands.number("B"));
        let mut sums = Sums::default();
        sums.count(Some(&score(Decision::Approve, 0.25)), a);
        sums.count(Some(&score(Decision::Decline, 0.75)), b);
        sums.count(None, 0);
        let told = sums.told(&bands.names());
        assert_eq!((told.decisions, told.approved, told.referred, told.declined), (3, 1, 1, 1));
        assert_eq!((told.predicted_default_share, told.mean_probability), (Some(0.5), Some(0.5)));
        assert_eq!(told.mean_confidence, Some(0.75));
        assert_eq!(told.bands, ["A", "B"].map(|name| Count { name: name.into(), count: 1 }));
    }

    #[test]
    fn of_no_decision_nothing_is_said() {
        let mut sums = Sums::default();
        sums.count(Some(&score(Decision::Approve, 0.1)), 0);
        sums.subtract(&sums.clone());
        let told = sums.told(&["A".into()]);
        assert_eq!((told.decisions, told.predicted_default_share, told.mean_probability), (0, None, None));
        assert!(told.bands.is_empty());
    }

    #[test]
    fn names_of_bands_are_bounded() {
        let bands = Bands::default();
        let numbers: Vec<_> = (0..40).map(|name| bands.number(&name.to_string())).collect();
        assert_eq!((numbers[31], numbers[32], numbers[39], bands.names().len()), (31, 31, 31, BANDS));
        assert_eq!(bands.number("7"), 7);
    }
}
