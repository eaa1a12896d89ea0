//! Bundles made on the spot: a random forest, a specification of as many features, and files that agree.

pub(crate) mod encode;
pub(crate) mod forest;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use cauce_features::spec::Specification;
use cauce_model::{Bundle, BundleError, Limits};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::encode::{ModelFile, tensor};
use self::forest::{Forest, Random};

const GOLDEN_ROWS: usize = 40;

/// A bundle directory, removed when dropped. `bundle.json` is written last, over whatever the files are by then: as if
/// an attacker had written it.
pub(crate) struct Fixture {
    pub(crate) directory: PathBuf,
    pub(crate) model: ModelFile,
    pub(crate) forest: Forest,
    pub(crate) reference: Value,
}

impl Fixture {
    pub(crate) fn new(trees: usize, leaves: usize, width: usize) -> Fixture {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bundle-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory under target");
        let forest = Forest::random(u64::from(number) + 1, trees, leaves, width);
        let names: Vec<String> = (0..width).map(|i| format!("f{i}")).collect();
        let specification = specification(&names);
        let parsed = Specification::parse("features.toml", &specification).expect("a valid specification");
        let mut model = ModelFile::new(width, forest.classifier());
        model.metadata = vec![
            ("cauce.features".to_owned(), json!(names).to_string()),
            ("cauce.specification".to_owned(), parsed.hash.iter().map(|byte| format!("{byte:02x}")).collect()),
            ("cauce.missing".to_owned(), "nan".to_owned()),
        ];
        let fixture = Fixture { reference: reference(&forest, &names), directory, model, forest };
        fixture.write("features.toml", specification);
        fixture.write("scorecard.json", scorecard(&names).to_string());
        let reason = |name: &String| format!("[[reasons]]\nfeature = \"{name}\"\ncode = \"R\"\ntext = \"because\"\n");
        fixture.write("reasons.toml", names.iter().map(reason).collect::<String>());
        fixture.write("MODEL_CARD.md", "# Test\n");
        fixture
    }

    /// With the sum of the trees and the sigmoid as operators of their own.
    pub(crate) fn with_regressor(mut self) -> Fixture {
        self.model.nodes = self.forest.regressor();
        self.model.initializers = vec![tensor("one", &[1], &[1.0])];
        self
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.directory.join(file), content).expect("a file under target");
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).expect("a text file of the bundle")
    }

    /// Writes the model and everything that follows from it, and loads.
    pub(crate) fn load(&self) -> Result<Bundle, BundleError> {
        self.load_bytes(&self.model.bytes())
    }

    pub(crate) fn load_bytes(&self, model: &[u8]) -> Result<Bundle, BundleError> {
        self.write("model.onnx", model);
        self.write("reference.json", self.reference.to_string());
        self.seal();
        Bundle::load(&self.directory, &Limits::default())
    }

    /// What is said of a bundle that must not load.
    pub(crate) fn refusal(&self) -> String {
        self.load().map(drop).expect_err("the bundle must be refused").to_string()
    }

    /// Writes `bundle.json` for the files as they are.
    pub(crate) fn seal(&self) {
        let files =
            ["features.toml", "model.onnx", "scorecard.json", "reasons.toml", "reference.json", "MODEL_CARD.md"];
        let hash = |file: &str| {
            let bytes = fs::read(self.directory.join(file)).expect("a file of the bundle");
            Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let hashes: serde_json::Map<_, _> = files.iter().map(|file| (file.to_string(), json!(hash(file)))).collect();
        let manifest = json!({"format": 1, "name": "test", "version": "2026.11.1", "files": hashes});
        self.write("bundle.json", manifest.to_string());
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn specification(names: &[String]) -> String {
    let field = |name: &String| format!("{name} = {{ type = \"decimal\", scale = 6, required = false }}\n");
    let feature = |name: &String| format!("[[features]]\nname = \"{name}\"\nexpression = \"{name}\"\n");
    format!(
        "name = \"test\"\nhorizon = \"30d\"\n[application.fields]\n{}{}",
        names.iter().map(field).collect::<String>(),
        names.iter().map(feature).collect::<String>()
    )
}

/// The first feature alone counts.
fn scorecard(names: &[String]) -> Value {
    let bins = |first| match first {
        true => json!([{"below": 0.0, "points": -1.0}, {"below": null, "points": 1.0}]),
        false => json!([{"below": null, "points": 0.0}]),
    };
    let feature = |(i, name)| json!({"name": name, "missing": 0.0, "bins": bins(i == 0)});
    json!({"format": 1, "intercept": 0.0, "features": names.iter().enumerate().map(feature).collect::<Vec<_>>()})
}

fn reference(forest: &Forest, names: &[String]) -> Value {
    let rows = Random::new(7).rows(GOLDEN_ROWS, names.len());
    let golden = rows.chunks_exact(names.len()).map(|row| {
        let points = if row[0].is_nan() {
            0.0
        } else if row[0] < 0.0 {
            -1.0
        } else {
            1.0f64
        };
        let vector: Vec<Option<f32>> = row.iter().map(|value| (!value.is_nan()).then_some(*value)).collect();
        json!({"vector": vector, "probability": forest.probability(row), "scorecard": 1.0 / (1.0 + (-points).exp())})
    });
    let feature = |name| json!({"name": name, "edges": [0.0], "shares": [0.5, 0.45], "missing": 0.05});
    json!({
        "format": 1,
        "thresholds": {"approve_below": 0.2, "decline_from": 0.6},
        "bands": [{"name": "A", "below": 0.2}, {"name": "B", "below": null}],
        "features": names.iter().map(feature).collect::<Vec<_>>(),
        "scores": {"edges": [0.5], "shares": [0.5, 0.5]},
        "golden": golden.collect::<Vec<_>>(),
    })
}
