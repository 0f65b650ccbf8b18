//! The backends that serve one model name, with everything about them that a decision needs and that changes only
//! with the configuration worked out beforehand.

use std::sync::Arc;

use gearshift_config::{BackendId, HardwareFacts, Knobs, ModelFacts};

use crate::{
    affinity::Tag,
    deployment::{Deployment, Software},
    explore::Exploration,
    learner::{Bundle, BundleError, Generation, Memory, Texts},
    objective::Power,
    prior::{Prior, PriorFactors},
    state::BackendState,
    tokens::ModelState,
};

/// One backend as the selector sees it at one snapshot: facts that change only with the config or detection,
/// and the live state, which outlives snapshots.
#[derive(Debug, Clone)]
pub struct BackendSpec {
    /// Its name.
    pub id: BackendId,
    /// One accelerator and how many; `None` where neither stated nor known.
    pub hardware: Option<(Arc<HardwareFacts>, u32)>,
    /// The model it serves, in numbers; `None` where unknown.
    pub model: Option<Arc<ModelFacts>>,
    /// The knobs of its profile.
    pub knobs: Knobs,
    /// The engine's software.
    pub software: Software,
    /// Whether its profile leaves the model's outputs as they are.
    pub lossless: bool,
    /// US dollars per hour of the whole engine; the hardware's list price where absent.
    pub price_usd_per_hour: Option<f64>,
    /// Its live state.
    pub state: Arc<BackendState>,
    /// Per served model: token ratio and output lengths.
    pub model_state: Arc<ModelState>,
}

impl BackendSpec {
    /// The engine in numbers; `None` where hardware or model is unknown.
    pub fn deployment(&self) -> Option<Deployment> {
        let ((hardware, count), model) = self.hardware.as_ref().zip(self.model.as_ref())?;
        Some(Deployment {
            hardware: Arc::clone(hardware),
            count: *count,
            model: Arc::clone(model),
            knobs: self.knobs.clone(),
            software: self.software,
            kv_tokens: self.state.kv_tokens(),
        })
    }

    /// Whether the engine may hold prompts in a prefix cache; vLLM does unless told not to.
    pub(crate) fn caches_prefixes(&self) -> bool {
        self.knobs.prefix_caching != Some(false)
    }
}

/// Position of a backend in its [`Group`].
pub type Index = usize;

/// Backends that serve one model name; what [`choose`](crate::choose) ranks. Built once per snapshot.
#[derive(Debug, Clone)]
pub struct Group {
    backends: Vec<BackendSpec>,
    constants: Vec<Constants>,
    learner: Option<Learner>,
    exploration: Option<Exploration>,
    /// Backends by affinity tag, sorted: hints outlive snapshots, positions do not.
    by_tag: Vec<(Tag, Index)>,
}

/// What a decision has to know of the bundle that its group was built with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Learner {
    pub(crate) generation: Generation,
    /// Spread at which a correction counts half, natural log.
    pub(crate) spread_scale: f64,
    /// Candidates it is asked about at most.
    pub(crate) candidates: usize,
}

/// What of a backend is worked out when the group is built.
#[derive(Debug, Clone)]
pub(crate) struct Constants {
    /// With the default factors, whatever bundle decides: what calibration has learned is over it. `None` where hardware or model
    /// is unknown.
    pub prior: Option<Prior>,
    /// With the factors of the group's bundle, where these are others: what its learner corrects.
    pub bundle_prior: Option<Prior>,
    /// The engine as the group's bundle remembers it.
    pub memory: Option<Memory>,
    /// US dollars a second of the whole engine, where known.
    pub price_usd_per_s: Option<f64>,
    /// `None` where the hardware is unknown.
    pub power: Option<Power>,
    /// Longest context served, tokens; infinite where unknown.
    pub max_tokens: f64,
}

impl Group {
    /// Precomputes the prior's constants per backend. All are expected to share one [`ModelState`].
    pub fn new(backends: Vec<BackendSpec>) -> Self {
        let memories = vec![None; backends.len()];
        Self::build(backends, &PriorFactors::default(), None, memories)
    }

    /// As [`Self::new`], for decisions with a meta-learner: with the prior that it corrects, and the engines as it remembers
    /// them. Encodes all of them: not for a request core.
    ///
    /// # Errors
    /// As [`Bundle::remember`].
    pub fn with_bundle(backends: Vec<BackendSpec>, bundle: &Bundle) -> Result<Self, BundleError> {
        let deployments: Vec<_> = backends.iter().map(BackendSpec::deployment).collect();
        let known: Vec<_> =
            deployments.iter().flatten().map(|deployment| (deployment, Texts::of(deployment))).collect();
        let mut memories = bundle.remember(&known)?.into_iter();
        let memories = deployments.iter().map(|known| known.as_ref().and_then(|_| memories.next())).collect();
        let manifest = bundle.manifest();
        let learner = Learner {
            generation: bundle.generation(),
            spread_scale: f64::from(manifest.spread_scale),
            candidates: bundle.cost().candidates,
        };
        Ok(Self::build(backends, &manifest.prior, Some(learner), memories))
    }

    /// `factors` are those of the prior that the learner corrects.
    pub(crate) fn build(
        backends: Vec<BackendSpec>,
        factors: &PriorFactors,
        learner: Option<Learner>,
        memories: Vec<Option<Memory>>,
    ) -> Self {
        let constants = backends
            .iter()
            .zip(memories)
            .map(|(backend, memory)| Constants::new(backend, factors, memory))
            .collect();
        let mut by_tag: Vec<_> =
            backends.iter().enumerate().map(|(index, backend)| (Tag::of(&backend.id), index)).collect();
        by_tag.sort_unstable();
        Self { backends, constants, learner, exploration: None, by_tag }
    }

    /// The same, whose decisions explore.
    #[must_use]
    pub fn exploring(self, exploration: Exploration) -> Self {
        Self { exploration: Some(exploration), ..self }
    }

    /// Whether, and how, its decisions explore.
    pub(crate) fn exploration(&self) -> Option<Exploration> {
        self.exploration
    }

    /// The backends, in the order given.
    pub fn backends(&self) -> &[BackendSpec] {
        &self.backends
    }

    /// The bundle that its decisions may ask, where there is one.
    pub(crate) fn learner(&self) -> Option<Learner> {
        self.learner
    }

    pub(crate) fn constants(&self, index: Index) -> &Constants {
        &self.constants[index]
    }

    /// Positions of the backends that got this prefix last, those with the longest first.
    pub(crate) fn hints(&self, chain: &[u64]) -> impl Iterator<Item = Index> {
        let tags = self.backends.first().map(|backend| backend.model_state.affinity.hints(chain));
        tags.into_iter().flatten().filter_map(|tag| {
            let at = self.by_tag.partition_point(|&(other, _)| other < tag);
            self.by_tag.get(at).filter(|(other, _)| *other == tag).map(|&(_, index)| index)
        })
    }
}

impl Constants {
    fn new(backend: &BackendSpec, factors: &PriorFactors, memory: Option<Memory>) -> Self {
        let deployment = backend.deployment();
        let prior = |factors| deployment.as_ref().map(|deployment| Prior::new(deployment, factors));
        let usual = PriorFactors::default();
        let list_price = || {
            backend.hardware.as_ref().map(|(hardware, count)| hardware.price_usd_per_hour * f64::from(*count))
        };
        let price = backend.price_usd_per_hour.or_else(list_price);
        let context =
            backend.knobs.max_model_len.or_else(|| backend.model.as_ref().map(|model| model.context));
        Self {
            prior: prior(&usual),
            bundle_prior: if *factors == usual { None } else { prior(factors) },
            memory,
            price_usd_per_s: price
                .filter(|price| *price > 0.0 && price.is_finite())
                .map(|price| price / 3600.0),
            power: backend.hardware.as_ref().and_then(|(hardware, count)| Power::new(hardware, *count)),
            max_tokens: context.filter(|&tokens| tokens > 0).map_or(f64::INFINITY, f64::from),
        }
    }
}
