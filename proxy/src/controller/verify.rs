//! Whether an engine is in its profile: by its own word where it gives one.

use gearshift_config::{Backend, Declared, Knobs};
use gearshift_selector::Availability;
use serde_json::Value;

use super::machine::Agreement;
use crate::fleet::Member;

/// What is known of an engine's profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Proof {
    /// Knobs of the profile that the engine confirmed.
    pub(super) verified: Vec<String>,
    /// Knobs of the profile that it says nothing of.
    pub(super) declared: Vec<String>,
}

/// Whether clients' requests could go there.
pub(super) fn answers(member: &Member) -> bool {
    matches!(member.found(), Availability::Ready | Availability::Probation)
}

/// Whether the engine's metrics have been read since it answers.
fn counted(member: &Member) -> bool {
    member.state().scraped().is_some_and(|load| load.at > member.found_since())
}

/// Whether the engine is in the backend's profile. `waited` says that its metrics had time to come: an engine need not have
/// any.
pub(super) fn agreement(member: &Member, waited: bool) -> Agreement {
    if member.detected().is_none() || !(counted(member) || waited) {
        return Agreement::Unknown;
    }
    let differs = member.mismatches();
    if differs.is_empty() {
        return Agreement::Agrees;
    }
    let said = differs.iter().map(|one| format!("{} is {}, not {}", one.what, one.detected, one.declared));
    Agreement::Differs(said.collect::<Vec<_>>().join("; "))
}

/// What of the backend's profile the engine confirmed.
pub(super) fn proof(member: &Member) -> Proof {
    let backend = member.backend();
    let Declared::Is(profile) = &backend.profile else { return Proof::default() };
    let seen = member.detected().map(|detected| detected.knobs.clone()).unwrap_or_default();
    let (verified, declared) =
        stated(&profile.knobs).into_iter().partition(|knob| stated(&seen).contains(knob));
    Proof { verified, declared }
}

/// Whether what engines say tells two profiles apart: one of the knobs that `seen` shows differs between them.
pub(super) fn tells_apart(backend: &Backend, one: &str, other: &str, seen: &Knobs) -> bool {
    let knobs = |name: &str| {
        let profile = backend.profiles.iter().find(|profile| profile.id.as_str() == name);
        profile.map(|profile| as_json(&profile.knobs))
    };
    let (Some(one), Some(other)) = (knobs(one), knobs(other)) else { return false };
    stated(seen).iter().any(|knob| one[knob] != other[knob])
}

fn as_json(knobs: &Knobs) -> Value {
    // Knobs are numbers, words and switches, which serialize.
    serde_json::to_value(knobs).unwrap_or_default()
}

/// The names of the knobs that are not left open.
fn stated(knobs: &Knobs) -> Vec<String> {
    let Value::Object(all) = as_json(knobs) else { return Vec::new() };
    all.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn profiles_are_told_apart_by_what_shows() {
        let text = "
profiles: {a: {max_num_seqs: 8, prefix_caching: true}, b: {max_num_seqs: 16, prefix_caching: true}}
backends: [{url: 'http://x', profile: a, profiles: [a, b]}]
";
        let config = gearshift_config::parse("t", text, Path::new("")).unwrap();
        let apart = |seen: &Knobs| tells_apart(&config.backends[0], "a", "b", seen);
        assert!(!apart(&Knobs { prefix_caching: Some(true), ..Knobs::default() }));
        assert!(apart(&Knobs { max_num_seqs: Some(8), ..Knobs::default() }));
        assert!(!apart(&Knobs::default()));
    }
}
