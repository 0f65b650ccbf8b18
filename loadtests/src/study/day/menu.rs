//! The profiles that the engines of a study may run.

use gearshift_config::{Knobs, ProfileId, Speculative};

use crate::{
    sim::{EngineSpec, SpecError},
    study::{Claim, Member},
};

/// Longest prompt with its answer that the engines serve, tokens.
const CONTEXT: u32 = 16_384;

/// A named choice of profiles, the first of which is vLLM's defaults.
#[derive(Debug, Clone)]
pub struct Menu {
    /// Its name in reports.
    pub name: &'static str,
    /// Why it is what it is, for the report.
    pub about: &'static str,
    /// Its profiles.
    pub profiles: Vec<MenuProfile>,
}

/// One profile. All are lossless.
#[derive(Debug, Clone)]
pub struct MenuProfile {
    /// Its name.
    pub id: ProfileId,
    /// What it sets; the rest is vLLM's default.
    pub knobs: Knobs,
    /// For people.
    pub about: &'static str,
}

impl Menu {
    /// What any model may run: nothing that has to be trained first.
    pub fn plain() -> Self {
        let defaults = || Knobs { max_model_len: Some(CONTEXT), ..Knobs::default() };
        let profiles = vec![
            profile("default", "vLLM's defaults", defaults()),
            profile(
                "lookup",
                "n-gram speculation, 3 tokens",
                Knobs { speculative: speculative("ngram"), ..defaults() },
            ),
            profile(
                "small-steps",
                "max_num_batched_tokens 1024",
                Knobs { max_num_batched_tokens: Some(1024), ..defaults() },
            ),
            profile(
                "large-steps",
                "max_num_batched_tokens 16384",
                Knobs { max_num_batched_tokens: Some(16_384), ..defaults() },
            ),
            profile("few", "max_num_seqs 32", Knobs { max_num_seqs: Some(32), ..defaults() }),
            profile(
                "replicas",
                "data_parallel 2 (multi-GPU engines on which two replicas fit)",
                Knobs { data_parallel: Some(2), ..defaults() },
            ),
        ];
        Self { name: "plain", about: "nothing that has to be trained for the model", profiles }
    }

    /// As [`Self::plain`], for a model that has drafting heads.
    pub fn drafting() -> Self {
        let mut menu = Self::plain();
        let knobs =
            Knobs { max_model_len: Some(CONTEXT), speculative: speculative("eagle3"), ..Knobs::default() };
        menu.profiles.push(profile("draft", "EAGLE-3 heads, 3 tokens", knobs));
        Self { name: "drafting", about: "as plain, and the model has EAGLE-3 heads", ..menu }
    }

    /// The engine of `member` in each profile: its position in the menu, and what it is then. Those it cannot run are left out.
    pub(super) fn of(&self, member: &Member) -> Vec<(usize, Member)> {
        let fits = |(at, profile): (usize, &MenuProfile)| {
            if profile.knobs.data_parallel.is_some() && member.engine.count < 2 {
                return None;
            }
            let shaped = shaped(member, &profile.knobs);
            can_be(&shaped.engine).ok()?;
            Some((at, shaped))
        };
        self.profiles.iter().enumerate().filter_map(fits).collect()
    }
}

fn profile(id: &str, about: &'static str, knobs: Knobs) -> MenuProfile {
    MenuProfile { id: ProfileId::new(id), knobs, about }
}

fn speculative(method: &str) -> Option<Speculative> {
    Some(Speculative { method: method.to_owned(), num_speculative_tokens: 3, model: None })
}

fn can_be(spec: &EngineSpec) -> Result<(), SpecError> {
    let engine = crate::sim::Engine::new(spec, crate::sim::Pace::Skip, 0)?;
    // Replicas that hold hardly more than one request are no choice.
    if engine.kv_tokens() < u64::from(CONTEXT) {
        return Err(SpecError::Knobs { engine: spec.name.clone(), reason: "no room".to_owned() });
    }
    Ok(())
}

/// The engine with other knobs; the router is told.
fn shaped(member: &Member, knobs: &Knobs) -> Member {
    let engine = EngineSpec { knobs: knobs.clone(), ..member.engine.clone() };
    let honest = Member::honest(engine);
    let claim = Claim { hardware: member.claim.hardware.clone(), count: member.claim.count, ..honest.claim };
    Member { engine: honest.engine, claim, ..member.clone() }
}
