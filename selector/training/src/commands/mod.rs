//! The subcommands: each reads its arguments, calls the library, and says what came of it.

pub(crate) mod bundle;
pub(crate) mod eval;
pub(crate) mod examples;
pub(crate) mod fit;
pub(crate) mod import;
pub(crate) mod inputs;
pub(crate) mod live;
pub(crate) mod study;
pub(crate) mod watch;

use std::path::Path;

use gearshift_selector::OnnxRuntime;
use gearshift_training::{Error, fit::Recipe};

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Said {
    /// What is printed.
    pub(crate) text: String,
    /// Whether what was asked is so; the exit code says it.
    pub(crate) yes: bool,
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self { text, yes: true }
    }
}

/// One JSON document.
fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|error| Error::Failed(error.to_string()))
}

/// Loads ONNX Runtime from where the user says, or the environment.
fn onnxruntime(stated: Option<&Path>) -> Result<OnnxRuntime, Error> {
    let from_environment = || std::env::var_os("ORT_DYLIB_PATH").map(Into::into);
    let Some(library) = stated.map(Path::to_owned).or_else(from_environment) else {
        return Err(Error::Failed("ONNX Runtime is needed: --onnxruntime or ORT_DYLIB_PATH".to_owned()));
    };
    OnnxRuntime::load(&library).map_err(|error| Error::Failed(error.to_string()))
}

/// Hyperparameters from a file; the default where none is named.
fn recipe(path: Option<&Path>) -> Result<Recipe, Error> {
    let Some(path) = path else { return Ok(Recipe::default()) };
    let text = std::fs::read(path).map_err(Error::file(path))?;
    let wrong = |error: &dyn std::fmt::Display| Error::Failed(format!("{}: {error}", path.display()));
    let recipe: Recipe = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    recipe.check().map_err(|error| wrong(&error))?;
    Ok(recipe)
}
