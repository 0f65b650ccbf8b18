//! The text encoder: a small pre-trained language model that turns descriptions into vectors.
//!
//! A sentence encoder (MiniLM, 384 numbers, 22 MB quantized), run by ONNX Runtime. It runs when a configuration brings words
//! that a bundle has no vector of, and when a bundle is trained; never for a request.

use std::path::{Path, PathBuf};

use ort::{environment::Environment, session::Session, value::TensorRef};
use tokenizers::{Tokenizer, TruncationParams};

use super::{Encoder, OnnxRuntime, files, graph};

/// Tokens read of a text; the encoder was trained on 256 at most.
const MAX_TOKENS: usize = 256;

/// Turns texts into vectors of unit length: similar texts, similar vectors.
pub struct TextEncoder {
    session: Session,
    tokenizer: Tokenizer,
    width: usize,
    model_sha256: String,
    tokenizer_sha256: String,
}

/// Why a text encoder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("text encoder in {}: {problem}; `python3 tools/fetch_encoder.py` fetches it again", directory.display())]
pub struct EncoderError {
    directory: PathBuf,
    problem: String,
}

impl std::fmt::Debug for TextEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextEncoder").field("model", &self.model_sha256).finish_non_exhaustive()
    }
}

/// The files of an encoder as they were read, so that what was hashed is what runs.
#[derive(Debug)]
struct Content<'d> {
    directory: &'d Path,
    model: Vec<u8>,
    tokenizer: Vec<u8>,
    model_sha256: String,
    tokenizer_sha256: String,
}

impl<'d> Content<'d> {
    fn read(directory: &'d Path) -> Result<Self, EncoderError> {
        let read = |name: &str| {
            let failed = |error: super::BundleError| EncoderError {
                directory: directory.to_owned(),
                problem: error.to_string(),
            };
            files::read(&directory.join(name)).map_err(failed)
        };
        let (model, tokenizer) = (read("model.onnx")?, read("tokenizer.json")?);
        Ok(Self::of(directory, model, tokenizer))
    }

    fn of(directory: &'d Path, model: Vec<u8>, tokenizer: Vec<u8>) -> Self {
        let (model_sha256, tokenizer_sha256) = (files::sha256(&model), files::sha256(&tokenizer));
        Self { directory, model, tokenizer, model_sha256, tokenizer_sha256 }
    }

    fn failed(&self, problem: &dyn ToString) -> EncoderError {
        EncoderError { directory: self.directory.to_owned(), problem: problem.to_string() }
    }

    /// Refuses it where it is another one than is named.
    fn named(self, named: &Encoder) -> Result<Self, EncoderError> {
        let found = (&self.model_sha256, &self.tokenizer_sha256);
        if found == (&named.model_sha256, &named.tokenizer_sha256) {
            return Ok(self);
        }
        let problem = format!("model and tokenizer are {found:?}, not those the bundle was trained with");
        Err(self.failed(&problem))
    }

    fn open(self, environment: &Environment) -> Result<TextEncoder, EncoderError> {
        let mut tokenizer = Tokenizer::from_bytes(&self.tokenizer).map_err(|error| self.failed(&error))?;
        let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
        let cut = tokenizer.with_truncation(Some(truncation)).map(|_| ());
        cut.map_err(|error| self.failed(&error))?;
        tokenizer.with_padding(None);
        let session = graph::session(environment, &self.model).map_err(|error| self.failed(&error))?;
        let (model_sha256, tokenizer_sha256) = (self.model_sha256.clone(), self.tokenizer_sha256.clone());
        let mut opened = TextEncoder { session, tokenizer, width: 0, model_sha256, tokenizer_sha256 };
        opened.width = opened.pooled("a").map_err(|problem| self.failed(&problem))?.len();
        Ok(opened)
    }
}

impl TextEncoder {
    /// Opens `model.onnx` and `tokenizer.json` of a directory.
    ///
    /// # Errors
    /// Where a file is missing, or is no encoder.
    pub fn open(directory: &Path, runtime: &OnnxRuntime) -> Result<Self, EncoderError> {
        Content::read(directory)?.open(runtime.environment())
    }

    /// As [`Self::open`], where it is the one that a manifest names; nothing else is run.
    pub(super) fn open_named(
        directory: &Path,
        named: &Encoder,
        environment: &Environment,
    ) -> Result<Self, EncoderError> {
        let opened = Content::read(directory)?.named(named)?.open(environment)?;
        if opened.width == named.width {
            return Ok(opened);
        }
        let problem = format!("its width is {}, the bundle's is {}", opened.width, named.width);
        Err(EncoderError { directory: directory.to_owned(), problem })
    }

    /// Numbers of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How a manifest names it.
    pub fn describe(&self, name: &str) -> Encoder {
        Encoder {
            name: name.to_owned(),
            model_sha256: self.model_sha256.clone(),
            tokenizer_sha256: self.tokenizer_sha256.clone(),
            width: self.width,
        }
    }

    /// The vector of a text, of unit length; zero for the empty text.
    ///
    /// # Errors
    /// Where ONNX Runtime fails.
    pub fn encode(&mut self, text: &str) -> Result<Vec<f32>, EncoderError> {
        if text.is_empty() {
            return Ok(vec![0.0; self.width]);
        }
        let mut vector = self
            .pooled(text)
            .map_err(|problem| EncoderError { directory: PathBuf::from(&self.model_sha256), problem })?;
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|x| *x /= norm);
        Ok(vector)
    }

    /// The mean over the tokens' vectors.
    fn pooled(&mut self, text: &str) -> Result<Vec<f32>, String> {
        let encoding = self.tokenizer.encode(text, true).map_err(|error| error.to_string())?;
        let widen = |values: &[u32]| values.iter().copied().map(i64::from).collect::<Vec<_>>();
        let tokens = encoding.get_ids().len();
        let ids = widen(encoding.get_ids());
        let mask = widen(encoding.get_attention_mask());
        let types = widen(encoding.get_type_ids());
        let mut inputs = Vec::new();
        for input in self.session.inputs() {
            let values = match input.name() {
                "input_ids" => &ids,
                "attention_mask" => &mask,
                "token_type_ids" => &types,
                other => return Err(format!("its graph wants an input {other:?} that nothing fills")),
            };
            let tensor = TensorRef::from_array_view(([1, tokens], &values[..])).map_err(|e| e.to_string())?;
            inputs.push(tensor.into());
        }
        let outputs = self.session.run(&inputs[..]).map_err(|error| error.to_string())?;
        let output = outputs.values().next().ok_or("its graph has no output")?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let width = match shape[..] {
            [1, n, width] if usize::try_from(n) == Ok(tokens) => usize::try_from(width).unwrap_or(0),
            _ => 0,
        };
        if width == 0 {
            return Err(format!("its graph's output is {:?}, not one vector for each token", &**shape));
        }
        let mut mean = vec![0.0; width];
        for token in values.chunks_exact(width) {
            mean.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
        }
        let count = f32::from(u16::try_from(tokens).unwrap_or(u16::MAX));
        mean.iter_mut().for_each(|sum| *sum /= count);
        Ok(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_one_than_is_named_is_refused_before_it_runs() {
        let (model, tokenizer) = (files::sha256(b"model"), files::sha256(b"tokenizer"));
        let named = |model_sha256: &str, tokenizer_sha256: &str| Encoder {
            name: "e".into(),
            model_sha256: model_sha256.into(),
            tokenizer_sha256: tokenizer_sha256.into(),
            width: 4,
        };
        let read = || Content::of(Path::new("encoder"), b"model".to_vec(), b"tokenizer".to_vec());
        read().named(&named(&model, &tokenizer)).unwrap();
        for (model, tokenizer) in [(&model, &model), (&tokenizer, &tokenizer)] {
            let refused = read().named(&named(model, tokenizer)).unwrap_err().to_string();
            assert!(refused.contains("not those the bundle was trained with"), "{refused}");
        }
    }
}
