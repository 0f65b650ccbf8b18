//! A small bundle for tests and benches, made for the inputs of this build around graphs that take any.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use gearshift_selector::{FORMAT, OUTPUTS, inputs};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A bundle in a directory of its own, which goes with it.
pub(crate) struct Made {
    pub(crate) directory: PathBuf,
}

/// What `graphs.py` has.
const SLOPES: [f32; OUTPUTS.len()] = [0.5, 0.4, 0.3, 0.4, 0.3, 0.2, 0.0];
const OFFSETS: [f32; OUTPUTS.len()] = [0.0, 0.0, 0.0, 0.3, 0.3, 0.0, 0.05];
/// The one text that the bundle knows, and its vector.
pub(crate) const TEXT: (&str, [f32; 4]) = ("a known text", [0.1, 0.2, 0.3, 0.4]);

impl Made {
    /// With `context.onnx` and texts.
    pub(crate) fn split() -> Self {
        Self::new(&[("context.onnx", "context"), ("regressor.onnx", "regressor")])
    }

    /// One graph for everything.
    pub(crate) fn whole() -> Self {
        Self::new(&[("regressor.onnx", "whole")])
    }

    /// Files of the bundle, and the fixtures they are.
    pub(crate) fn new(graphs: &[(&str, &str)]) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("gearshift-bundle-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed));
        let made = Self { directory: std::env::temp_dir().join(name) };
        fs::create_dir_all(&made.directory).unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/graphs");
        for (file, fixture) in graphs {
            fs::copy(fixtures.join(fixture).with_extension("onnx"), made.directory.join(file)).unwrap();
        }
        let split = graphs.len() > 1;
        made.write("vectors.json", &json!({"width": 4, "vectors": {TEXT.0: TEXT.1}}));
        made.write("golden.json", &json!({"rows": (0..32).map(|at| row(at, split)).collect::<Vec<_>>()}));
        let encoder = json!({"name": "test", "model_sha256": "0".repeat(64), "tokenizer_sha256": "0".repeat(64), "width": 4});
        made.write_manifest(&if split { encoder } else { Value::Null });
        made
    }

    /// Writes a file, not yet in the manifest.
    pub(crate) fn write(&self, file: &str, content: &Value) {
        fs::write(self.directory.join(file), content.to_string()).unwrap();
    }

    fn write_manifest(&self, encoder: &Value) {
        let manifest = json!({
            "format": FORMAT, "id": "made", "created": "2026-01-01T00:00:00Z", "encoder": encoder,
            "feature_schema": inputs::schema_hash(), "spread_scale": 0.2, "training": [], "files": self.hashes(),
        });
        self.write("manifest.json", &manifest);
    }

    fn hashes(&self) -> BTreeMap<String, String> {
        let files = fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_name() != "manifest.json");
        let hash = |path: PathBuf| {
            Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        files.map(|entry| (entry.file_name().into_string().unwrap(), hash(entry.path()))).collect()
    }

    /// Changes the manifest.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.directory.join("manifest.json");
        let mut manifest = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        change(&mut manifest);
        self.write("manifest.json", &manifest);
    }

    /// Makes the manifest's hashes those of the files.
    pub(crate) fn sign(&self) {
        let hashes = json!(self.hashes());
        self.change(|manifest| manifest["files"] = hashes);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Any numbers, with what the graphs make of them.
fn row(seed: u64, split: bool) -> Value {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut numbers = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.f32() - 0.5).collect() };
    let [model, hardware, profile, query] =
        [inputs::MODEL.len(), inputs::HARDWARE.len(), inputs::PROFILE.len(), inputs::QUERY_WIDTH]
            .map(&mut numbers);
    let text = if split && seed.is_multiple_of(2) { TEXT.0 } else { "" };
    let of_text = if text.is_empty() { 0.0 } else { mean(&TEXT.1) };
    let sum = if split {
        mean(&[mean(&model), mean(&hardware), mean(&profile), of_text, 0.0, 0.0]) + mean(&query)
    } else {
        mean(&[&model[..], &hardware, &profile, &query].concat())
    };
    let prediction: Vec<f32> =
        SLOPES.iter().zip(OFFSETS).map(|(slope, offset)| slope * sum.tanh() + offset).collect();
    json!({
        "model": model, "hardware": hardware, "profile": profile, "model_text": text, "hardware_text": "",
        "workload_text": "", "query": query, "prediction": prediction,
    })
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / f32::from(u16::try_from(values.len()).unwrap())
}
