//! A loaded bundle.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use ort::environment::Environment;

use super::{
    BundleError, Cost, Generation, Head, Heads, Manifest, Memory, OUTPUTS, OnnxRuntime, Texts,
    encode::Context,
    files::Files,
    golden::Golden,
    graph::{self, Port},
    head::Layout,
    memory::Engine,
    vectors::Vectors,
};
use crate::{
    deployment::Deployment,
    inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH, StaticInputs},
};

/// How bundles are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// Time that one decision may take, most of it for the head. It sets how many candidates the head is asked about.
    pub budget: Duration,
    /// Directory of text encoders, each in a directory named by the SHA-256 of its `model.onnx`; `None` to go without.
    pub encoders: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { budget: Duration::from_micros(100), encoders: None }
    }
}

impl LoadOptions {
    /// For what decides nothing that anybody waits for, such as studies in virtual time: how busy this machine is must not say
    /// how many candidates are asked about.
    #[must_use]
    pub fn unhurried() -> Self {
        Self { budget: Duration::from_secs(10), encoders: None }
    }
}

/// A bundle whose hashes, schema, graphs and golden rows are right and whose speed is known.
#[derive(Debug)]
pub struct Bundle {
    manifest: Manifest,
    generation: Generation,
    environment: Environment,
    regressor: Arc<[u8]>,
    layout: Layout,
    context: Context,
    vectors: Vectors,
    cost: Cost,
}

impl Bundle {
    /// Reads and tries out a bundle's directory. Takes a good part of a second: not for a request core.
    ///
    /// # Errors
    /// Whatever is wrong with it; see [`BundleError`].
    pub fn load(directory: &Path, runtime: &OnnxRuntime, options: &LoadOptions) -> Result<Self, BundleError> {
        let environment = runtime.environment();
        let mut files = Files::read(directory)?;
        let encoder = files.manifest.encoder.clone();
        let vectors = Vectors::new(
            files.take("vectors.json").as_deref(),
            encoder.clone(),
            options.encoders.clone(),
            environment,
        )?;
        let golden = Golden::new(&files.need("golden.json")?, |text| vectors.shipped(text))?;
        let context = match files.take(graph::CONTEXT) {
            Some(graph) => Context::new(graph::open(environment, graph::CONTEXT, &graph)?, encoder.as_ref())?,
            None => Context::Numbers,
        };
        let regressor: Arc<[u8]> = files.need(graph::REGRESSOR)?.into();
        let session = graph::open(environment, graph::REGRESSOR, &regressor)?;
        let layout = layout(&session, &context, &golden)?;
        let generation = Generation::next();
        let mut head = Head::new(session, layout, generation);
        let memories = golden.replay(&context, &mut head)?;
        let cost = Cost::measure(&mut head, &memories, &golden.queries, options.budget)?;
        let environment = environment.clone();
        let manifest = files.manifest;
        Ok(Self { manifest, generation, environment, regressor, layout, context, vectors, cost })
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Tells it from every other bundle loaded by this process, an earlier load of the same directory included.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What a decision costs with it, and how many candidates it is asked about.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// Descriptions so far of which neither it nor an encoder had a vector: their engines are known by numbers only.
    pub fn missing_texts(&self) -> usize {
        self.vectors.missing()
    }

    /// Encodes engines, in their order; once per snapshot.
    ///
    /// # Errors
    /// Where a graph fails, or the text encoder is damaged.
    pub fn remember(&self, engines: &[(&Deployment, Texts<'_>)]) -> Result<Vec<Memory>, BundleError> {
        let texts: Vec<_> = engines.iter().map(|(_, texts)| *texts).collect();
        let encode = |((deployment, _), texts): (&(&Deployment, Texts<'_>), _)| Engine {
            statics: StaticInputs::new(deployment),
            texts,
        };
        let engines: Vec<_> = engines.iter().zip(self.vectors.of(&texts)?).map(encode).collect();
        self.context.encode(&engines)
    }

    /// One head.
    ///
    /// # Errors
    /// Where ONNX Runtime makes no session, such as for want of memory.
    pub fn head(&self) -> Result<Head, BundleError> {
        let session = graph::open(&self.environment, graph::REGRESSOR, &self.regressor)?;
        Ok(Head::new(session, self.layout, self.generation))
    }

    /// A head for each core; not to be called on one of them.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn heads(&self, cores: usize) -> Result<Heads, BundleError> {
        Heads::new((0..cores).map(|_| self.head()))
    }
}

/// Finds out how the regressor takes its inputs, and checks them.
fn layout(
    session: &ort::session::Session,
    context: &Context,
    golden: &Golden,
) -> Result<Layout, BundleError> {
    let size = |len: usize| i64::try_from(len).unwrap_or(-1);
    let output = Port { name: "prediction", shape: &[-1, size(OUTPUTS.len())] };
    match context {
        Context::Numbers => {
            let numbers = MODEL.len() + HARDWARE.len() + PROFILE.len();
            let features = Port { name: "features", shape: &[-1, size(numbers + QUERY_WIDTH)] };
            graph::check(graph::REGRESSOR, session, &[features], output)?;
            Ok(Layout::Whole { numbers })
        }
        Context::Graph(_) => {
            // There are rows: their number was checked.
            let (tokens, width) =
                golden.engines.first().map_or(Ok((0, 0)), |engine| context.shape(engine))?;
            let memory = Port { name: "memory", shape: &[-1, size(tokens), size(width)] };
            let query = Port { name: "query", shape: &[-1, size(QUERY_WIDTH)] };
            graph::check(graph::REGRESSOR, session, &[memory, query], output)?;
            let memory_first = session.inputs().first().is_some_and(|input| input.name() == memory.name);
            Ok(Layout::Split { tokens, width, memory_first })
        }
    }
}
