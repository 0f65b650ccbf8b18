//! What the learner says of one candidate.

/// Columns of the graph's output `prediction`, in order. All but the last are natural logs over the prior's estimate.
pub const OUTPUTS: [&str; 7] = ["relative", "ttft", "tpot", "ttft_p90", "tpot_p90", "saturation", "spread"];

/// By how much one candidate is expected to be off the prior: natural logs of actual over prior.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Correction {
    /// End to end time, for comparing candidates only: of the candidates that are asked for together, the differences
    /// count and the level says nothing.
    pub relative: f32,
    /// Mean time to first token.
    pub ttft: f32,
    /// Mean time per output token.
    pub tpot: f32,
    /// As `ttft`; nine requests of ten are below.
    pub ttft_p90: f32,
    /// As `tpot`; nine requests of ten are below.
    pub tpot_p90: f32,
    /// Output tokens a second of the engine when it is full.
    pub saturation: f32,
    /// By how much the members of the ensemble disagree on `relative` and the means (standard deviation, natural log): small where
    /// the situation is like those that were trained on.
    pub spread: f32,
}

impl Correction {
    /// In the order of [`OUTPUTS`].
    pub fn to_array(self) -> [f32; OUTPUTS.len()] {
        let Self { relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread } = self;
        [relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread]
    }
}

impl From<[f32; OUTPUTS.len()]> for Correction {
    /// From a row in the order of [`OUTPUTS`].
    fn from([relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread]: [f32; OUTPUTS.len()]) -> Self {
        Self { relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread }
    }
}
