//! How switches end.

use serde::{Deserialize, Serialize};

/// How a switch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In the profile wanted.
    Done,
    /// Given up before anything was ended: in the profile before.
    Abandoned,
    /// Back in the profile before.
    RolledBack,
    /// In neither; where Gearshift runs the engine, it goes on trying the profile before.
    Failed,
}

impl Outcome {
    /// In order.
    pub const ALL: [Self; 4] = [Self::Done, Self::Abandoned, Self::RolledBack, Self::Failed];

    /// Its name in metrics and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Abandoned => "abandoned",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }
}
