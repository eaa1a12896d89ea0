//! The fallback: additive points over the same vector as the model.
//!
//! A scorecard is a logistic regression on binned features, so it is calibrated by its own fit, a person can read it, and
//! it cannot fail: any vector, NaN and infinities included, gives a probability inside (0, 1). It also says how many
//! points each feature adds, which is where reasons come from.
//!
//! Bin edges are float32, as vectors are: a value that equals an edge falls on the same side here and in training.

use serde::Deserialize;

/// Log-odds are held within ±15, where one float32 step still keeps a probability off 0 and 1.
const LOG_ODDS_MAX: f64 = 15.0;

/// An additive points model. Invariant: one table of bins a feature, edges ascending, every number finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorecard {
    intercept: f64,
    features: Vec<Bins>,
}

/// The points of one feature: `edges[i]` is the exclusive upper edge of bin `i`, the last bin has none.
#[derive(Debug, Clone, PartialEq)]
struct Bins {
    edges: Vec<f32>,
    points: Vec<f64>,
    missing: f64,
}

/// What is wrong with a scorecard file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScorecardError {
    #[error("{0}")]
    Malformed(String),
    #[error("format {0} is not known, 1 is")]
    Format(u32),
    #[error("its features must be those of the vector, in order: `{expected}` expected at place {place}")]
    Features { place: usize, expected: String },
    #[error("it has {given} features, the vector has {expected}")]
    Count { given: usize, expected: usize },
    #[error("the bins of `{0}` must rise and end with the only one whose `below` is null")]
    Bins(String),
    #[error("`{0}` holds a number that is not finite or is beyond ±1000")]
    Points(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    intercept: f64,
    features: Vec<FileFeature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFeature {
    name: String,
    missing: f64,
    bins: Vec<FileBin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBin {
    below: Option<f32>,
    points: f64,
}

impl Scorecard {
    /// Reads `scorecard.json` against the features of the vector.
    pub fn parse(text: &str, features: &[&str]) -> Result<Scorecard, ScorecardError> {
        let file: File = serde_json::from_str(text).map_err(|error| ScorecardError::Malformed(error.to_string()))?;
        if file.format != 1 {
            return Err(ScorecardError::Format(file.format));
        }
        if file.features.len() != features.len() {
            return Err(ScorecardError::Count { given: file.features.len(), expected: features.len() });
        }
        if !is_points(file.intercept) {
            return Err(ScorecardError::Points("intercept".to_owned()));
        }
        let bins = file.features.into_iter().zip(features).enumerate().map(|(place, (feature, expected))| {
            if feature.name != *expected {
                return Err(ScorecardError::Features { place, expected: (*expected).to_owned() });
            }
            Bins::new(feature)
        });
        Ok(Scorecard { intercept: file.intercept, features: bins.collect::<Result<_, _>>()? })
    }

    /// The probability of default of a vector, always inside (0, 1).
    pub fn probability(&self, vector: &[f32]) -> f32 {
        let log_odds = self.intercept + self.points(vector).sum::<f64>();
        let log_odds = log_odds.clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX);
        (1.0 / (1.0 + (-log_odds).exp())) as f32
    }

    /// The log-odds that each feature adds, in vector order: above zero it speaks for a default.
    pub fn points(&self, vector: &[f32]) -> impl Iterator<Item = f64> {
        debug_assert_eq!(vector.len(), self.features.len(), "a vector of another bundle. This is a bug");
        self.features.iter().zip(vector).map(|(bins, &value)| bins.points(value))
    }
}

impl Bins {
    fn new(feature: FileFeature) -> Result<Bins, ScorecardError> {
        let FileFeature { name, missing, bins } = feature;
        let Some((last, rising)) = bins.split_last() else { return Err(ScorecardError::Bins(name)) };
        let edges: Option<Vec<f32>> = rising.iter().map(|bin| bin.below.filter(|below| below.is_finite())).collect();
        let Some(edges) = edges.filter(|edges| last.below.is_none() && edges.is_sorted_by(|a, b| a < b)) else {
            return Err(ScorecardError::Bins(name));
        };
        let points: Vec<f64> = bins.iter().map(|bin| bin.points).collect();
        if !is_points(missing) || !points.iter().all(|&points| is_points(points)) {
            return Err(ScorecardError::Points(name));
        }
        Ok(Bins { edges, points, missing })
    }

    fn points(&self, value: f32) -> f64 {
        if value.is_nan() {
            return self.missing;
        }
        self.points[self.edges.partition_point(|&edge| edge <= value)]
    }
}

/// Bounded, so that no sum of points can overflow.
fn is_points(value: f64) -> bool {
    value.abs() <= 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = r#"{"format": 1, "intercept": -1.0, "features": [
        {"name": "a", "missing": 0.5, "bins": [{"below": 0.1, "points": -2.0}, {"below": 3.0, "points": 0.0}, {"below": null, "points": 2.0}]},
        {"name": "b", "missing": 0.0, "bins": [{"below": null, "points": 0.25}]}]}"#;

    fn card() -> Scorecard {
        Scorecard::parse(FILE, &["a", "b"]).expect("a valid scorecard")
    }

    fn refusal(from: &str, to: &str) -> String {
        Scorecard::parse(&FILE.replacen(from, to, 1), &["a", "b"]).expect_err("refused").to_string()
    }

    #[test]
    fn a_value_on_an_edge_falls_above_it() {
        let points = |value| card().points(&[value, 0.0]).next();
        let below = f32::from_bits(0.1f32.to_bits() - 1);
        assert_eq!([below, 0.1, 2.9, 3.0].map(points), [-2.0, 0.0, 0.0, 2.0].map(Some));
        assert_eq!([f32::NEG_INFINITY, f32::INFINITY, f32::NAN].map(points), [-2.0, 2.0, 0.5].map(Some));
    }

    #[test]
    fn points_are_log_odds() {
        let expected = 1.0 / (1.0 + (1.0f64 - 0.25 - 2.0).exp());
        assert_eq!(card().probability(&[4.0, 0.0]), expected as f32);
    }

    #[test]
    fn the_largest_points_still_give_a_probability() {
        let probability = |intercept: &str| {
            let file = FILE.replace("-1.0", intercept);
            Scorecard::parse(&file, &["a", "b"]).expect("within bounds").probability(&[4.0, 0.0])
        };
        assert!(probability("1000.0") < 1.0);
        assert!(probability("-1000.0") > 0.0);
    }

    #[test]
    fn a_scorecard_of_another_vector_is_refused() {
        assert_eq!(
            refusal("\"b\"", "\"c\""),
            "its features must be those of the vector, in order: `b` expected at place 1"
        );
        assert_eq!(Scorecard::parse(FILE, &["a"]), Err(ScorecardError::Count { given: 2, expected: 1 }));
        assert_eq!(refusal("\"format\": 1", "\"format\": 2"), "format 2 is not known, 1 is");
        assert!(refusal("3.0", "0.1").contains("the bins of `a` must rise"));
        assert!(refusal("3.0", "null").contains("the bins of `a` must rise"));
        assert!(refusal("\"below\": null", "\"below\": 7").contains("the bins of `a` must rise"));
        assert!(refusal("0.25", "1e9").contains("`b` holds a number"));
        assert!(refusal("\"missing\"", "\"absent\"").contains("unknown field `absent`"));
    }

    proptest! {
        #[test]
        fn any_bits_at_all_give_a_probability(a in any::<u32>(), b in any::<u32>()) {
            let probability = card().probability(&[f32::from_bits(a), f32::from_bits(b)]);
            prop_assert!(probability > 0.0 && probability < 1.0);
        }
    }
}
