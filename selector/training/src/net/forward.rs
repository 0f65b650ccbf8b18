//! The forward pass, the same for training and for checking the exported graphs.

use burn::tensor::{Int, Tensor, activation};

use super::{Members, Part, Shape};

/// Rows on burn's device, scaled. Engines that are alike stand once.
#[derive(Debug, Clone)]
pub struct Fed {
    /// Model tokens of engines, `[1, engines, MODEL]`.
    pub model: Tensor<3>,
    /// Hardware tokens.
    pub hardware: Tensor<3>,
    /// Profile tokens.
    pub profile: Tensor<3>,
    /// Text vectors `[1, texts, width]`, and which each engine has: model, hardware, workload.
    pub texts: Option<(Tensor<3>, [Tensor<1, Int>; 3])>,
    /// What is left of tokens where some are dropped while training, `[members, engines, tokens, 1]`.
    pub kept_tokens: Option<Tensor<4>>,
    /// What is left of the texts of model, hardware and workload while training, `[members, engines, 3]`.
    pub kept_texts: Option<Tensor<3>>,
    /// The engine of each row.
    pub engine: Tensor<1, Int>,
    /// Queries, `[1, rows, QUERY_WIDTH]`, or `[members, …]` where some numbers are dropped while training.
    pub query: Tensor<3>,
    /// What is left of the hidden layer while training, `[members, rows, hidden]`.
    pub kept_hidden: Option<Tensor<3>>,
}

/// Keys and values, `[members, engines, tokens, width]` each.
struct Memory {
    keys: Tensor<4>,
    values: Tensor<4>,
}

/// Outputs of all rows by every member, `[members, rows, TARGETS]`.
pub fn forward(members: &Members, shape: &Shape, fed: &Fed) -> Tensor<3> {
    let memory = remember(members, shape, fed);
    let select = |tensor: Tensor<4>| tensor.select(1, fed.engine.clone());
    let memory = Memory { keys: select(memory.keys), values: select(memory.values) };
    answer(members, shape, fed, memory)
}

fn dense(x: Tensor<3>, members: &Members, weight: Part, bias: Part) -> Tensor<3> {
    x.matmul(members.of(weight)) + members.of(bias)
}

/// Mean 0 and variance 1 over each token; what follows is linear, so no gain and no bias of its own.
fn normalise(x: Tensor<3>) -> Tensor<3> {
    let centred = x.clone() - x.mean_dim(2);
    let deviation = (centred.clone().square().mean_dim(2) + 1e-5).sqrt();
    centred / deviation
}

/// Keys and values of engines.
fn remember(members: &Members, shape: &Shape, fed: &Fed) -> Memory {
    let tokens = tokens(members, shape, fed);
    let [m, engines, count, d] = tokens.dims();
    let flat = [m, engines * count, d];
    let x: Tensor<3> = tokens.reshape(flat);

    let projected = dense(normalise(x.clone()), members, Part::Attend, Part::AttendBias);
    let head = |at: usize| {
        projected
            .clone()
            .narrow(2, at * d, d)
            .reshape([m * engines, count, shape.heads, shape.head()])
            .swap_dims(1, 2)
    };
    let scores = head(0).matmul(head(1).swap_dims(2, 3)) / (shape.head() as f32).sqrt();
    let attended = activation::softmax(scores, 3).matmul(head(2)).swap_dims(1, 2).reshape(flat);
    let x = x + dense(attended, members, Part::Attended, Part::AttendedBias);
    let wide = activation::relu(dense(normalise(x.clone()), members, Part::Widen, Part::WidenBias));
    let x = x + dense(wide, members, Part::Narrow, Part::NarrowBias);

    let memory = dense(normalise(x), members, Part::Memory, Part::MemoryBias);
    let half = |at: usize| memory.clone().narrow(2, at * d, d).reshape([m, engines, count, d]);
    Memory { keys: half(0), values: half(1) }
}

/// The static tokens, `[members, engines, tokens, width]`.
fn tokens(members: &Members, shape: &Shape, fed: &Fed) -> Tensor<4> {
    let mut model = dense(fed.model.clone(), members, Part::Model, Part::ModelBias);
    let mut hardware = dense(fed.hardware.clone(), members, Part::Hardware, Part::HardwareBias);
    let profile = dense(fed.profile.clone(), members, Part::Profile, Part::ProfileBias);
    let mut workload = None;
    if let Some((vectors, [of_model, of_hardware, of_workload])) = &fed.texts {
        let low = vectors.clone().matmul(members.of(Part::Text));
        let text = |at: usize, part: Part, of: &Tensor<1, Int>| {
            let text = low.clone().matmul(members.of(part)).select(1, of.clone());
            match &fed.kept_texts {
                Some(kept) => text * kept.clone().narrow(2, at, 1),
                None => text,
            }
        };
        model = model + text(0, Part::TextOfModel, of_model);
        hardware = hardware + text(1, Part::TextOfHardware, of_hardware);
        workload = Some(text(2, Part::TextOfWorkload, of_workload) + members.of(Part::WorkloadBias));
    }
    let [m, engines, d] = model.dims();
    let stacked: Vec<Tensor<4>> = [Some(model), Some(hardware), Some(profile), workload]
        .into_iter()
        .flatten()
        .map(|token| token.reshape([m, engines, 1, d]))
        .collect();
    debug_assert_eq!(stacked.len(), shape.tokens());
    let tokens = Tensor::cat(stacked, 2);
    match &fed.kept_tokens {
        Some(kept) => tokens * kept.clone(),
        None => tokens,
    }
}

/// The part that is computed per request. `memory` has one entry per row.
fn answer(members: &Members, shape: &Shape, fed: &Fed, memory: Memory) -> Tensor<3> {
    let hidden = activation::relu(dense(fed.query.clone(), members, Part::Query, Part::QueryBias));
    let hidden = match &fed.kept_hidden {
        Some(kept) => hidden * kept.clone(),
        None => hidden,
    };
    let ask = hidden.clone().matmul(members.of(Part::Ask)) / (shape.head() as f32).sqrt();
    let [m, rows, tokens, d] = memory.keys.dims();
    let by_head = [m, rows, tokens * shape.heads, shape.head()];
    let scores = (ask.reshape([m, rows, 1, d]) * memory.keys).reshape(by_head).sum_dim(3);
    let gates = activation::sigmoid(scores);
    let attended = (gates * memory.values.reshape(by_head)).reshape([m, rows, tokens, d]).sum_dim(2);
    let seen = Tensor::cat(vec![hidden, attended.reshape([m, rows, d])], 2);
    let combined = activation::relu(dense(seen.clone(), members, Part::Combine, Part::CombineBias));
    dense(Tensor::cat(vec![seen, combined], 2), members, Part::Outputs, Part::OutputsBias)
}
