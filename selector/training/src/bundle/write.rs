//! The directory.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use gearshift_selector::{Encoder, FORMAT, Manifest, TrainingRows, inputs};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Vectors, clock, golden::Golden};
use crate::{
    Error,
    fit::{Fitted, Prepared},
    prior_fit::Priors,
};

/// Most bytes of a bundle: it travels in images and ConfigMaps.
const MOST_BYTES: usize = 4 << 20;

/// What a bundle is made of.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Its name; the directory's.
    pub id: &'a str,
    /// The network.
    pub fitted: &'a Fitted,
    /// The rows it was trained on; golden rows are taken from them.
    pub rows: &'a Prepared,
    /// The prior it corrects, and the one that says how long things take.
    pub priors: &'a Priors,
    /// The encoder of its texts, where it takes any.
    pub encoder: Option<&'a Encoder>,
    /// Vectors of descriptions.
    pub vectors: &'a Vectors,
    /// Rows it was trained on, by source.
    pub training: Vec<TrainingRows>,
    /// Summary of its evaluation; `null` where there is none yet.
    pub evaluation: serde_json::Value,
}

/// Writes a bundle. Files are written beside each other and the manifest last, so that one who watches the directory
/// never takes half of a new one for whole: hashes would not match.
///
/// # Errors
/// Where a file cannot be written, the rows are too few, or the bundle would be larger than 4 MB.
pub fn write(directory: &Path, contents: &Contents<'_>) -> Result<Manifest, Error> {
    let graphs = contents.fitted.graphs();
    let mut files = BTreeMap::from([
        ("context.onnx", graphs.context),
        ("regressor.onnx", graphs.regressor),
        ("golden.json", json(&Golden::new(contents.fitted, contents.rows)?)?),
    ]);
    let takes_texts = contents.fitted.recipe.shape.text > 0;
    if takes_texts {
        files.insert("vectors.json", json(contents.vectors)?);
    }
    let encoder = if takes_texts { contents.encoder.cloned() } else { None };
    if takes_texts && encoder.is_none() {
        return Err(Error::Failed("the network takes texts, and no encoder was named".to_owned()));
    }
    let manifest = Manifest {
        format: FORMAT,
        id: contents.id.to_owned(),
        created: clock::now(),
        feature_schema: inputs::schema_hash(),
        prior: contents.priors.ranking,
        level: Some(contents.priors.level),
        encoder,
        spread_scale: contents.fitted.spread_scale,
        training: contents.training.clone(),
        evaluation: contents.evaluation.clone(),
        files: files.iter().map(|(name, content)| ((*name).to_owned(), sha256(content))).collect(),
    };
    let bytes: usize = files.values().map(Vec::len).sum();
    if bytes > MOST_BYTES {
        return Err(Error::Failed(format!("the bundle has {bytes} bytes; {MOST_BYTES} are the most")));
    }
    fs::create_dir_all(directory).map_err(Error::file(directory))?;
    for (name, content) in &files {
        let path = directory.join(name);
        fs::write(&path, content).map_err(Error::file(&path))?;
    }
    write_manifest(directory, &manifest)?;
    Ok(manifest)
}

/// Writes a summary of its evaluation into the manifest of a bundle that is not in service yet.
///
/// # Errors
/// Where there is no manifest, or it cannot be written.
pub fn evaluated(directory: &Path, evaluation: serde_json::Value) -> Result<Manifest, Error> {
    let path = directory.join("manifest.json");
    let text = fs::read(&path).map_err(Error::file(&path))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
    let manifest = Manifest { evaluation, ..manifest };
    write_manifest(directory, &manifest)?;
    Ok(manifest)
}

/// Writes the manifest.
pub(crate) fn write_manifest(directory: &Path, manifest: &Manifest) -> Result<(), Error> {
    let path = directory.join("manifest.json");
    let mut text = serde_json::to_vec_pretty(manifest).map_err(unwritable)?;
    text.push(b'\n');
    fs::write(&path, text).map_err(Error::file(&path))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(unwritable)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn unwritable(error: serde_json::Error) -> Error {
    Error::Failed(format!("cannot be written as JSON: {error}"))
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
