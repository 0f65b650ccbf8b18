//! ONNX graphs as sessions, with the names and shapes of their inputs and outputs checked.

use ort::{
    environment::Environment,
    session::{Session, builder::GraphOptimizationLevel},
    value::{Outlet, TensorElementType},
};

use super::BundleError;

/// The graph that encodes engines.
pub(super) const CONTEXT: &str = "context.onnx";
/// The graph that corrects predictions.
pub(super) const REGRESSOR: &str = "regressor.onnx";

/// An input or output of the contract; of a dimension −1 any size is right. The first one counts rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port<'a> {
    pub(super) name: &'static str,
    pub(super) shape: &'a [i64],
}

/// A session on one thread: the caller's.
pub(super) fn session(environment: &Environment, graph: &[u8]) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .commit_from_memory(graph)
}

/// As [`session`], for a file of a bundle.
pub(super) fn open(
    environment: &Environment,
    file: &'static str,
    graph: &[u8],
) -> Result<Session, BundleError> {
    session(environment, graph)
        .map_err(|error| BundleError::Graph { file, problem: format!("ONNX Runtime refuses it: {error}") })
}

/// Checks that the graph takes these inputs, no others, and gives this output.
pub(super) fn check(
    file: &'static str,
    session: &Session,
    inputs: &[Port<'_>],
    output: Port<'_>,
) -> Result<(), BundleError> {
    let fail = |problem: String| BundleError::Graph { file, problem };
    for port in inputs {
        find("input", session.inputs(), *port).map_err(fail)?;
    }
    if let Some(extra) =
        session.inputs().iter().find(|input| inputs.iter().all(|port| port.name != input.name()))
    {
        return Err(fail(format!("it wants an input {:?} that nothing fills", extra.name())));
    }
    find("output", session.outputs(), output).map_err(fail)
}

fn find(kind: &str, outlets: &[Outlet], port: Port<'_>) -> Result<(), String> {
    let Some(outlet) = outlets.iter().find(|outlet| outlet.name() == port.name) else {
        let names: Vec<_> = outlets.iter().map(Outlet::name).collect();
        return Err(format!("it has no {kind} {:?}, only {names:?}", port.name));
    };
    let wrong = |found: String| {
        Err(format!("{kind} {:?} is {found}; it must be float32 {:?}, -1 for any", port.name, port.shape))
    };
    let (Some(TensorElementType::Float32), Some(shape)) =
        (outlet.dtype().tensor_type(), outlet.dtype().tensor_shape())
    else {
        return wrong(format!("{}", outlet.dtype()));
    };
    let fits = |(at, (&found, &wanted)): (usize, (&i64, &i64))| {
        // A graph that takes one row at a time would fail on the first decision.
        found == -1 || at > 0 && (wanted == -1 || found == wanted)
    };
    if shape.len() != port.shape.len() || !shape.iter().zip(port.shape).enumerate().all(fits) {
        return wrong(format!("float32 {:?}", &**shape));
    }
    Ok(())
}
