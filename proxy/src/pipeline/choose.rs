//! Choose: ask the selector for a backend, and enter the request into its ledger.

use std::sync::Arc;

use gearshift_selector::{Decider, Decision, Entrant, Flight, Moment, NoCandidate, choose_on_record};

use super::{inspect::Inspected, record::Waiting};
use crate::{
    bundles::{Learner, Shadow},
    clock,
    error::{ProxyError, Reason},
    live::Decided,
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
    let learners = &inspected.snapshot.learners;
    let active = learners.active.as_ref().filter(|_| worker.pace.borrow_mut().allows(began));
    let mut head = active.and_then(|learner| learner.heads.of(worker.core));
    let mut rng = worker.rng.borrow_mut();
    let sample = inspected.snapshot.config.observations.sample;
    let kept = inspected.report.is_some() && (sample >= 1.0 || rng.f64() < sample);
    // The shadow draws the same lots.
    let lots = rng.clone();
    let decider = Decider { rng: &mut rng, head: head.as_deref_mut() };
    let group = &model.group;
    let (decision, field) = if kept {
        choose_on_record(group, policy, facts, tried, began, decider).map(|(one, field)| (one, Some(field)))
    } else {
        gearshift_selector::choose(group, policy, facts, tried, began, decider).map(|one| (one, None))
    }
    .map_err(|none| refuse(inspected, none))?;
    // A shadow's time is not the decision's.
    let decided = clock::now();
    let backend = &model.group.backends()[decision.chosen.index];
    if let Some(shadow) = &learners.shadow {
        compare(shadow, worker, inspected, &decision, began, lots);
    }
    let flight = Flight::begin(backend, policy, facts, &decision, began);
    let (metrics, took) = (&worker.shared.metrics, clock::between(began, decided));
    metrics.decided(took);
    let budget = inspected.snapshot.config.learner.budget;
    if head.is_some() && worker.pace.borrow_mut().decided(took, budget, decided) {
        tracing::warn!(
            core = worker.core,
            ?took,
            ?budget,
            "decisions take too long; the bundle is left out for a while"
        );
    }
    let faults = |learner: &Arc<Learner>| {
        worker.faults.borrow_mut().decided(learner.bundle.generation(), decision.fallback)
    };
    if let Some((learner, reason)) = active.and_then(|learner| Some((learner, faults(learner)?))) {
        learner.failing.tell(reason);
    }
    if let Some(reporter) = &worker.reporter {
        reporter.decided(decision.explored);
    }
    let decided = field.map(|field| on_record(inspected, &decision, field, began));
    let entry = &inspected.snapshot.routes[*route];
    entry.decisions.note(&decision);
    let target = &model.targets[decision.chosen.index];
    let waiting = Waiting::new(target.ride(*route, &entry.route, &model.label, metrics), decided);
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

/// The decision, for the record.
fn on_record(
    inspected: &Inspected,
    decision: &Decision,
    field: Box<[Entrant]>,
    began: Moment,
) -> Box<Decided> {
    let Inspected { model, facts, tried, .. } = inspected;
    let backend = &model.group.backends()[decision.chosen.index];
    let scraped = backend.state.scraped();
    Box::new(Decided {
        request: inspected.id.0.clone(),
        at: began,
        decision: decision.clone(),
        field,
        engines: model.engines.clone(),
        bundle: model.bundle.clone(),
        load_age_s: scraped.map(|load| began.seconds_since(load.at)),
        round_trip_s: backend.state.round_trip_s(),
        typical: backend.model_state.typical(),
        stream: facts.stream,
        sequences: facts.sequences,
        attempt: u32::try_from(tried.len()).unwrap_or(u32::MAX).saturating_add(1),
    })
}

/// Asks the bundle in shadow about the same request, before the ledger knows of it.
fn compare(
    shadow: &Shadow,
    worker: &Worker,
    inspected: &Inspected,
    decision: &Decision,
    began: Moment,
    mut lots: fastrand::Rng,
) {
    let Inspected { model, route, facts, tried, .. } = inspected;
    let Some(group) = model.shadow.as_ref().filter(|_| shadow.wants_more()) else { return };
    let mut head = shadow.learner.heads.of(worker.core);
    let decider = Decider { rng: &mut lots, head: head.as_deref_mut() };
    let other = gearshift_selector::choose(group, &model.policies[*route], facts, tried, began, decider);
    if let Ok(other) = other {
        shadow.note(decision, &other);
    }
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
