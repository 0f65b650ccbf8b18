//! The request path, from top to bottom.
//!
//! ```text
//! admit ▶ inspect ▶ choose ▶ forward ▶ relay ▶ record
//! ```
//!
//! Each stage is a file, takes what the stage before made, and adds to it. Nothing flows back, but for one loop:
//! when a backend fails before its response head, another is chosen.

mod admit;
mod choose;
mod forward;
mod headers;
mod inspect;
mod record;
mod relay;

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

pub use self::{
    admit::RequestId,
    headers::REQUEST_ID,
    relay::{CutError, RelayBody},
};
use crate::{
    clock,
    endpoint::{self, Target},
    error::{ProxyError, Reason},
    listing,
    metrics::Failed,
    snapshot::{Model, Snapshot},
    telemetry::Trail,
    worker::Worker,
};

/// What a client gets.
pub type ProxyResponse = Response<RelayBody>;

/// Answers one request; errors become responses here and nowhere else.
pub async fn answer(worker: Rc<Worker>, mut request: Request<Incoming>) -> ProxyResponse {
    let dialect = endpoint::dialect(request.uri().path());
    let id = admit::request_id(&request);
    let snapshot = worker.snapshot();
    let telemetry = &snapshot.config.telemetry;
    let mut trail = Trail::begin(&worker, telemetry, &mut request, &id.0, clock::now());
    match ride(&worker, snapshot, request, id.clone(), &mut trail).await {
        Ok(response) => response,
        Err(Refusal { error, of }) => {
            let known = of.as_ref().and_then(|(model, route)| model.errors(*route));
            worker.shared.metrics.error(error.reason, known);
            tracing::info!(request_id = %id, reason = error.reason.as_str(), "{error}");
            let mut response = error.to_response(dialect).map(RelayBody::whole);
            trail.refused(error.reason);
            trail.explain(response.headers_mut());
            response
        }
    }
}

async fn ride(
    worker: &Rc<Worker>,
    snapshot: Arc<Snapshot>,
    request: Request<Incoming>,
    id: RequestId,
    trail: &mut Trail,
) -> Result<ProxyResponse, Refusal> {
    let endpoint = match endpoint::resolve(request.method(), request.uri().path()) {
        Target::Forward(endpoint) => endpoint,
        Target::ListModels => return Ok(own(listing::all(&snapshot), trail)),
        Target::DescribeModel(name) => return Ok(own(listing::one(&snapshot, name)?, trail)),
        Target::Health => {
            // Asked every second by whoever balances the load.
            trail.forget();
            return Ok(listing::health(&worker.shared).map(RelayBody::whole));
        }
        Target::WrongMethod(right) => return Err(admit::wrong_method(&request, right).into()),
        Target::Unknown => return Err(admit::unknown_path(&request).into()),
    };
    let admitted = admit::admit(worker, snapshot, endpoint, request, id)?;
    let mut inspected = inspect::inspect(worker, admitted).await?;
    trail.asked(|| inspected.asked());
    loop {
        let mut chosen = choose::choose(worker, &inspected).map_err(|error| inspected.refuse(error))?;
        chosen.waiting.carry(inspected.report.take());
        let traceparent = trail.chosen(&chosen.decision, chosen.flight.started());
        match forward::forward(worker, &inspected, &chosen, traceparent.as_ref()).await {
            Ok(response) => return Ok(relay::relay(inspected, chosen, response, std::mem::take(trail))),
            Err(failure) => {
                trail.failed(failure.error.reason);
                inspected.exclude(worker, chosen, failure).map_err(|error| inspected.refuse(error))?;
            }
        }
    }
}

/// Gearshift's own answer.
fn own(response: Response<Bytes>, trail: &mut Trail) -> ProxyResponse {
    trail.answered(response.status());
    response.map(RelayBody::whole)
}

/// An error to be answered, with the request's model and the position of its route, where it was understood that far.
#[derive(Debug)]
struct Refusal {
    error: ProxyError,
    of: Option<(Arc<Model>, usize)>,
}

impl From<ProxyError> for Refusal {
    fn from(error: ProxyError) -> Self {
        Self { error, of: None }
    }
}

/// A backend that gave no response the client should see.
#[derive(Debug)]
struct Failure {
    /// What to answer when nobody else can be tried.
    error: ProxyError,
    /// What became of the attempt; `None` where the backend had no part in it.
    what: Option<Failed>,
    /// What happened, for the log alone: it may name addresses.
    detail: String,
}

impl Failure {
    fn new(reason: Reason, what: Option<Failed>, message: &'static str, detail: String) -> Self {
        Self { error: ProxyError::new(reason, message), what, detail }
    }
}
