//! The picture as lines, for those without a terminal.

use std::io::Write as _;

use super::board::{Board, Side};
use crate::{Error, report::duration};

/// Between two lines, seconds.
const EVERY: u64 = 5;

/// Lines on standard error, so that standard output has the report alone.
#[derive(Debug, Default)]
pub(super) struct Lines {
    next: u64,
}

impl Lines {
    /// Writes a line where it is time for one.
    pub(super) fn show(&mut self, board: &Board) -> Result<(), Error> {
        let elapsed = board.elapsed.as_secs();
        if elapsed < self.next {
            return Ok(());
        }
        self.next = elapsed - elapsed % EVERY + EVERY;
        let way = |side: Side| {
            let tally = board.side(side);
            format!(
                "{}: {} of {} done, TTFT p50 {} p95 {}",
                side.name(),
                tally.ended,
                tally.sent,
                duration(tally.ttft.quantile(0.5)),
                duration(tally.ttft.quantile(0.95)),
            )
        };
        let [gearshift, other] = Side::ALL.map(way);
        let total = board.duration.as_secs();
        writeln!(std::io::stderr(), "{elapsed:>3}/{total} s  {gearshift} · {other}")?;
        Ok(())
    }
}
