//! What the training saw, kept beside the model: thresholds, distributions to measure drift against, and golden rows.
//!
//! Golden rows are vectors with the probabilities that training got for them. A bundle that does not reproduce them
//! within [`GOLDEN_TOLERANCE`] does not load (M1): most corrupt model files load and score, only wrongly.

use serde::Deserialize;

use crate::score::{Policy, PolicyError};

/// ONNX Runtime's own results differ by up to 1.8e-7 with threads and batch sizes.
pub const GOLDEN_TOLERANCE: f32 = 1e-6;

/// Fewer rows would leave too many trees unvisited.
const GOLDEN_ROWS_MIN: usize = 20;

/// The content of `reference.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub policy: Policy,
    /// One a feature, in vector order.
    pub features: Vec<Distribution>,
    /// Of the model's probabilities.
    pub scores: Distribution,
    pub golden: Vec<GoldenRow>,
}

/// Shares of the training rows between edges: `shares[i]` lies below `edges[i]`, the last above all; `missing` apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    pub edges: Vec<f64>,
    pub shares: Vec<f64>,
    pub missing: f64,
}

/// A vector and what training made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenRow {
    pub vector: Vec<f32>,
    /// The model's.
    pub probability: f32,
    /// The scorecard's.
    pub scorecard: f32,
}

/// What is wrong with a reference file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("{0}")]
    Malformed(String),
    #[error("format {0} is not known, 1 is")]
    Format(u32),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("its `features` must be those of the vector, in order: `{expected}` expected at place {place}")]
    Features { place: usize, expected: String },
    #[error("the distribution of `{0}` needs rising edges, one share more than edges, and shares that sum to 1")]
    Distribution(String),
    #[error("it has {0} golden rows, at least {GOLDEN_ROWS_MIN} are needed")]
    TooFewGolden(usize),
    #[error("golden row {row} must have {width} values and two probabilities within [0, 1]")]
    Golden { row: usize, width: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    thresholds: FileThresholds,
    bands: Vec<FileBand>,
    features: Vec<FileFeature>,
    scores: FileScores,
    golden: Vec<FileGolden>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileThresholds {
    approve_below: f32,
    decline_from: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBand {
    name: String,
    below: Option<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFeature {
    name: String,
    edges: Vec<f64>,
    shares: Vec<f64>,
    missing: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileScores {
    edges: Vec<f64>,
    shares: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGolden {
    vector: Vec<Option<f32>>,
    probability: f32,
    scorecard: f32,
}

impl Reference {
    /// Reads `reference.json` against the features of the vector.
    pub fn parse(text: &str, features: &[&str]) -> Result<Reference, ReferenceError> {
        let file: File = serde_json::from_str(text).map_err(|error| ReferenceError::Malformed(error.to_string()))?;
        if file.format != 1 {
            return Err(ReferenceError::Format(file.format));
        }
        let bands = file.bands.into_iter().map(|band| (band.name, band.below)).collect();
        Ok(Reference {
            policy: Policy::new(file.thresholds.approve_below, file.thresholds.decline_from, bands)?,
            features: distributions(file.features, features)?,
            scores: Distribution::new("scores", file.scores.edges, file.scores.shares, 0.0)?,
            golden: golden(file.golden, features.len())?,
        })
    }
}

impl Distribution {
    fn new(name: &str, edges: Vec<f64>, shares: Vec<f64>, missing: f64) -> Result<Distribution, ReferenceError> {
        let is_share = |share: &f64| (0.0..=1.0).contains(share);
        let total = shares.iter().sum::<f64>() + missing;
        let sound = shares.len() == edges.len() + 1
            && edges.is_sorted_by(|a, b| a < b)
            && shares.iter().chain([&missing]).all(is_share)
            && (total - 1.0).abs() < 1e-3;
        if !sound {
            return Err(ReferenceError::Distribution(name.to_owned()));
        }
        Ok(Distribution { edges, shares, missing })
    }
}

fn distributions(given: Vec<FileFeature>, features: &[&str]) -> Result<Vec<Distribution>, ReferenceError> {
    let mut given = given.into_iter();
    let mut distributions = Vec::with_capacity(features.len());
    for (place, expected) in features.iter().enumerate() {
        match given.next() {
            Some(FileFeature { name, edges, shares, missing }) if name == *expected => {
                distributions.push(Distribution::new(&name, edges, shares, missing)?);
            }
            _ => return Err(ReferenceError::Features { place, expected: (*expected).to_owned() }),
        }
    }
    match given.next() {
        Some(_) => Err(ReferenceError::Features { place: features.len(), expected: "no more".to_owned() }),
        None => Ok(distributions),
    }
}

fn golden(given: Vec<FileGolden>, width: usize) -> Result<Vec<GoldenRow>, ReferenceError> {
    if given.len() < GOLDEN_ROWS_MIN {
        return Err(ReferenceError::TooFewGolden(given.len()));
    }
    let is_probability = |value: f32| (0.0..=1.0).contains(&value);
    let rows = given.into_iter().enumerate().map(|(row, FileGolden { vector, probability, scorecard })| {
        if vector.len() != width || !is_probability(probability) || !is_probability(scorecard) {
            return Err(ReferenceError::Golden { row, width });
        }
        let vector = vector.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect();
        Ok(GoldenRow { vector, probability, scorecard })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> String {
        let golden = vec![r#"{"vector": [1.5, null], "probability": 0.25, "scorecard": 0.5}"#; 20].join(",");
        format!(
            r#"{{"format": 1, "thresholds": {{"approve_below": 0.1, "decline_from": 0.3}},
            "bands": [{{"name": "A", "below": 0.05}}, {{"name": "B", "below": null}}],
            "features": [{{"name": "a", "edges": [1.0, 2.0], "shares": [0.5, 0.25, 0.15], "missing": 0.1}},
                         {{"name": "b", "edges": [], "shares": [1.0], "missing": 0.0}}],
            "scores": {{"edges": [0.5], "shares": [0.75, 0.25]}}, "golden": [{golden}]}}"#
        )
    }

    fn refusal(from: &str, to: &str) -> String {
        assert!(file().contains(from));
        Reference::parse(&file().replacen(from, to, 1), &["a", "b"]).expect_err("refused").to_string()
    }

    #[test]
    fn a_missing_value_is_null_in_the_file_and_nan_in_the_vector() {
        let reference = Reference::parse(&file(), &["a", "b"]).expect("valid");
        assert_eq!(reference.golden.len(), 20);
        assert_eq!(reference.golden[0].vector[0], 1.5);
        assert!(reference.golden[0].vector[1].is_nan());
        assert_eq!(reference.policy.bands().collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn a_reference_of_another_vector_is_refused() {
        assert!(refusal("\"name\": \"b\"", "\"name\": \"c\"").contains("`b` expected at place 1"));
        let shorter = Reference::parse(&file(), &["a"]).expect_err("refused").to_string();
        assert!(shorter.contains("`no more` expected at place 1"));
        assert_eq!(
            refusal("[1.5, null]", "[1.5]"),
            "golden row 0 must have 2 values and two probabilities within [0, 1]"
        );
        assert!(refusal("0.25, \"scorecard\"", "1.25, \"scorecard\"").contains("golden row 0"));
    }

    #[test]
    fn a_reference_that_makes_no_sense_is_refused() {
        assert!(refusal("[1.0, 2.0]", "[2.0, 1.0]").contains("distribution of `a`"));
        assert!(refusal("0.75, 0.25", "0.75, 0.5").contains("distribution of `scores`"));
        assert!(refusal("\"approve_below\": 0.1", "\"approve_below\": 0.9").contains("`thresholds`"));
        assert!(refusal("\"format\": 1", "\"format\": 1, \"colour\": 2").contains("unknown field `colour`"));
        let few = file().replacen(r#"{"vector": [1.5, null], "probability": 0.25, "scorecard": 0.5},"#, "", 1);
        assert_eq!(Reference::parse(&few, &["a", "b"]), Err(ReferenceError::TooFewGolden(19)));
    }
}
