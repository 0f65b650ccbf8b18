//! Vectors of descriptions: precomputed in the bundle, or made by its text encoder.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use ort::environment::Environment;

use super::{BundleError, Encoder, TextEncoder, Texts};

/// `vectors.json`.
#[derive(Debug, Default, serde::Deserialize)]
struct File {
    width: usize,
    vectors: HashMap<String, Arc<[f32]>>,
}

/// The texts a bundle knows.
#[derive(Debug)]
pub(super) struct Vectors {
    shipped: HashMap<String, Arc<[f32]>>,
    zero: Arc<[f32]>,
    encoder: Option<Encoder>,
    /// Where encoders lie.
    directory: Option<PathBuf>,
    environment: Environment,
    #[expect(clippy::disallowed_types, reason = "off the request path: taken while a snapshot is built")]
    made: std::sync::Mutex<Made>,
}

/// What came up since the bundle was loaded.
#[derive(Debug, Default)]
struct Made {
    vectors: HashMap<String, Arc<[f32]>>,
    /// Texts without a vector.
    missing: HashSet<String>,
}

impl Vectors {
    /// `content` is that of `vectors.json`. Without an encoder in the manifest no text has a vector.
    pub(super) fn new(
        content: Option<&[u8]>,
        encoder: Option<Encoder>,
        directory: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Self, BundleError> {
        let width = encoder.as_ref().map(|encoder| encoder.width);
        let shipped = content.map(|content| shipped(content, width)).transpose()?.unwrap_or_default();
        let (zero, environment) = (vec![0.0; width.unwrap_or(0)].into(), environment.clone());
        Ok(Self { shipped, zero, encoder, directory, environment, made: Default::default() })
    }

    /// Texts so far that had no vector, and no encoder to make one.
    pub(super) fn missing(&self) -> usize {
        self.made().missing.len()
    }

    /// The vector of a text that was shipped with the bundle; the empty one is zero.
    pub(super) fn shipped(&self, text: &str) -> Option<Arc<[f32]>> {
        if text.is_empty() || self.encoder.is_none() {
            return Some(Arc::clone(&self.zero));
        }
        self.shipped.get(text).cloned()
    }

    /// The vectors of texts. The encoder is read where one is not known, and let go afterwards: it takes more memory
    /// than all else, and is needed when the configuration brings new words.
    pub(super) fn of(&self, texts: &[Texts<'_>]) -> Result<Vec<[Arc<[f32]>; 3]>, BundleError> {
        let words = || texts.iter().flat_map(|texts| [texts.model, texts.hardware, texts.workload]);
        let mut made = self.made();
        let unknown: BTreeSet<&str> = words()
            .filter(|&text| self.shipped(text).is_none() && !made.vectors.contains_key(text))
            .collect();
        if !unknown.is_empty() {
            match self.open_encoder()? {
                Some(mut encoder) => {
                    for text in unknown {
                        made.vectors.insert(text.to_owned(), encoder.encode(text)?.into());
                        made.missing.remove(text);
                    }
                }
                None => made.missing.extend(unknown.into_iter().map(str::to_owned)),
            }
        }
        let vector = |text: &str| {
            let known = self.shipped(text).or_else(|| made.vectors.get(text).cloned());
            known.unwrap_or_else(|| Arc::clone(&self.zero))
        };
        Ok(texts.iter().map(|t| [vector(t.model), vector(t.hardware), vector(t.workload)]).collect())
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn open_encoder(&self) -> Result<Option<TextEncoder>, BundleError> {
        let (Some(encoder), Some(directory)) = (&self.encoder, &self.directory) else { return Ok(None) };
        let directory = directory.join(&encoder.model_sha256);
        if !directory.is_dir() {
            return Ok(None);
        }
        Ok(Some(TextEncoder::open_named(&directory, encoder, &self.environment)?))
    }
}

/// `content` is that of `vectors.json`, `width` that of the manifest's encoder; without one nothing is read of it.
fn shipped(content: &[u8], width: Option<usize>) -> Result<HashMap<String, Arc<[f32]>>, BundleError> {
    let invalid = |problem: String| BundleError::Data { file: "vectors.json", problem };
    let file: File = serde_json::from_slice(content).map_err(|error| invalid(error.to_string()))?;
    let Some(width) = width else { return Ok(HashMap::new()) };
    if file.width != width {
        return Err(invalid(format!("its width is {}, the manifest says {width}", file.width)));
    }
    let odd = |vector: &[f32]| vector.len() != width || vector.iter().any(|x| !x.is_finite());
    if let Some((text, vector)) = file.vectors.iter().find(|(_, vector)| odd(vector)) {
        return Err(invalid(format!("the vector of {text:?} has {} numbers, or odd ones", vector.len())));
    }
    Ok(file.vectors)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused_by_the_files_name(
            content in prop::collection::vec(any::<u8>(), 0..200),
            width in prop::option::of(0_usize..5),
        ) {
            let problem = shipped(&content, width).unwrap_err().to_string();
            prop_assert!(problem.starts_with("vectors.json: "), "{}", problem);
        }

        #[test]
        fn vectors_are_of_one_width_or_named(
            texts in prop::collection::btree_map(".{0,8}", prop::collection::vec(-1e30_f64..1e30, 2..4), 0..5),
        ) {
            let content = json!({"width": 3, "vectors": texts}).to_string();
            let short = texts.iter().find(|(_, vector)| vector.len() != 3);
            match shipped(content.as_bytes(), Some(3)) {
                Ok(found) => prop_assert!(short.is_none() && found.len() == texts.len()),
                Err(error) => {
                    let problem = error.to_string();
                    let named = |text: &String| problem.contains(&format!("the vector of {text:?} has 2 numbers"));
                    prop_assert!(texts.iter().any(|(text, v)| v.len() == 2 && named(text)), "{}", problem);
                }
            }
        }

        #[test]
        fn a_damaged_file_is_refused_or_whole(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut content = json!({"width": 2, "vectors": {"a": [0.5, 0.25]}}).to_string().into_bytes();
            let at = at.index(content.len());
            if cut { content.truncate(at) } else { content[at] = byte }
            match shipped(&content, Some(2)) {
                Ok(found) => prop_assert!(found.values().all(|vector| vector.len() == 2)),
                Err(error) => prop_assert!(error.to_string().starts_with("vectors.json: "), "{}", error),
            }
        }
    }
}
