//! Rows as flat arrays: what training takes.

use std::ops::Range;

use gearshift_selector::{
    OUTPUTS,
    inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH},
};

/// Columns of [`Prepared::targets`]: [`OUTPUTS`] but for `spread`, which is not learned.
pub const TARGETS: usize = OUTPUTS.len() - 1;

/// Rows as flat arrays, rows of one context together. With `n` rows and `c` contexts:
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prepared {
    /// Model tokens, `n × MODEL.len()`; unscaled, as [`gearshift_selector::inputs::StaticInputs`] has them.
    pub model: Vec<f32>,
    /// Hardware tokens, `n × HARDWARE.len()`.
    pub hardware: Vec<f32>,
    /// Profile tokens, `n × PROFILE.len()`.
    pub profile: Vec<f32>,
    /// Query tokens with their centred copies, `n × QUERY_WIDTH`.
    pub query: Vec<f32>,
    /// The rows' descriptions.
    pub texts: Texts,
    /// What the rows say, `n × TARGETS`: natural logs of actual over the prior's estimate, in the order of
    /// [`OUTPUTS`]. `relative` is of the end to end time. Where the [mask](Self::masks) is 0 it is not read.
    pub targets: Vec<f32>,
    /// 1 where the target is known, else 0; `n × TARGETS`. `ttft_p90` may be 0 where only the mean is known.
    pub masks: Vec<f32>,
    /// Natural log of how much worse the row is than the best of its context, `n`, at least 0: in end to end time or in
    /// cost, whichever is less. Near-best rows weigh more.
    pub regrets: Vec<f32>,
    /// Weight of each row, `n`; 1 is usual.
    pub weights: Vec<f32>,
    /// Where contexts begin, `c + 1` positions from 0 to `n`.
    pub offsets: Vec<usize>,
    /// What the context is held out with when training looks for its best epoch, `c`: equal numbers are equal hardware.
    pub groups: Vec<u32>,
}

/// Text vectors, each once, and which of them each row has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts {
    /// Width of a vector; 0 where there are none at all.
    pub width: usize,
    /// Vectors one after another; number 0 is all zeros and stands for no text. Empty where `width` is 0.
    pub vectors: Vec<f32>,
    /// The texts themselves, by number; number 0 is empty. Training does not read them.
    pub names: Vec<String>,
    /// Number of the model's description, `n`.
    pub model: Vec<u32>,
    /// Number of the hardware's description, `n`.
    pub hardware: Vec<u32>,
    /// Number of the workload's description, `n`.
    pub workload: Vec<u32>,
}

impl Prepared {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// How many contexts.
    pub fn contexts(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The contexts whose rows are to be kept.
    #[must_use]
    pub fn only(&self, keep: impl Fn(Range<usize>) -> bool) -> Self {
        let Texts { width, vectors, names, .. } = self.texts.clone();
        let texts = Texts { width, vectors, names, ..Texts::default() };
        let mut kept = Self { texts, offsets: vec![0], ..Self::default() };
        for (context, &group) in self.groups.iter().enumerate() {
            let rows = self.offsets[context]..self.offsets[context + 1];
            if !keep(rows.clone()) {
                continue;
            }
            let wide = |width: usize| rows.start * width..rows.end * width;
            kept.model.extend(&self.model[wide(MODEL.len())]);
            kept.hardware.extend(&self.hardware[wide(HARDWARE.len())]);
            kept.profile.extend(&self.profile[wide(PROFILE.len())]);
            kept.query.extend(&self.query[wide(QUERY_WIDTH)]);
            kept.targets.extend(&self.targets[wide(TARGETS)]);
            kept.masks.extend(&self.masks[wide(TARGETS)]);
            kept.regrets.extend(&self.regrets[rows.clone()]);
            kept.weights.extend(&self.weights[rows.clone()]);
            kept.texts.model.extend(&self.texts.model[rows.clone()]);
            kept.texts.hardware.extend(&self.texts.hardware[rows.clone()]);
            kept.texts.workload.extend(&self.texts.workload[rows]);
            kept.offsets.push(kept.weights.len());
            kept.groups.push(group);
        }
        kept
    }

    /// Whether all arrays have the lengths that they are documented to have; the name of the first that has not.
    ///
    /// # Errors
    /// The name of the array.
    pub fn check(&self) -> Result<(), &'static str> {
        let n = self.len();
        let ends = self.offsets.first() == Some(&0) && self.offsets.last() == Some(&n);
        let texts = self.texts.vectors.len().checked_div(self.texts.width).unwrap_or(1);
        let text = |numbers: &[u32]| {
            numbers.len() == n && numbers.iter().all(|&number| (number as usize) < texts.max(1))
        };
        [
            ("model", self.model.len() == n * MODEL.len()),
            ("hardware", self.hardware.len() == n * HARDWARE.len()),
            ("profile", self.profile.len() == n * PROFILE.len()),
            ("query", self.query.len() == n * QUERY_WIDTH),
            ("targets", self.targets.len() == n * TARGETS),
            ("masks", self.masks.len() == n * TARGETS),
            ("regrets", self.regrets.len() == n),
            ("offsets", ends && self.offsets.is_sorted()),
            ("groups", self.groups.len() == self.contexts()),
            ("texts.vectors", self.texts.width == 0 || texts > 0),
            ("texts.model", text(&self.texts.model)),
            ("texts.hardware", text(&self.texts.hardware)),
            ("texts.workload", text(&self.texts.workload)),
        ]
        .into_iter()
        .find_map(|(name, right)| (!right).then_some(name))
        .map_or(Ok(()), Err)
    }
}
