//! How much a fleet can do: what 100 % load means.

use std::sync::Arc;

use super::{Fleet, Member, policy::Ticket, station::Station, trip::Trip};
use crate::sim::{Moment, OutputKind, SpecError};

/// Requests kept at an engine that could run any number.
const DEPTH: u32 = 512;
/// Requests that wait beyond those that run.
const WAITING: u32 = 32;
/// Requests ended for each one kept: the first pass fills the engine, the rest is counted.
const PASSES: usize = 4;

/// Requests a second at which the fleet saturates for a mix: of each engine alone, in a closed loop that keeps its queue
/// deep, and summed. A router that sends each engine exactly what it can take reaches it. Prefixes are then all in one
/// cache: a fleet that shares them out reaches somewhat less.
///
/// `mix` gives the mix's requests anew for each engine.
///
/// # Errors
/// Where an engine cannot be.
pub fn capacity<T: IntoIterator<Item = Arc<Trip>>>(
    fleet: &Fleet,
    mix: impl Fn() -> T,
) -> Result<f64, SpecError> {
    let mut known: Vec<(String, f64)> = Vec::new();
    let mut sum = 0.0;
    for member in &fleet.members {
        let key = likeness(member);
        let rate = match known.iter().find(|(other, _)| *other == key) {
            Some((_, rate)) => *rate,
            None => saturated(member, mix())?,
        };
        known.push((key, rate));
        sum += rate;
    }
    Ok(sum)
}

/// Equal for engines that do the same.
fn likeness(member: &Member) -> String {
    let mut engine = member.engine.clone();
    engine.name.clear();
    format!("{engine:?} {}", member.slow)
}

/// Requests a second that one engine ends while it always has more to do.
fn saturated(member: &Member, trips: impl IntoIterator<Item = Arc<Trip>>) -> Result<f64, SpecError> {
    let mut station = Station::new(member, 1)?;
    let depth = member.engine.knobs.max_num_seqs.unwrap_or(DEPTH).min(DEPTH) + WAITING;
    let wanted = depth as usize * PASSES;
    let mut trips = trips.into_iter();
    let (mut now, mut serial, mut ended) = (Moment(0), 0, Vec::new());
    let mut outputs = Vec::new();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut missing = depth;
    while ended.len() < wanted {
        for trip in trips.by_ref().take(missing as usize) {
            serial += 1;
            // What is too long for the engine is simply not there.
            let _ = station.arrive(Ticket { slot: serial, serial: 0 }, &trip, now, &mut rng);
        }
        now = station.due();
        if now == Moment(u64::MAX) {
            break;
        }
        station.advance(now, &mut outputs);
        let finished = |kind| matches!(kind, OutputKind::Finished { .. });
        let before = ended.len();
        ended.extend(outputs.drain(..).filter(|output| finished(output.kind)).map(|output| output.at));
        missing = u32::try_from(ended.len() - before).unwrap_or(0);
    }
    // From when the engine was full to when nothing more came in.
    let from = ended.len() / PASSES;
    let counted = ended.get(from).zip(ended.last());
    let seconds = counted.map_or(f64::INFINITY, |(first, last)| last.seconds_since(*first));
    Ok((ended.len() - from) as f64 / seconds.max(1e-9))
}
