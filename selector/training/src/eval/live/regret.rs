//! A bundle that serves, held against the one before it.

use gearshift_selector::Bundle;

use super::{
    Arm, Decided, Difference, Settings, Tried, differ, expected,
    judge::{LEAST, choice, since},
    replayed,
};
use crate::{Error, live::Journey};

/// By how much what a bundle chose cost more than what the policy before it would have: what happened, against a doubly
/// robust estimate of what would have. Positive is worse. And over how many decisions.
///
/// Where the bundle explores little, what the one before would have cost is mostly the reward model's word
/// ([`Difference::effective`] says how far): enough to take a bundle back, not to praise it.
///
/// # Errors
/// As [`super::judge()`]; where there are too few decisions of the bundle, or they span too short a time.
pub fn regret(
    journeys: &[Journey],
    before: Option<(&str, &Bundle)>,
    bundle: &str,
    settings: &Settings,
) -> Result<(Difference, usize), Error> {
    let of_bundle = |journey: &&Journey| journey.live().bundle.as_deref() == Some(bundle);
    let own_s = journeys.iter().filter(of_bundle).map(|journey| journey.sent_s);
    let own_s = own_s.min_by(f64::total_cmp).unwrap_or(f64::INFINITY);
    let before_s = since(journeys, before).unwrap_or(own_s);
    let told = replayed(&mut Arm::new(before.map(|(_, bundle)| bundle), before_s)?, journeys)?;
    // What others chose is learned from, and comes first: it is not judged.
    let case = |at: usize| Some((&journeys[at], Decided::new(&journeys[at])?, told[at].as_ref()?));
    let (own, others): (Vec<_>, Vec<_>) =
        (0..journeys.len()).filter_map(case).partition(|(journey, ..)| of_bundle(journey));
    let from = others.len();
    let pairs: Vec<(&Journey, Decided)> =
        others.iter().chain(&own).map(|(journey, decided, _)| (*journey, decided.clone())).collect();
    if own.len() < LEAST {
        return Err(Error::Failed(format!("{} decisions of bundle {bundle}; {LEAST} are needed", own.len())));
    }
    let losses = expected(&pairs, from, settings.seed);
    let choices: Vec<_> = own
        .iter()
        .zip(losses)
        .map(|((journey, decided, _), expected)| choice(journey, decided, expected))
        .collect();
    let chances: Vec<Vec<f64>> = own.iter().map(|(.., told)| told.chances.clone()).collect();
    let (logged, old) = (Tried::logged(&choices, settings), Tried::new(&choices, &chances, settings));
    let difference = differ(&old, &logged, settings);
    match difference.too_short(settings) {
        Some(few) => Err(Error::Failed(few)),
        None => Ok((difference, own.len())),
    }
}
