//! Why a score is what it is: a code and a wording for every feature.
//!
//! The map is complete by construction: a bundle whose reasons miss a feature, or name one that is not in the vector,
//! does not load (M1). So whatever feature weighs most in a decision, there are words for it.

use serde::Deserialize;

/// The reasons of a bundle, one a feature, in vector order.
#[derive(Debug, Clone, PartialEq)]
pub struct Reasons {
    reasons: Vec<Reason>,
}

/// The code and wording of one feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: String,
    pub text: String,
}

/// What is wrong with a reasons file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReasonsError {
    #[error("{0}")]
    Malformed(String),
    #[error("`{0}` is no feature of the vector")]
    Unknown(String),
    #[error("`{0}` has two reasons, one is right")]
    Twice(String),
    #[error("`{0}` has no reason")]
    Absent(String),
    #[error("the `code` and `text` of `{0}` must not be empty")]
    Empty(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    reasons: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    feature: String,
    code: String,
    text: String,
}

impl Reasons {
    /// Reads `reasons.toml` against the features of the vector.
    pub fn parse(text: &str, features: &[&str]) -> Result<Reasons, ReasonsError> {
        let file: File = toml::from_str(text).map_err(|error| ReasonsError::Malformed(error.to_string()))?;
        let mut found: Vec<Option<Reason>> = vec![None; features.len()];
        for Row { feature, code, text } in file.reasons {
            let Some(at) = features.iter().position(|name| *name == feature) else {
                return Err(ReasonsError::Unknown(feature));
            };
            if code.is_empty() || text.is_empty() {
                return Err(ReasonsError::Empty(feature));
            }
            if found[at].replace(Reason { code, text }).is_some() {
                return Err(ReasonsError::Twice(feature));
            }
        }
        let complete = found.into_iter().zip(features);
        let complete = complete.map(|(reason, name)| reason.ok_or_else(|| ReasonsError::Absent((*name).to_owned())));
        Ok(Reasons { reasons: complete.collect::<Result<_, _>>()? })
    }

    /// The reason of the feature at a place in the vector.
    pub fn of(&self, feature: usize) -> &Reason {
        &self.reasons[feature]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(feature: &str) -> String {
        format!("[[reasons]]\nfeature = \"{feature}\"\ncode = \"R1\"\ntext = \"because\"\n")
    }

    #[test]
    fn reasons_stand_in_vector_order_whatever_the_order_of_the_file() {
        let text = format!("{}{}", row("b"), row("a").replace("R1", "R2"));
        let reasons = Reasons::parse(&text, &["a", "b"]).expect("complete");
        assert_eq!((reasons.of(0).code.as_str(), reasons.of(1).code.as_str()), ("R2", "R1"));
    }

    #[test]
    fn a_map_that_is_not_one_to_one_is_refused() {
        let parse = |text: String| Reasons::parse(&text, &["a", "b"]).expect_err("refused");
        assert_eq!(parse(row("a")), ReasonsError::Absent("b".into()));
        assert_eq!(parse(row("a") + &row("a")), ReasonsError::Twice("a".into()));
        assert_eq!(parse(row("c")), ReasonsError::Unknown("c".into()));
        assert_eq!(parse(row("a").replace("because", "")), ReasonsError::Empty("a".into()));
        assert!(parse(row("a") + "colour = \"red\"\n").to_string().contains("colour"));
    }
}
