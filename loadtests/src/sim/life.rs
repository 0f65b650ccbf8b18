//! Whether an engine is there: starting, up, asleep, gone.

use super::ticks::Ticks;

/// The state of an engine's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Serving.
    Up,
    /// Loading; serves from then on. Connections are refused.
    Starting(Ticks),
    /// Asleep, or falling asleep until then. Requests hang.
    Asleep(Ticks),
    /// Waking up; serves from then on. Requests hang.
    Waking(Ticks),
    /// Gone: crashed, or stopped.
    Down,
}

impl Life {
    /// When it becomes [`Life::Up`] by itself.
    pub(super) fn up_at(self) -> Option<Ticks> {
        match self {
            Self::Starting(at) | Self::Waking(at) => Some(at),
            Self::Up | Self::Asleep(_) | Self::Down => None,
        }
    }

    /// Whether connections are accepted.
    pub(super) fn accepts(self) -> bool {
        matches!(self, Self::Up | Self::Asleep(_) | Self::Waking(_))
    }
}
