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
        let invalid = |problem: String| BundleError::Data { file: "vectors.json", problem };
        let file = match content {
            Some(content) => serde_json::from_slice(content).map_err(|error| invalid(error.to_string()))?,
            None => File::default(),
        };
        let width = encoder.as_ref().map_or(0, |encoder| encoder.width);
        if encoder.is_some() && content.is_some() && file.width != width {
            return Err(invalid(format!("its width is {}, the manifest says {width}", file.width)));
        }
        let shipped = if encoder.is_some() { file.vectors } else { HashMap::new() };
        if let Some((text, vector)) =
            shipped.iter().find(|(_, v)| v.len() != width || v.iter().any(|x| !x.is_finite()))
        {
            return Err(invalid(format!("the vector of {text:?} has {} numbers, or odd ones", vector.len())));
        }
        let (zero, environment) = (vec![0.0; width].into(), environment.clone());
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
