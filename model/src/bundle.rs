//! The unit of deployment: a directory loaded whole or not at all (M1).
//!
//! ```text
//! bundle.json       format, name, version, sha256 of every other file; its own sha256 is the bundle's hash
//! features.toml     what an application and each event carry; the features
//! model.onnx        the model; its metadata name the features and the specification it was trained on
//! scorecard.json    the fallback over the same vector
//! reasons.toml      feature -> reason code and wording
//! reference.json    thresholds, bands, training distributions, golden rows
//! MODEL_CARD.md     data, licence, metrics, limits
//! ```
//!
//! Loading goes from cheap to dear, and nothing reaches ONNX Runtime before `guard` has walked the file: sizes, hashes,
//! specification, the three files against its features, the model's structure and metadata, then a session, the golden
//! rows and random probes (`check`). Each file is read once; what was hashed is what is used.

mod check;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cauce_features::plan::{FeaturePlan, PlanError};
use cauce_features::spec::{SpecErrors, Specification};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::guard::{self, GuardError};
use crate::onnx::{ModelError, OnnxModel};
use crate::reason::{Reasons, ReasonsError};
use crate::reference::{Reference, ReferenceError};
use crate::runtime::{self, RuntimeError};
use crate::score::Policy;
use crate::scorecard::{Scorecard, ScorecardError};

const MANIFEST: &str = "bundle.json";
const SPECIFICATION: &str = "features.toml";
const MODEL: &str = "model.onnx";
const SCORECARD: &str = "scorecard.json";
const REASONS: &str = "reasons.toml";
const REFERENCE: &str = "reference.json";
const CARD: &str = "MODEL_CARD.md";

/// The files of a bundle.
pub const FILES: [&str; 7] = [MANIFEST, SPECIFICATION, MODEL, SCORECARD, REASONS, REFERENCE, CARD];

/// A loaded bundle: everything in it belongs together and has been seen to work.
#[derive(Debug)]
pub struct Bundle {
    name: String,
    version: String,
    hash: String,
    plan: FeaturePlan,
    model: Vec<u8>,
    metadata: BTreeMap<String, String>,
    scorecard: Scorecard,
    reasons: Reasons,
    reference: Reference,
    card: String,
}

/// What a bundle may cost at most; a larger one is refused before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of `model.onnx`.
    pub model_bytes_max: u64,
    /// Of any other file.
    pub file_bytes_max: u64,
}

/// Why a bundle does not load; the one in service keeps serving.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("`{path}` cannot be read: {cause}")]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("`{file}` is larger than {limit} bytes")]
    TooLarge { file: &'static str, limit: u64 },
    #[error("`{file}` is not UTF-8 text")]
    NotText { file: &'static str },
    #[error("`bundle.json`: {0}")]
    Manifest(String),
    #[error("`{file}` is not the file that `bundle.json` describes: its sha256 is {given}, {expected} expected")]
    Hash { file: &'static str, given: String, expected: String },
    #[error("it is the bundle `{given}`, and `{expected}` is expected: it was changed meanwhile")]
    Another { given: String, expected: String },
    #[error(transparent)]
    Specification(#[from] SpecErrors),
    #[error("`features.toml`: {0}")]
    Plan(#[from] PlanError),
    #[error("`features.toml`: it has no features, and a model needs at least one")]
    NoFeatures,
    #[error("`scorecard.json`: {0}")]
    Scorecard(#[from] ScorecardError),
    #[error("`reasons.toml`: {0}")]
    Reasons(#[from] ReasonsError),
    #[error("`reference.json`: {0}")]
    Reference(#[from] ReferenceError),
    #[error("`model.onnx`: {0}")]
    Guard(#[from] GuardError),
    #[error("`model.onnx`: metadata `{key}` {problem}")]
    Metadata { key: &'static str, problem: String },
    #[error("`model.onnx`: {0}")]
    Model(#[from] ModelError),
    #[error("golden row {row}: the {part} gives {given}, `reference.json` says {expected}")]
    Golden { part: &'static str, row: usize, given: f32, expected: f32 },
}

impl Default for Limits {
    fn default() -> Self {
        Limits { model_bytes_max: 64 << 20, file_bytes_max: 8 << 20 }
    }
}

impl Bundle {
    /// Loads and checks the bundle in a directory.
    pub fn load(directory: &Path, limits: &Limits) -> Result<Bundle, BundleError> {
        runtime::environment()?;
        Self::of(Files::read(directory, limits)?)
    }

    /// Loads the bundle of that hash and no other: nothing else gets further than being hashed.
    pub fn load_expected(directory: &Path, limits: &Limits, expected: &str) -> Result<Bundle, BundleError> {
        runtime::environment()?;
        let files = Files::read(directory, limits)?;
        if files.hash != expected {
            return Err(BundleError::Another { given: files.hash, expected: expected.to_owned() });
        }
        Self::of(files)
    }

    fn of(files: Files) -> Result<Bundle, BundleError> {
        let plan = compile(text(SPECIFICATION, &files.specification)?)?;
        let names: Vec<&str> = plan.names().collect();
        let scorecard = Scorecard::parse(text(SCORECARD, &files.scorecard)?, &names)?;
        let reasons = Reasons::parse(text(REASONS, &files.reasons)?, &names)?;
        let reference = Reference::parse(text(REFERENCE, &files.reference)?, &names)?;
        let metadata = guard::inspect(&files.model, plan.width())?;
        check::metadata(&metadata, &plan)?;
        check::outputs(&mut OnnxModel::from_bytes(&files.model, plan.width())?, &scorecard, &reference)?;
        Ok(Bundle {
            card: text(CARD, &files.card)?.to_owned(),
            name: files.manifest.name,
            version: files.manifest.version,
            hash: files.hash,
            model: files.model,
            plan,
            metadata,
            scorecard,
            reasons,
            reference,
        })
    }

    /// The hash of the bundle that lies in a directory, whether or not it would load: whoever watches one sees by it what has changed.
    pub fn hash_at(directory: &Path, limits: &Limits) -> Result<String, BundleError> {
        Ok(sha256(&read(directory, MANIFEST, limits.file_bytes_max)?))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// As a person writes it, for example `2026.11.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Hex SHA-256 of `bundle.json`, and so of everything in the bundle: what answers carry.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What applies events and computes vectors for this model.
    pub fn plan(&self) -> &FeaturePlan {
        &self.plan
    }

    /// Hex hash of the canonical feature specification: bundles that agree on it read the same histories.
    pub fn specification_hash(&self) -> String {
        hex(&self.plan.specification().hash)
    }

    /// The model's metadata, training facts among them.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    pub fn scorecard(&self) -> &Scorecard {
        &self.scorecard
    }

    pub fn reasons(&self) -> &Reasons {
        &self.reasons
    }

    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    pub fn policy(&self) -> &Policy {
        &self.reference.policy
    }

    /// The model card, Markdown.
    pub fn card(&self) -> &str {
        &self.card
    }

    /// How many features a vector has.
    pub fn width(&self) -> usize {
        self.plan.width()
    }

    pub(crate) fn model_bytes(&self) -> &[u8] {
        &self.model
    }
}

/// The bytes of a bundle whose hashes agree.
struct Files {
    manifest: Manifest,
    hash: String,
    specification: Vec<u8>,
    model: Vec<u8>,
    scorecard: Vec<u8>,
    reasons: Vec<u8>,
    reference: Vec<u8>,
    card: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    name: String,
    version: String,
    files: BTreeMap<String, String>,
}

impl Files {
    fn read(directory: &Path, limits: &Limits) -> Result<Files, BundleError> {
        let bytes = read(directory, MANIFEST, limits.file_bytes_max)?;
        let manifest = Manifest::parse(&bytes)?;
        let verified = |file, limit| {
            let bytes = read(directory, file, limit)?;
            let (given, expected) = (sha256(&bytes), manifest.files[file].clone());
            if given == expected { Ok(bytes) } else { Err(BundleError::Hash { file, given, expected }) }
        };
        Ok(Files {
            hash: sha256(&bytes),
            specification: verified(SPECIFICATION, limits.file_bytes_max)?,
            model: verified(MODEL, limits.model_bytes_max)?,
            scorecard: verified(SCORECARD, limits.file_bytes_max)?,
            reasons: verified(REASONS, limits.file_bytes_max)?,
            reference: verified(REFERENCE, limits.file_bytes_max)?,
            card: verified(CARD, limits.file_bytes_max)?,
            manifest,
        })
    }
}

impl Manifest {
    fn parse(bytes: &[u8]) -> Result<Manifest, BundleError> {
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|error| BundleError::Manifest(error.to_string()))?;
        if manifest.format != 1 {
            return Err(BundleError::Manifest(format!("format {} is not known, 1 is", manifest.format)));
        }
        if ![&manifest.name, &manifest.version].iter().all(|label| is_label(label)) {
            let expected = "`name` and `version` must be 1 to 64 letters, digits, `.`, `-` or `_`";
            return Err(BundleError::Manifest(expected.to_owned()));
        }
        let mut expected = [SPECIFICATION, MODEL, SCORECARD, REASONS, REFERENCE, CARD];
        expected.sort_unstable();
        if !manifest.files.keys().eq(expected) {
            return Err(BundleError::Manifest(format!("`files` must be exactly {}", expected.join(", "))));
        }
        Ok(manifest)
    }
}

/// Name and version stand in answers, metrics and logs.
fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=64).contains(&label.len()) && label.bytes().all(allowed)
}

/// Never reads more than the limit, whatever the size the file system tells.
fn read(directory: &Path, file: &'static str, limit: u64) -> Result<Vec<u8>, BundleError> {
    let path = directory.join(file);
    let mut bytes = Vec::new();
    let outcome = File::open(&path).and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes));
    outcome.map_err(|cause| BundleError::Unreadable { path, cause })?;
    if bytes.len() as u64 > limit {
        return Err(BundleError::TooLarge { file, limit });
    }
    Ok(bytes)
}

fn text<'a>(file: &'static str, bytes: &'a [u8]) -> Result<&'a str, BundleError> {
    std::str::from_utf8(bytes).map_err(|_| BundleError::NotText { file })
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compile(text: &str) -> Result<FeaturePlan, BundleError> {
    let plan = FeaturePlan::compile(Specification::parse(SPECIFICATION, text)?)?;
    if plan.width() == 0 { Err(BundleError::NoFeatures) } else { Ok(plan) }
}
