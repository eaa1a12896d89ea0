//! Whether the parts of a bundle belong together (M1): the model's own words about itself, golden rows, probes.
//!
//! The guard has seen that the file is a sound model; whether it is *the* model only its outputs can tell. Golden rows go
//! through it one by one and as a batch, as requests will, which warms it up as well. Probes are random rows, wilder than
//! any application: whatever comes, the output must be a probability ([`OnnxModel::probabilities`] sees to that).

use std::collections::BTreeMap;

use cauce_features::plan::FeaturePlan;

use super::{BundleError, hex};
use crate::onnx::OnnxModel;
use crate::reference::{GOLDEN_TOLERANCE, GoldenRow, Reference};
use crate::scorecard::Scorecard;

const PROBES: usize = 256;

/// The model was trained on these features, of this specification, and takes NaN if they can be.
pub(super) fn metadata(metadata: &BTreeMap<String, String>, plan: &FeaturePlan) -> Result<(), BundleError> {
    let wrong = |key, problem: String| Err(BundleError::Metadata { key, problem });
    let absent = |key| BundleError::Metadata { key, problem: "is absent".to_owned() };
    let value = |key: &'static str| metadata.get(key).map(String::as_str).ok_or(absent(key));

    let names: Vec<&str> = plan.names().collect();
    match serde_json::from_str::<Vec<String>>(value("cauce.features")?) {
        Ok(given) if given == names => {}
        Ok(given) if given.len() != names.len() => {
            let problem = format!("names {} features, the vector has {}", given.len(), names.len());
            return wrong("cauce.features", problem);
        }
        Ok(given) => {
            let at = given.iter().zip(&names).position(|(given, name)| given != name).unwrap_or(0);
            return wrong("cauce.features", format!("names another feature than `{}` at place {at}", names[at]));
        }
        Err(_) => return wrong("cauce.features", "must be a JSON list of names".to_owned()),
    }
    let expected = hex(&plan.specification().hash);
    let given = value("cauce.specification")?;
    if given != expected {
        return wrong("cauce.specification", format!("is `{given}`, but that of `features.toml` is `{expected}`"));
    }
    match value("cauce.missing")? {
        "nan" => Ok(()),
        "none" => match (0..names.len()).find(|&feature| plan.may_be_missing(feature)) {
            None => Ok(()),
            Some(feature) => {
                wrong("cauce.missing", format!("is `none`, but `{}` has no `default` and may be NaN", names[feature]))
            }
        },
        other => wrong("cauce.missing", format!("is `{other}`, `nan` or `none` is right")),
    }
}

/// Golden rows reproduce, probes give probabilities.
pub(super) fn outputs(model: &mut OnnxModel, scorecard: &Scorecard, reference: &Reference) -> Result<(), BundleError> {
    let rows: Vec<f32> = reference.golden.iter().flat_map(|golden| golden.vector.iter().copied()).collect();
    let batch = model.probabilities(&rows)?.to_vec();
    for (row, (golden, &in_batch)) in reference.golden.iter().zip(&batch).enumerate() {
        let alone = model.probabilities(&golden.vector)?[0];
        let reproduces = |part, given: f32, expected: f32| {
            if (given - expected).abs() <= GOLDEN_TOLERANCE {
                Ok(())
            } else {
                Err(BundleError::Golden { part, row, given, expected })
            }
        };
        reproduces("model", alone, golden.probability)?;
        reproduces("model in a batch", in_batch, golden.probability)?;
        reproduces("scorecard", scorecard.probability(&golden.vector), golden.scorecard)?;
    }
    model.probabilities(&probes(&reference.golden))?;
    Ok(())
}

/// Random rows, the same ones each time: golden values shuffled within their column, any magnitude, NaN where a golden
/// row has one.
fn probes(golden: &[GoldenRow]) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: usize| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let width = golden[0].vector.len();
    let mut rows = Vec::with_capacity(PROBES * width);
    for place in 0..PROBES * width {
        rows.push(match next(3) {
            0 => (next(2001) as f32 - 1000.0) * 10f32.powi(next(13) as i32 - 4),
            _ => golden[next(golden.len())].vector[place % width],
        });
    }
    rows
}
