//! What a probability means: band, decision and confidence, by the thresholds of the bundle.
//!
//! Thresholds belong to the bundle and not to the configuration, because a probability of one model says nothing about
//! the cut-offs of another. The policy is checked when it is made, so that scoring cannot fail.

use serde::Serialize;

/// The thresholds and bands of a bundle. Invariant: `approve_below <= decline_from`, both within [0, 1]; the bands rise
/// and the last one has no upper limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    approve_below: f32,
    decline_from: f32,
    /// Name and exclusive upper limit; the last limit is infinite.
    bands: Vec<(String, f32)>,
}

/// A scored application.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score<'policy> {
    pub decision: Decision,
    pub probability_of_default: f32,
    pub band: &'policy str,
    /// The larger of the two class probabilities.
    pub confidence: f32,
}

/// What follows from a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Approve,
    /// Neither low nor high enough: a person decides.
    Refer,
    Decline,
}

impl Decision {
    /// As it stands in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Approve => "approve",
            Decision::Refer => "refer",
            Decision::Decline => "decline",
        }
    }
}

/// Why thresholds or bands make no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("`thresholds` must satisfy 0 <= `approve_below` <= `decline_from` <= 1")]
    Thresholds,
    #[error("`bands` must have 1 to 32 entries with different names")]
    Names,
    #[error("`bands` must rise: `below` of `{0}` must be above that of the band before it and at most 1")]
    Order(String),
    #[error("`bands` must end with one band whose `below` is null, and only the last may")]
    Last,
}

impl Policy {
    /// Bands are given as name and exclusive upper limit, lowest risk first, the last without a limit.
    pub fn new(
        approve_below: f32,
        decline_from: f32,
        bands: Vec<(String, Option<f32>)>,
    ) -> Result<Policy, PolicyError> {
        // Written so that NaN fails.
        if !(0.0 <= approve_below && approve_below <= decline_from && decline_from <= 1.0) {
            return Err(PolicyError::Thresholds);
        }
        let mut names: Vec<&str> = bands.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if bands.is_empty() || bands.len() > 32 || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(PolicyError::Names);
        }
        let last = bands.len() - 1;
        let mut before = 0.0;
        let mut limits = Vec::with_capacity(bands.len());
        for (position, (name, below)) in bands.into_iter().enumerate() {
            match below {
                Some(below) if position < last && before < below && below <= 1.0 => before = below,
                Some(_) if position < last => return Err(PolicyError::Order(name)),
                None if position == last => {}
                _ => return Err(PolicyError::Last),
            }
            limits.push((name, below.unwrap_or(f32::INFINITY)));
        }
        Ok(Policy { approve_below, decline_from, bands: limits })
    }

    /// The score of a probability of default within [0, 1].
    pub fn score(&self, probability_of_default: f32) -> Score<'_> {
        debug_assert!((0.0..=1.0).contains(&probability_of_default), "not a probability. This is a bug");
        Score {
            decision: self.decide(probability_of_default),
            probability_of_default,
            band: self.band(probability_of_default),
            confidence: probability_of_default.max(1.0 - probability_of_default),
        }
    }

    /// The names of the bands, lowest risk first.
    pub fn bands(&self) -> impl Iterator<Item = &str> {
        self.bands.iter().map(|(name, _)| name.as_str())
    }

    /// Below this probability an application is approved.
    pub fn approve_below(&self) -> f32 {
        self.approve_below
    }

    /// From this probability on an application is declined.
    pub fn decline_from(&self) -> f32 {
        self.decline_from
    }

    fn decide(&self, probability: f32) -> Decision {
        if probability < self.approve_below {
            Decision::Approve
        } else if probability >= self.decline_from {
            Decision::Decline
        } else {
            Decision::Refer
        }
    }

    fn band(&self, probability: f32) -> &str {
        let at = self.bands.partition_point(|&(_, below)| below <= probability);
        &self.bands[at.min(self.bands.len() - 1)].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let bands = vec![("A".to_owned(), Some(0.05)), ("B".to_owned(), Some(0.2)), ("C".to_owned(), None)];
        Policy::new(0.1, 0.3, bands).expect("a valid policy")
    }

    #[test]
    fn a_threshold_belongs_to_the_side_above_it() {
        let policy = policy();
        let decisions = [0.0, 0.0999, 0.1, 0.2999, 0.3, 1.0].map(|p| policy.score(p).decision);
        use Decision::*;
        assert_eq!(decisions, [Approve, Approve, Refer, Refer, Decline, Decline]);
        assert_eq!([0.0, 0.05, 0.2, 1.0].map(|p| policy.score(p).band), ["A", "B", "C", "C"]);
    }

    #[test]
    fn confidence_is_the_larger_class() {
        assert_eq!(policy().score(0.25).confidence, 0.75);
        assert_eq!(policy().score(0.75).confidence, 0.75);
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused() {
        let bands = |limits: &[Option<f32>]| {
            limits.iter().enumerate().map(|(i, &below)| (format!("band {i}"), below)).collect::<Vec<_>>()
        };
        assert_eq!(Policy::new(0.3, 0.1, bands(&[None])), Err(PolicyError::Thresholds));
        assert_eq!(Policy::new(f32::NAN, 0.1, bands(&[None])), Err(PolicyError::Thresholds));
        assert_eq!(Policy::new(0.1, 0.3, vec![]), Err(PolicyError::Names));
        assert_eq!(Policy::new(0.1, 0.3, bands(&[Some(0.1)])), Err(PolicyError::Last));
        assert_eq!(Policy::new(0.1, 0.3, bands(&[None, None])), Err(PolicyError::Last));
        assert_eq!(
            Policy::new(0.1, 0.3, bands(&[Some(0.2), Some(0.2), None])),
            Err(PolicyError::Order("band 1".into()))
        );
        let twice = vec![("A".to_owned(), Some(0.1)), ("A".to_owned(), None)];
        assert_eq!(Policy::new(0.1, 0.3, twice), Err(PolicyError::Names));
    }
}
