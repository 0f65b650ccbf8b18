//! Many engines of one model are planned for in parts: what a plan costs grows with the cube of the engines it is for.

use super::{Condition, Engine};

/// Engines planned for at once. More would be told apart badly too: the traffic is split into some dozens of pieces.
const MOST: usize = 16;

/// Engines that are planned for together, each part being much like the whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part<'e> {
    pub(super) engines: Vec<&'e Engine>,
    /// Of the model's traffic.
    pub(super) share: f64,
}

/// Deals the engines out, the strong ones first, so that the parts are alike. Each gets traffic by what its engines are worth.
pub(super) fn parts<'e>(engines: &[&'e Engine]) -> Vec<Part<'e>> {
    let count = engines.len().div_ceil(MOST).max(1);
    let mut dealt: Vec<(f64, usize)> =
        engines.iter().enumerate().map(|(at, engine)| (strength(engine), at)).collect();
    dealt.sort_by(|one, other| other.0.total_cmp(&one.0));
    let all: f64 = dealt.iter().map(|(strength, _)| strength).sum();
    let mut parts = vec![(0.0, Vec::new()); count];
    for (turn, (strength, at)) in dealt.into_iter().enumerate() {
        // There and back, as teams are picked.
        let (round, seat) = (turn / count, turn % count);
        let part = &mut parts[if round % 2 == 0 { seat } else { count - 1 - seat }];
        part.0 += strength;
        part.1.push(at);
    }
    let part = |(strength, mut places): (f64, Vec<usize>)| {
        places.sort_unstable();
        let share = if all > 0.0 { strength / all } else { 1.0 };
        Part { engines: places.into_iter().map(|at| engines[at]).collect(), share }
    };
    parts.into_iter().map(part).collect()
}

/// What an engine is worth, roughly: prefills go by its arithmetic, decoding by its memory. Nothing while it takes no requests.
fn strength(engine: &Engine) -> f64 {
    if engine.condition == Condition::Unavailable {
        return 0.0;
    }
    let deployment = engine.profiles.iter().find_map(|option| option.deployment.as_ref());
    deployment.map_or(1.0, |deployment| {
        let hardware = &deployment.hardware;
        (hardware.bf16_tflops * hardware.memory_gb_per_s).sqrt() * f64::from(deployment.count)
    })
}
