//! Bundles, right ones and others.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use gearshift_selector::{
    OUTPUTS,
    inputs::{self, HARDWARE, MODEL, PROFILE, QUERY, QUERY_WIDTH},
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

/// Prompt tokens that some graphs do not bear.
pub(super) const LONG: f32 = 1024.0;
/// Width of a text's vector.
const ENCODED: usize = 4;
/// The description of hardware that a bundle of texts has a vector of.
pub(super) const KNOWN_TEXT: &str = "A card that everybody knows.";

/// A text encoder that knows a few words.
pub(super) struct TinyEncoder {
    pub(super) model: Vec<u8>,
    pub(super) tokenizer: Vec<u8>,
}

impl TinyEncoder {
    pub(super) fn new() -> Self {
        let words = json!({"[UNK]": 0, "A": 1, "card": 2, "new": 3, ".": 4});
        let tokenizer = json!({
            "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
            "truncation": null, "padding": null, "normalizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
        });
        let vectors: Vec<f32> = (1..=5_u8).flat_map(|word| [f32::from(word); ENCODED]).collect();
        let model = Graph::default()
            .tokens("input_ids")
            .floats("vectors", &[5, ENCODED], &vectors)
            .node("Gather", &["vectors", "input_ids"], "states")
            .vectors("states", ENCODED)
            .finish();
        Self { model, tokenizer: tokenizer.to_string().into_bytes() }
    }

    fn named(&self) -> Value {
        let (model, tokenizer) = (hex(&self.model), hex(&self.tokenizer));
        json!({"name": "tiny", "model_sha256": model, "tokenizer_sha256": tokenizer, "width": ENCODED})
    }

    /// Puts it where bundles of this folder look for it, and gives its directory.
    pub(super) fn put_into(&self, folder: &Path) -> PathBuf {
        let directory = folder.join("encoder").join(hex(&self.model));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("model.onnx"), &self.model).unwrap();
        fs::write(directory.join("tokenizer.json"), &self.tokenizer).unwrap();
        directory
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

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

    /// Says what is no number of prompts of more than [`LONG`] tokens.
    pub(super) fn nan_of_long_prompts(day: u8) -> Self {
        Self::of(day, [("regressor.onnx", nan_of_long_prompts())])
    }

    /// Takes milliseconds for prompts of more than [`LONG`] tokens.
    pub(super) fn slow_with_long_prompts(day: u8) -> Self {
        Self::of(day, [("regressor.onnx", slow_with_long_prompts())])
    }

    /// Has a text encoder, and knows one description of hardware. Where it is `blind`, it cannot go without.
    pub(super) fn of_texts(day: u8, encoder: &TinyEncoder, blind: bool) -> Self {
        let [context, regressor] = split_of(context_of_texts(blind));
        let mut made = Self::of(day, [("context.onnx", context), ("regressor.onnx", regressor)]);
        made.manifest["encoder"] = encoder.named();
        let vectors = json!({"width": ENCODED, "vectors": {KNOWN_TEXT: vec![0.5; ENCODED]}});
        made.files.insert("vectors.json".into(), vectors.to_string().into_bytes());
        let mut golden = golden();
        for row in golden["rows"].as_array_mut().unwrap() {
            row["hardware_text"] = KNOWN_TEXT.into();
        }
        made.files.insert("golden.json".into(), golden.to_string().into_bytes());
        made.hash();
        made
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
    split_of(context().node("Unsqueeze", &["engine", "one"], "memory"))
}

/// From the engine's inputs to `engine`, all of them in a row.
fn context() -> Graph {
    Graph::default()
        .input("model", &[MODEL.len()])
        .input("hardware", &[HARDWARE.len()])
        .input("profile", &[PROFILE.len()])
        .integers("one", &[1])
        .node_with("Concat", &["model", "hardware", "profile"], "engine", Some(("axis", 1)))
}

/// Takes texts and ignores them, or says NaN where that of the hardware has no vector.
fn context_of_texts(blind: bool) -> Graph {
    let context = ["model_text", "hardware_text", "workload_text"]
        .into_iter()
        .fold(context(), |graph, name| graph.input(name, &[ENCODED]))
        .floats("sum", &[ENCODED, 1], &[1.0; ENCODED])
        .floats("zero", &[1], &[0.0])
        .node("MatMul", &["hardware_text", "sum"], "seen");
    // The logarithm of zero is infinite, and times zero no number.
    let context =
        if blind { context.node("Log", &["seen"], "sight") } else { context.node("Neg", &["seen"], "sight") };
    context.node("Mul", &["sight", "zero"], "nothing").node("Add", &["engine", "nothing"], "told").node(
        "Unsqueeze",
        &["told", "one"],
        "memory",
    )
}

fn split_of(context: Graph) -> [Vec<u8>; 2] {
    let context = context.output("memory", &[1, ENGINE]);
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

/// From `features` to `prediction`, to which a hidden zero [n, 1] or [] is added, and to `over`: log₂ of the prompt's tokens
/// beyond [`LONG`] [n, 1].
fn with_prompt(nothing: impl FnOnce(Graph) -> Graph) -> Vec<u8> {
    let width = ENGINE + QUERY_WIDTH;
    let at = ENGINE + QUERY.iter().position(|name| *name == "query.log2_prompt_tokens").unwrap();
    let column: Vec<f32> = (0..width).map(|input| if input == at { 1.0 } else { 0.0 }).collect();
    let graph = Graph::default()
        .input("features", &[width])
        .floats("weights", &[width, OUTPUTS.len()], &weights(width))
        .floats("says", &[OUTPUTS.len()], &SAYS)
        .floats("column", &[width, 1], &column)
        .floats("long", &[1], &[LONG.log2()])
        .floats("zero", &[1], &[0.0])
        .node("MatMul", &["features", "column"], "prompt")
        .node("Sub", &["prompt", "long"], "over");
    nothing(graph)
        .node("MatMul", &["features", "weights"], "scaled")
        .node("Add", &["scaled", "nothing"], "more")
        .node("Add", &["more", "says"], "prediction")
        .output("prediction", &[OUTPUTS.len()])
        .finish()
}

fn nan_of_long_prompts() -> Vec<u8> {
    with_prompt(|graph| {
        graph
            .node("Neg", &["over"], "room")
            // Of what is below zero.
            .node("Sqrt", &["room"], "root")
            .node("Mul", &["root", "zero"], "nothing")
    })
}

fn slow_with_long_prompts() -> Vec<u8> {
    with_prompt(|graph| {
        graph
            .integers("first", &[0])
            .integers("all", &[0, 1])
            .integers("one", &[1])
            .floats("steep", &[1], &[600.0])
            .node("Relu", &["over"], "beyond")
            .node("Mul", &["beyond", "steep"], "sides")
            .node_with("ReduceMax", &["sides", "all"], "most", Some(("keepdims", 0)))
            .node_with("Cast", &["most"], "whole", Some(("to", 7)))
            .node("Unsqueeze", &["whole", "first"], "side")
            .node("Add", &["side", "one"], "edge")
            .node_with("Concat", &["edge", "edge"], "shape", Some(("axis", 0)))
            .node("ConstantOfShape", &["shape"], "square")
            .node("MatMul", &["square", "square"], "power")
            .node_with("ReduceMax", &["power", "all"], "nothing", Some(("keepdims", 0)))
    })
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
