//! Choose: ask the selector for a backend, and enter the request into its ledger.

use gearshift_selector::{Decision, Flight, NoCandidate};

use super::{inspect::Inspected, record::Waiting};
use crate::{
    clock,
    error::{ProxyError, Reason},
    worker::Worker,
};

/// A backend, why, and the request's share of its ledger.
pub(super) struct Chosen {
    pub(super) decision: Decision,
    pub(super) flight: Flight,
    pub(super) waiting: Waiting,
}

/// Chooses a backend that has not been tried.
pub(super) fn choose(worker: &Worker, inspected: &Inspected) -> Result<Chosen, ProxyError> {
    let Inspected { model, route, facts, tried, .. } = inspected;
    let policy = &model.policies[*route];
    let began = clock::now();
    let decision =
        gearshift_selector::choose(&model.group, policy, facts, tried, began, &mut worker.rng.borrow_mut())
            .map_err(|none| refuse(inspected, none))?;
    let backend = &model.group.backends()[decision.chosen.index];
    let flight = Flight::begin(backend, policy, facts, &decision, began);
    let metrics = &worker.shared.metrics;
    metrics.decided(clock::between(began, clock::now()).as_secs_f64());
    let entry = &inspected.snapshot.routes[*route];
    entry.decisions.count(decision.fallback);
    let target = &model.targets[decision.chosen.index];
    let waiting = Waiting::new(target.ride(*route, entry.route.id.as_str(), &model.label, metrics));
    tracing::debug!(
        request_id = %inspected.id,
        backend = %backend.id,
        considered = decision.considered,
        cached_tokens = decision.chosen.cached_tokens,
        prompt_tokens = decision.prompt_tokens,
        "chose a backend"
    );
    Ok(Chosen { decision, flight, waiting })
}

fn refuse(inspected: &Inspected, none: NoCandidate) -> ProxyError {
    if let Some(failure) = &inspected.failure {
        return ProxyError::new(failure.reason, failure.message.clone());
    }
    let label = &inspected.model.label;
    match none {
        NoCandidate::OnlyLossy => {
            let message =
                format!("{label:?} is served by lossy profiles only, and this route does not allow them");
            ProxyError::new(Reason::OnlyLossy, message)
        }
        NoCandidate::AllTried | NoCandidate::NoneAvailable => ProxyError::new(
            Reason::NoBackend,
            format!("no backend of {label:?} is available now; try again shortly"),
        ),
    }
}
