//! Bundles, right ones and others.

use std::{collections::BTreeMap, fs, path::Path};

use gearshift_selector::{
    OUTPUTS,
    inputs::{self, HARDWARE, MODEL, PROFILE, QUERY_WIDTH},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::onnx::Graph;

const ENGINE: usize = MODEL.len() + HARDWARE.len() + PROFILE.len();
/// What every graph says of every candidate, but for a hundredth of the model's first number.
const SAYS: [f32; OUTPUTS.len()] = [0.1, 0.2, -0.1, 0.3, 0.1, 0.0, 0.01];
const OF_FIRST: f32 = 0.01;
/// What a slow graph multiplies: some milliseconds.
const WIDE: usize = 2560;

/// The files of a bundle.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) manifest: Value,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Made {
    /// In one graph, made on this day of 2026's November.
    pub(super) fn whole(day: u8) -> Self {
        Self::of(day, [("regressor.onnx", whole(&SAYS))])
    }

    /// In two graphs.
    pub(super) fn split(day: u8) -> Self {
        let [context, regressor] = split();
        Self::of(day, [("context.onnx", context), ("regressor.onnx", regressor)])
    }

    /// Says what is no number.
    pub(super) fn nan(day: u8) -> Self {
        Self::of(day, [("regressor.onnx", whole(&[f32::NAN; OUTPUTS.len()]))])
    }

    /// Takes milliseconds.
    pub(super) fn slow(day: u8) -> Self {
        Self::of(day, [("regressor.onnx", slow())])
    }

    fn of<const N: usize>(day: u8, graphs: [(&str, Vec<u8>); N]) -> Self {
        let manifest = json!({
            "format": 1,
            "id": "made-by-tests",
            "created": format!("2026-11-{day:02}T00:00:00Z"),
            "feature_schema": inputs::schema_hash(),
            "spread_scale": 0.1,
            "training": [{"source": "simulated", "dataset": "none", "rows": 0}],
            "files": {},
        });
        let golden = ("golden.json".to_owned(), golden().to_string().into_bytes());
        let files = graphs.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).chain([golden]);
        let mut made = Self { manifest, files: files.collect() };
        made.hash();
        made
    }

    /// Writes the hashes of the files as they are into the manifest.
    pub(super) fn hash(&mut self) {
        let hex =
            |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.manifest["files"] =
            self.files.iter().map(|(name, bytes)| (name.clone(), Value::from(hex(bytes)))).collect();
    }

    /// Writes the files into a directory.
    pub(super) fn write(&self, directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        for (name, bytes) in &self.files {
            fs::write(directory.join(name), bytes).unwrap();
        }
        fs::write(directory.join("manifest.json"), self.manifest.to_string()).unwrap();
    }

    /// Drops it into a folder: beside its place, then renamed.
    pub(super) fn drop_into(&self, folder: &Path, name: &str) {
        let beside = folder.join(format!(".{name}"));
        self.write(&beside);
        fs::rename(beside, folder.join(name)).unwrap();
    }
}

fn weights(inputs: usize) -> Vec<f32> {
    let first = [OF_FIRST; OUTPUTS.len() - 1].into_iter().chain([0.0]);
    first.chain(std::iter::repeat(0.0)).take(inputs * OUTPUTS.len()).collect()
}

fn whole(says: &[f32]) -> Vec<u8> {
    let width = ENGINE + QUERY_WIDTH;
    Graph::default()
        .input("features", &[width])
        .floats("weights", &[width, OUTPUTS.len()], &weights(width))
        .floats("says", &[OUTPUTS.len()], says)
        .node("MatMul", &["features", "weights"], "scaled")
        .node("Add", &["scaled", "says"], "prediction")
        .output("prediction", &[OUTPUTS.len()])
        .finish()
}

fn split() -> [Vec<u8>; 2] {
    let context = Graph::default()
        .input("model", &[MODEL.len()])
        .input("hardware", &[HARDWARE.len()])
        .input("profile", &[PROFILE.len()])
        .integers("one", &[1])
        .node_with("Concat", &["model", "hardware", "profile"], "engine", Some(("axis", 1)))
        .node("Unsqueeze", &["engine", "one"], "memory")
        .output("memory", &[1, ENGINE]);
    let regressor = Graph::default()
        .input("memory", &[1, ENGINE])
        .input("query", &[QUERY_WIDTH])
        .integers("one", &[1])
        .floats("weights", &[ENGINE, OUTPUTS.len()], &weights(ENGINE))
        .floats("none", &[QUERY_WIDTH, OUTPUTS.len()], &[0.0; QUERY_WIDTH * OUTPUTS.len()])
        .floats("says", &[OUTPUTS.len()], &SAYS)
        .node("Squeeze", &["memory", "one"], "engine")
        .node("MatMul", &["engine", "weights"], "of_engine")
        .node("MatMul", &["query", "none"], "of_query")
        .node("Add", &["of_engine", "of_query"], "scaled")
        .node("Add", &["scaled", "says"], "prediction")
        .output("prediction", &[OUTPUTS.len()]);
    [context.finish(), regressor.finish()]
}

fn slow() -> Vec<u8> {
    let (width, wide) = (ENGINE + QUERY_WIDTH, i64::try_from(WIDE).unwrap());
    Graph::default()
        .input("features", &[width])
        .floats("weights", &[width, OUTPUTS.len()], &weights(width))
        .floats("says", &[OUTPUTS.len()], &SAYS)
        // Zeros, made when the graph is opened.
        .integers("up_shape", &[i64::try_from(width).unwrap(), wide])
        .integers("across_shape", &[wide, wide])
        .integers("down_shape", &[wide, i64::try_from(OUTPUTS.len()).unwrap()])
        .node("ConstantOfShape", &["up_shape"], "up")
        .node("ConstantOfShape", &["across_shape"], "across")
        .node("ConstantOfShape", &["down_shape"], "down")
        .node("MatMul", &["features", "up"], "h0")
        .node("MatMul", &["h0", "across"], "h1")
        .node("MatMul", &["h1", "across"], "h2")
        .node("MatMul", &["h2", "across"], "h3")
        .node("MatMul", &["h3", "down"], "nothing")
        .node("MatMul", &["features", "weights"], "scaled")
        .node("Add", &["scaled", "nothing"], "more")
        .node("Add", &["more", "says"], "prediction")
        .output("prediction", &[OUTPUTS.len()])
        .finish()
}

fn golden() -> Value {
    let rows = (0..32_u8).map(|row| {
        let first = f32::from(row) / 8.0;
        let mut model = [0.5; MODEL.len()];
        model[0] = first;
        let mut prediction = SAYS;
        prediction[..OUTPUTS.len() - 1].iter_mut().for_each(|value| *value += OF_FIRST * first);
        json!({
            "model": model, "hardware": vec![0.25; HARDWARE.len()], "profile": vec![1.0; PROFILE.len()],
            "query": vec![0.75; QUERY_WIDTH], "prediction": prediction,
        })
    });
    json!({"rows": rows.collect::<Vec<_>>()})
}
