//! Engines to memories, through `context.onnx` where the bundle has one.

use ort::{
    session::{Session, SessionInputValue},
    value::TensorRef,
};

use super::{BundleError, Encoder, Memory, graph, graph::Port, memory::Engine};
use crate::inputs::{HARDWARE, MODEL, PROFILE};

/// Engines encoded at once: bounds the memory that a large fleet takes.
const BATCH: usize = 128;
/// The text inputs, in the order of [`Engine::texts`].
const TEXTS: [&str; 3] = ["model_text", "hardware_text", "workload_text"];

/// What turns engines into memories.
#[derive(Debug)]
pub(super) enum Context {
    /// The graph is run when a snapshot is built, and by whoever tries a bundle out: never for a request.
    #[expect(clippy::disallowed_types, reason = "off the request path: taken while a snapshot is built")]
    Graph(std::sync::Mutex<Session>),
    /// The regressor takes the engine's numbers as they are.
    Numbers,
}

impl Context {
    /// Checks the graph's inputs and output; texts are wanted where there is an encoder.
    pub(super) fn new(session: Session, encoder: Option<&Encoder>) -> Result<Self, BundleError> {
        let width = |len: usize| [-1, i64::try_from(len).unwrap_or(-1)];
        let numbers = [("model", MODEL.len()), ("hardware", HARDWARE.len()), ("profile", PROFILE.len())];
        let texts = encoder.iter().flat_map(|encoder| TEXTS.map(|name| (name, encoder.width)));
        let shapes: Vec<_> = numbers.into_iter().chain(texts).map(|(name, len)| (name, width(len))).collect();
        let ports: Vec<_> = shapes.iter().map(|(name, shape)| Port { name, shape }).collect();
        let output = Port { name: "memory", shape: &[-1, -1, -1] };
        graph::check(graph::CONTEXT, &session, &ports, output)?;
        #[expect(clippy::disallowed_types, reason = "see the variant")]
        let session = std::sync::Mutex::new(session);
        Ok(Self::Graph(session))
    }

    /// One memory an engine, in their order.
    pub(super) fn encode(&self, engines: &[Engine]) -> Result<Vec<Memory>, BundleError> {
        match self {
            Self::Numbers => Ok(engines.iter().map(|engine| Memory::new(&engine.numbers())).collect()),
            Self::Graph(session) => {
                // A panic while it ran leaves a session as good as before.
                let mut session = session.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let mut memories = Vec::with_capacity(engines.len());
                for batch in engines.chunks(BATCH) {
                    memories.extend(run(&mut session, batch)?);
                }
                Ok(memories)
            }
        }
    }

    /// Tokens and width of a memory, as the graph gives them.
    pub(super) fn shape(&self, engine: &Engine) -> Result<(usize, usize), BundleError> {
        match self {
            Self::Numbers => Ok((1, engine.numbers().len())),
            Self::Graph(session) => {
                let mut session = session.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                raw(&mut session, std::slice::from_ref(engine)).map(|raw| (raw.tokens, raw.width))
            }
        }
    }
}

/// The output of one batch.
struct Raw {
    tokens: usize,
    width: usize,
    values: Vec<f32>,
}

fn run(session: &mut Session, engines: &[Engine]) -> Result<Vec<Memory>, BundleError> {
    let raw = raw(session, engines)?;
    let memories: Vec<_> = raw.values.chunks_exact(raw.tokens * raw.width).map(Memory::new).collect();
    match memories.iter().position(|memory| memory.values().iter().any(|x| !x.is_finite())) {
        Some(engine) => Err(BundleError::Engine { engine, problem: "its memory is not finite".into() }),
        None => Ok(memories),
    }
}

fn raw(session: &mut Session, engines: &[Engine]) -> Result<Raw, BundleError> {
    let fail = |problem: String| BundleError::Graph { file: graph::CONTEXT, problem };
    let columns = |name: &str| match name {
        "model" => engines.iter().flat_map(|e| e.statics.model).collect(),
        "hardware" => engines.iter().flat_map(|e| e.statics.hardware).collect(),
        "profile" => engines.iter().flat_map(|e| e.statics.profile).collect(),
        text => {
            let at = TEXTS.iter().position(|known| *known == text).unwrap_or(0);
            engines.iter().flat_map(|e| e.texts[at].iter().copied()).collect::<Vec<f32>>()
        }
    };
    let filled: Vec<Vec<f32>> = session.inputs().iter().map(|input| columns(input.name())).collect();
    let rows = engines.len();
    let inputs: Result<Vec<SessionInputValue<'_>>, _> = filled
        .iter()
        .map(|values| TensorRef::from_array_view(([rows, values.len() / rows], &values[..])).map(Into::into))
        .collect();
    let inputs = inputs.map_err(|error| fail(error.to_string()))?;
    let outputs = session.run(&inputs[..]).map_err(|error| fail(error.to_string()))?;
    let memory = outputs.get("memory").ok_or_else(|| fail("it gave no memory".into()))?;
    let (shape, values) = memory.try_extract_tensor::<f32>().map_err(|error| fail(error.to_string()))?;
    let sizes: Vec<usize> = shape.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    match sizes[..] {
        [n, tokens, width] if n == rows && tokens * width > 0 => {
            Ok(Raw { tokens, width, values: values.to_vec() })
        }
        _ => Err(fail(format!("its memory of {rows} engines has the shape {:?}", &**shape))),
    }
}
