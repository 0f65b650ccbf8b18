//! Backends, requests and a virtual clock for tests and benches.

use std::sync::Arc;

use gearshift_config::{BackendId, HardwareFacts, Knobs, ModelFacts, Objective, Slo};
use gearshift_selector::{
    Availability, BackendSpec, BackendState, Decision, Explanation, Flight, Group, ModelState, Moment,
    OutputLengths, PrefixChain, RequestFacts, RoutePolicy, Software, Work, choose, explain, prefix_chain,
};
use smallvec::SmallVec;

/// A ready backend of `model` on one `hardware`, without anything learned.
pub(crate) fn backend(
    id: &str,
    hardware: HardwareFacts,
    model: &ModelFacts,
    state: &Arc<ModelState>,
) -> BackendSpec {
    let spec = BackendSpec {
        id: BackendId::new(id),
        hardware: Some((Arc::new(hardware), 1)),
        model: Some(Arc::new(model.clone())),
        knobs: Knobs::default(),
        software: Software::default(),
        lossless: true,
        price_usd_per_hour: None,
        state: Arc::new(BackendState::new(None)),
        model_state: Arc::clone(state),
    };
    spec.state.set_availability(Availability::Ready);
    spec
}

/// `count` equal, ready backends.
pub(crate) fn replicas(count: usize, hardware: &HardwareFacts, model: &ModelFacts) -> Vec<BackendSpec> {
    let state = Arc::new(ModelState::new());
    (0..count).map(|i| backend(&format!("replica-{i}"), hardware.clone(), model, &state)).collect()
}

/// A lossless route without limits.
pub(crate) fn policy(objective: Objective) -> RoutePolicy {
    RoutePolicy {
        objective,
        slo: Slo::default(),
        allow_lossy: false,
        output_lengths: Arc::new(OutputLengths::default()),
    }
}

/// A streamed request of about `tokens` prompt tokens whose text nobody shares.
pub(crate) fn request(tokens: u64) -> RequestFacts {
    RequestFacts {
        work: Work::Generate,
        prompt_bytes: tokens * 4,
        prompt_tokens_exact: None,
        max_tokens: None,
        sequences: 1,
        stream: true,
        prefix: PrefixChain::default(),
    }
}

/// As [`request`], with this text as its prompt.
pub(crate) fn request_with_text(text: &[u8]) -> RequestFacts {
    RequestFacts { prompt_bytes: text.len() as u64, prefix: prefix_chain(0, text), ..request(0) }
}

/// A group under a virtual clock and a seed.
pub(crate) struct Fleet {
    pub(crate) group: Group,
    pub(crate) policy: RoutePolicy,
    pub(crate) now: Moment,
    pub(crate) rng: fastrand::Rng,
}

impl Fleet {
    pub(crate) fn new(backends: Vec<BackendSpec>, objective: Objective) -> Self {
        let rng = fastrand::Rng::with_seed(7);
        Self { group: Group::new(backends), policy: policy(objective), now: Moment(0), rng }
    }

    pub(crate) fn choose(&mut self, facts: &RequestFacts) -> Decision {
        choose(&self.group, &self.policy, facts, &SmallVec::new(), self.now, &mut self.rng).unwrap()
    }

    pub(crate) fn explain(&mut self, facts: &RequestFacts) -> Explanation {
        explain(&self.group, &self.policy, facts, &SmallVec::new(), self.now, &mut self.rng).unwrap()
    }

    /// Sends a request to a given backend, as if it had been chosen.
    pub(crate) fn send_to(&self, index: usize, facts: &RequestFacts) -> Flight {
        let mut rng = fastrand::Rng::with_seed(0);
        let only = Group::new(vec![self.group.backends()[index].clone()]);
        let decision = choose(&only, &self.policy, facts, &SmallVec::new(), self.now, &mut rng).unwrap();
        Flight::begin(&self.group.backends()[index], &self.policy, facts, &decision, self.now)
    }

    /// Chooses and sends.
    pub(crate) fn send(&mut self, facts: &RequestFacts) -> (usize, Flight) {
        let decision = self.choose(facts);
        let index = decision.chosen.index;
        (index, Flight::begin(&self.group.backends()[index], &self.policy, facts, &decision, self.now))
    }

    pub(crate) fn later(&mut self, seconds: f64) {
        self.now = self.now.after_seconds(seconds);
    }
}
