//! Sizes, and the one list of weights.

use gearshift_selector::inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH};
use serde::{Deserialize, Serialize};

use crate::fit::TARGETS;

/// Sizes of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Members of the ensemble.
    pub members: usize,
    /// Of these, the last so many know by heart; they count where [`super::Gate`] is open.
    pub near: usize,
    /// Width of a token.
    pub width: usize,
    /// Heads of both attentions; divides `width`.
    pub heads: usize,
    /// Width inside the encoder layer's feed-forward.
    pub encoder: usize,
    /// Width of the query's hidden layer.
    pub hidden: usize,
    /// Width inside the feed-forward after the attention.
    pub combine: usize,
    /// Width that text vectors are projected to before they become tokens.
    pub text_rank: usize,
    /// Width of text vectors; 0 where the network takes no texts.
    pub text: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            members: 5,
            near: 0,
            width: 32,
            heads: 4,
            encoder: 64,
            hidden: 32,
            combine: 32,
            text_rank: 8,
            text: 0,
        }
    }
}

impl Shape {
    /// Static tokens: model, hardware and profile, and one of the workload's text.
    pub fn tokens(&self) -> usize {
        if self.text == 0 { 3 } else { 4 }
    }

    /// What a member counts for in the ensemble's mean where the gate is open so far, 0–1.
    pub fn share(&self, member: usize, open: f32) -> f32 {
        let far = self.members - self.near;
        if self.near == 0 {
            1.0 / far as f32
        } else if member < far {
            (1.0 - open) / far as f32
        } else {
            open / self.near as f32
        }
    }

    /// Width of a head.
    pub fn head(&self) -> usize {
        self.width / self.heads
    }
}

/// A weight matrix or a bias row of every member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "named as what they make; sizes are in `Part::size`")]
pub enum Part {
    Model,
    ModelBias,
    Hardware,
    HardwareBias,
    Profile,
    ProfileBias,
    Attend,
    AttendBias,
    Attended,
    AttendedBias,
    Widen,
    WidenBias,
    Narrow,
    NarrowBias,
    Memory,
    MemoryBias,
    Query,
    QueryBias,
    Ask,
    Combine,
    CombineBias,
    Outputs,
    OutputsBias,
    Text,
    TextOfModel,
    TextOfHardware,
    TextOfWorkload,
    WorkloadBias,
}

/// All parts, in the order of their numbers; those of texts are last.
pub const PARTS: [Part; 28] = [
    Part::Model,
    Part::ModelBias,
    Part::Hardware,
    Part::HardwareBias,
    Part::Profile,
    Part::ProfileBias,
    Part::Attend,
    Part::AttendBias,
    Part::Attended,
    Part::AttendedBias,
    Part::Widen,
    Part::WidenBias,
    Part::Narrow,
    Part::NarrowBias,
    Part::Memory,
    Part::MemoryBias,
    Part::Query,
    Part::QueryBias,
    Part::Ask,
    Part::Combine,
    Part::CombineBias,
    Part::Outputs,
    Part::OutputsBias,
    Part::Text,
    Part::TextOfModel,
    Part::TextOfHardware,
    Part::TextOfWorkload,
    Part::WorkloadBias,
];

impl Part {
    /// Which parts a network of this shape has.
    pub fn of(shape: &Shape) -> &'static [Self] {
        let with_texts = if shape.text == 0 { Self::Text as usize } else { PARTS.len() };
        &PARTS[..with_texts]
    }

    /// Inputs and outputs: rows and columns of the matrix; a bias has one row.
    pub fn size(self, shape: &Shape) -> [usize; 2] {
        let d = shape.width;
        match self {
            Self::Model => [MODEL.len(), d],
            Self::Hardware => [HARDWARE.len(), d],
            Self::Profile => [PROFILE.len(), d],
            Self::ModelBias | Self::HardwareBias | Self::ProfileBias | Self::WorkloadBias => [1, d],
            Self::Attend => [d, 3 * d],
            Self::AttendBias => [1, 3 * d],
            Self::Attended => [d, d],
            Self::AttendedBias | Self::NarrowBias => [1, d],
            Self::Widen => [d, shape.encoder],
            Self::WidenBias => [1, shape.encoder],
            Self::Narrow => [shape.encoder, d],
            Self::Memory => [d, 2 * d],
            Self::MemoryBias => [1, 2 * d],
            Self::Query => [QUERY_WIDTH, shape.hidden],
            Self::QueryBias => [1, shape.hidden],
            Self::Ask => [shape.hidden, d],
            Self::Combine => [shape.hidden + d, shape.combine],
            Self::CombineBias => [1, shape.combine],
            Self::Outputs => [shape.hidden + d + shape.combine, TARGETS],
            Self::OutputsBias => [1, TARGETS],
            Self::Text => [shape.text, shape.text_rank],
            Self::TextOfModel | Self::TextOfHardware | Self::TextOfWorkload => [shape.text_rank, d],
        }
    }

    /// Standard deviation of the initial weights: one over the root of the inputs, twice that before a rectifier. The
    /// outputs begin near zero: the untrained network leaves the prior as it is.
    pub fn spread(self, shape: &Shape) -> f32 {
        let [inputs, _] = self.size(shape);
        let gain = match self {
            Self::ModelBias
            | Self::HardwareBias
            | Self::ProfileBias
            | Self::WorkloadBias
            | Self::AttendBias
            | Self::AttendedBias
            | Self::WidenBias
            | Self::NarrowBias
            | Self::MemoryBias
            | Self::QueryBias
            | Self::CombineBias
            | Self::OutputsBias => 0.0,
            Self::Widen | Self::Query | Self::Combine => 2.0,
            Self::Outputs => 0.01,
            Self::Model
            | Self::Hardware
            | Self::Profile
            | Self::Attend
            | Self::Attended
            | Self::Narrow
            | Self::Memory
            | Self::Ask
            | Self::Text
            | Self::TextOfModel
            | Self::TextOfHardware
            | Self::TextOfWorkload => 1.0,
        };
        (gain / inputs as f32).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::{PARTS, Part, Shape};

    #[test]
    fn parts_stand_at_their_numbers() {
        for (at, part) in PARTS.into_iter().enumerate() {
            assert_eq!(part as usize, at);
        }
        let shape = Shape { members: 5, near: 2, ..Shape::default() };
        for open in [0.0, 0.3, 1.0] {
            assert!(((0..5).map(|member| shape.share(member, open)).sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert!(shape.share(4, 0.0) == 0.0 && shape.share(0, 1.0) == 0.0);
        assert_eq!(Part::of(&Shape::default()).last(), Some(&Part::OutputsBias));
        assert_eq!(Part::of(&Shape { text: 384, ..Shape::default() }).len(), PARTS.len());
    }
}
