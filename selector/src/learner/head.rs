//! The part of a bundle that runs for every request: one session a core.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use ort::{session::Session, value::TensorRef};

use super::{Correction, HeadError, Memory, OUTPUTS};
use crate::inputs::{QUERY_WIDTH, QueryInputs};

/// Natural log beyond which a correction is no estimate: no engine is off its prior by e²⁰.
const ABSURD: f32 = 20.0;

/// Of so many decisions in which the bundle has no say it is asked in one.
const ASKED_NEVERTHELESS: u32 = 8;

/// Which loaded bundle something belongs to; greater for one that was loaded later, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Generation(pub(crate) u32);

impl Generation {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Self(LAST.fetch_add(1, Relaxed).wrapping_add(1).max(1))
    }
}

/// What the regressor's inputs look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `memory` [n, tokens, width] and `query`, in this order or the other.
    Split { tokens: usize, width: usize, memory_first: bool },
    /// `features`: an engine's numbers and the query in one row.
    Whole { numbers: usize },
}

impl Layout {
    /// Numbers of one [`Memory`].
    pub(super) fn memory_len(self) -> usize {
        match self {
            Self::Split { tokens, width, .. } => tokens * width,
            Self::Whole { numbers } => numbers,
        }
    }
}

/// Corrects the prior's predictions of a request's candidates. One a core; nothing is shared, and what a request needs is
/// kept for the next one.
pub struct Head {
    engine: Engine,
    generation: Generation,
    lots: fastrand::Rng,
    /// Reused by the decision.
    pub(crate) queries: Vec<QueryInputs>,
    /// Reused by the decision.
    pub(crate) corrections: Vec<Correction>,
}

enum Engine {
    Onnx {
        session: Session,
        layout: Layout,
        rows: Vec<f32>,
    },
    #[cfg(test)]
    Function(Function),
}

/// Stands in for a graph: from engines and queries to what the graph would say.
#[cfg(test)]
pub(crate) type Function =
    Box<dyn FnMut(&[&Memory], &[QueryInputs]) -> Result<Vec<Correction>, HeadError> + Send>;

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Head {
    pub(super) fn new(session: Session, layout: Layout, generation: Generation) -> Self {
        Self::of(Engine::Onnx { session, layout, rows: Vec::new() }, generation)
    }

    #[cfg(test)]
    pub(crate) fn of_function(function: Function, generation: Generation) -> Self {
        Self::of(Engine::Function(function), generation)
    }

    fn of(engine: Engine, generation: Generation) -> Self {
        let lots = fastrand::Rng::with_seed(u64::from(generation.0));
        Self { engine, generation, lots, queries: Vec::new(), corrections: Vec::new() }
    }

    /// Whether to ask where nothing depends on it. By lots of its own: those of the decision are the same with a bundle and without.
    pub(crate) fn asked_nevertheless(&mut self) -> bool {
        self.lots.u32(..ASKED_NEVERTHELESS) == 0
    }

    /// The bundle it belongs to.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Corrections of candidates that are compared with each other, in their order; `into` is cleared first. Centred copies
    /// of `queries` must be filled in ([`centre`](crate::inputs::centre)).
    ///
    /// # Errors
    /// Where the graph fails, says what is no number, or the engines were encoded by another bundle.
    pub fn correct(
        &mut self,
        engines: &[&Memory],
        queries: &[QueryInputs],
        into: &mut Vec<Correction>,
    ) -> Result<(), HeadError> {
        into.clear();
        if engines.is_empty() {
            return Ok(());
        }
        size("queries", queries.len(), engines.len())?;
        match &mut self.engine {
            Engine::Onnx { session, layout, rows } => run(session, *layout, rows, engines, queries, into)?,
            #[cfg(test)]
            Engine::Function(function) => *into = function(engines, queries)?,
        }
        check(into)
    }
}

fn run(
    session: &mut Session,
    layout: Layout,
    rows: &mut Vec<f32>,
    engines: &[&Memory],
    queries: &[QueryInputs],
    into: &mut Vec<Correction>,
) -> Result<(), HeadError> {
    rows.clear();
    for engine in engines {
        size("memory", engine.values().len(), layout.memory_len())?;
    }
    let count = engines.len();
    let outputs = match layout {
        Layout::Split { tokens, width, memory_first } => {
            engines.iter().for_each(|engine| rows.extend_from_slice(engine.values()));
            let memory = TensorRef::from_array_view(([count, tokens, width], &rows[..]))?.into();
            let query = TensorRef::from_array_view(([count, QUERY_WIDTH], queries.as_flattened()))?.into();
            session.run(if memory_first { [memory, query] } else { [query, memory] })?
        }
        Layout::Whole { numbers } => {
            for (engine, query) in engines.iter().zip(queries) {
                rows.extend_from_slice(engine.values());
                rows.extend_from_slice(query);
            }
            let features = TensorRef::from_array_view(([count, numbers + QUERY_WIDTH], &rows[..]))?;
            session.run([features.into()])?
        }
    };
    let prediction = outputs.get("prediction").ok_or(HeadError::Size {
        what: "predictions",
        found: 0,
        expected: count * OUTPUTS.len(),
    })?;
    let (_, values) = prediction.try_extract_tensor::<f32>()?;
    size("predictions", values.len(), count * OUTPUTS.len())?;
    let (rows, _) = values.as_chunks();
    into.extend(rows.iter().map(|&row| Correction::from(row)));
    Ok(())
}

fn size(what: &'static str, found: usize, expected: usize) -> Result<(), HeadError> {
    if found == expected { Ok(()) } else { Err(HeadError::Size { what, found, expected }) }
}

fn check(corrections: &[Correction]) -> Result<(), HeadError> {
    for (row, correction) in corrections.iter().enumerate() {
        let outputs = OUTPUTS.into_iter().zip(correction.to_array());
        // Written so that NaN fails.
        let plausible = |(output, value): &(&str, f32)| {
            value.abs() <= ABSURD && (*output != OUTPUTS[OUTPUTS.len() - 1] || *value >= 0.0)
        };
        if let Some((output, value)) = outputs.into_iter().find(|pair| !plausible(pair)) {
            return Err(HeadError::Absurd { row, output, value });
        }
    }
    Ok(())
}

/// A bundle's heads, one a core. A core takes only its own, so nobody ever waits.
#[derive(Debug, Clone)]
pub struct Heads {
    #[expect(
        clippy::disallowed_types,
        reason = "each core tries its own lock, never waits, and nobody else wants it"
    )]
    slots: Arc<[std::sync::Mutex<Head>]>,
}

/// A core's head for as long as it decides.
pub type HeadGuard<'a> = std::sync::MutexGuard<'a, Head>;

impl Heads {
    pub(super) fn new(
        heads: impl Iterator<Item = Result<Head, super::BundleError>>,
    ) -> Result<Self, super::BundleError> {
        #[expect(clippy::disallowed_types, reason = "see the field")]
        let slots = heads.map(|head| head.map(std::sync::Mutex::new)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { slots: slots.into() })
    }

    /// The head of a core, by its number from 0; `None` where there are fewer, or where another core has it.
    pub fn of(&self, core: usize) -> Option<HeadGuard<'_>> {
        match self.slots.get(core)?.try_lock() {
            Ok(head) => Some(head),
            // A decision that panicked left buffers that the next one clears.
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}
