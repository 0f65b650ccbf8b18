//! A bundle's files: read once, hashed, and used from memory, so that what was checked is what runs.

use std::{collections::BTreeMap, fs, path::Path};

use sha2::{Digest, Sha256};

use super::{BundleError, FORMAT, Manifest, graph};
use crate::inputs;

/// Largest file read, bytes: bundles are a few MB, and a mistake should not fill the memory.
const MAX_BYTES: u64 = 256 << 20;

/// A manifest and the content of the files it names.
pub(super) struct Files {
    pub(super) manifest: Manifest,
    contents: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// Reads a bundle's directory: manifest, format, schema, hashes.
    pub(super) fn read(directory: &Path) -> Result<Self, BundleError> {
        let manifest = manifest(&read(&directory.join("manifest.json"))?)?;
        let mut contents = BTreeMap::new();
        for (name, expected) in &manifest.files {
            let content = read(&directory.join(name))?;
            let found = sha256(&content);
            if !found.eq_ignore_ascii_case(expected) {
                return Err(BundleError::Hash { file: name.clone(), found, expected: expected.clone() });
            }
            contents.insert(name.clone(), content);
        }
        Ok(Self { manifest, contents })
    }

    /// Takes a file out.
    pub(super) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        self.contents.remove(name)
    }

    /// Takes a file out without which there is no bundle.
    pub(super) fn need(&mut self, name: &'static str) -> Result<Vec<u8>, BundleError> {
        self.take(name)
            .ok_or_else(|| BundleError::Manifest { problem: format!("`files` does not name {name}") })
    }
}

/// `content` is that of `manifest.json`.
fn manifest(content: &[u8]) -> Result<Manifest, BundleError> {
    let manifest = serde_json::from_slice(content)
        .map_err(|error| BundleError::Manifest { problem: error.to_string() })?;
    check(&manifest)?;
    Ok(manifest)
}

fn check(manifest: &Manifest) -> Result<(), BundleError> {
    let invalid = |problem: String| Err(BundleError::Manifest { problem });
    let Manifest { format, id, feature_schema, spread_scale, files, encoder, .. } = manifest;
    if *format != FORMAT {
        return Err(BundleError::Format { found: *format, expected: FORMAT });
    }
    let expected = inputs::schema_hash();
    if *feature_schema != expected {
        return Err(BundleError::Schema { found: feature_schema.clone(), expected });
    }
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
    if id.is_empty() || id.starts_with('.') || !id.bytes().all(plain) {
        return invalid(format!("`id` is {id:?}; it may have a–z, 0–9, `-`, `.` and `_`"));
    }
    if !(*spread_scale > 0.0 && spread_scale.is_finite()) {
        return invalid(format!("`spread_scale` is {spread_scale}; it must be positive"));
    }
    if let Some(name) = files.keys().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        return invalid(format!("`files` names {name:?}, which is not in the bundle's own directory"));
    }
    if let Some(encoder) = encoder {
        if !files.contains_key(graph::CONTEXT) {
            return invalid(format!("it names an encoder but no {}", graph::CONTEXT));
        }
        // An encoder is looked for in a folder of that name.
        let hashes = [("model", &encoder.model_sha256), ("tokenizer", &encoder.tokenizer_sha256)];
        if let Some((file, hash)) = hashes.into_iter().find(|(_, hash)| !is_sha256(hash)) {
            return invalid(format!(
                "`encoder.{file}_sha256` is {hash:?}, not 64 hexadecimal digits in lower case"
            ));
        }
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    let failed = |source| BundleError::Read { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(failed(std::io::Error::other(format!("{length} bytes are too many for a bundle"))));
    }
    fs::read(path).map_err(failed)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Hexadecimal, lower case.
pub(super) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "format": FORMAT, "id": "a", "created": "2026-01-01T00:00:00Z", "feature_schema": inputs::schema_hash(),
            "spread_scale": 0.1, "training": [{"source": "measured", "dataset": "d", "rows": 1}],
            "files": {"golden.json": "00"},
        })
    }

    /// What is said of a manifest that is no good.
    fn problem(content: &[u8]) -> Option<String> {
        manifest(content).err().map(|error| error.to_string())
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_by_the_files_name(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let problem = problem(&content).unwrap();
            prop_assert!(problem.starts_with("manifest.json: "), "{}", problem);
        }

        #[test]
        fn a_damaged_manifest_is_refused_or_sound(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut content = good().to_string().into_bytes();
            let at = at.index(content.len());
            if cut { content.truncate(at) } else { content[at] = byte }
            if let Ok(manifest) = manifest(&content) {
                prop_assert!(manifest.format == FORMAT && manifest.spread_scale > 0.0);
                prop_assert!(manifest.files.keys().all(|name| !name.contains('/')));
            }
        }

        #[test]
        fn a_field_of_another_kind_is_named(field in prop::sample::select(vec![
            "format", "id", "created", "feature_schema", "spread_scale", "training", "files"
        ])) {
            let mut manifest = good();
            manifest.as_object_mut().unwrap().remove(field);
            let missing = problem(manifest.to_string().as_bytes()).unwrap();
            prop_assert!(missing.contains(&format!("missing field `{field}`")), "{}", missing);
            manifest[field] = json!([{"no": "such"}, 1]);
            let odd = problem(manifest.to_string().as_bytes()).unwrap();
            prop_assert!(odd.starts_with("manifest.json: ") && odd.contains(" at line 1 column "), "{}", odd);
        }
    }

    #[test]
    fn an_encoder_is_named_by_its_hash() {
        let hash = sha256(b"model");
        for (model, tokenizer, taken) in [
            (hash.as_str(), hash.as_str(), true),
            ("../../../etc", &hash, false),
            ("", &hash, false),
            (&hash, &hash.to_uppercase(), false),
            (&hash[1..], &hash, false),
        ] {
            let mut manifest = good();
            manifest["files"]["context.onnx"] = "00".into();
            manifest["encoder"] =
                json!({"name": "e", "model_sha256": model, "tokenizer_sha256": tokenizer, "width": 4});
            let problem = problem(manifest.to_string().as_bytes());
            assert_eq!(problem.is_none(), taken, "{model} {tokenizer}: {problem:?}");
            assert!(problem.is_none_or(|problem| problem.contains("not 64 hexadecimal digits")));
        }
    }

    #[test]
    fn a_good_one_is_taken() {
        assert_eq!(problem(good().to_string().as_bytes()), None);
    }
}
