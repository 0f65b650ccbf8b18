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

use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;

pub use self::{
    admit::RequestId,
    headers::REQUEST_ID,
    relay::{CutError, RelayBody},
};
use crate::{
    endpoint::{self, Target},
    error::{ProxyError, Reason},
    listing,
    worker::Worker,
};

/// What a client gets.
pub type ProxyResponse = Response<RelayBody>;

/// Answers one request; errors become responses here and nowhere else.
pub async fn answer(worker: Rc<Worker>, request: Request<Incoming>) -> ProxyResponse {
    let dialect = endpoint::dialect(request.uri().path());
    let id = admit::request_id(&request);
    match ride(&worker, request, id.clone()).await {
        Ok(response) => response,
        Err(error) => {
            worker.shared.metrics.error(error.reason);
            tracing::info!(request_id = %id, reason = error.reason.as_str(), "{error}");
            error.to_response(dialect).map(RelayBody::whole)
        }
    }
}

async fn ride(
    worker: &Rc<Worker>,
    request: Request<Incoming>,
    id: RequestId,
) -> Result<ProxyResponse, ProxyError> {
    let snapshot = worker.snapshot();
    let endpoint = match endpoint::resolve(request.method(), request.uri().path()) {
        Target::Forward(endpoint) => endpoint,
        Target::ListModels => return Ok(listing::all(&snapshot).map(RelayBody::whole)),
        Target::DescribeModel(name) => {
            return listing::one(&snapshot, name).map(|one| one.map(RelayBody::whole));
        }
        Target::Health => return Ok(listing::health(&worker.shared).map(RelayBody::whole)),
        Target::WrongMethod(right) => return Err(admit::wrong_method(&request, right)),
        Target::Unknown => return Err(admit::unknown_path(&request)),
    };
    let admitted = admit::admit(worker, snapshot, endpoint, request, id)?;
    let mut inspected = inspect::inspect(worker, admitted).await?;
    loop {
        let chosen = choose::choose(worker, &inspected)?;
        match forward::forward(worker, &inspected, &chosen).await {
            Ok(response) => return Ok(relay::relay(inspected, chosen, response)),
            Err(failure) => inspected.exclude(worker, chosen, failure)?,
        }
    }
}

/// A backend that gave no response the client should see.
#[derive(Debug)]
struct Failure {
    /// What to answer when nobody else can be tried.
    error: ProxyError,
    /// Why another attempt is made, as the retry metric calls it.
    retry: &'static str,
    /// What happened, for the log alone: it may name addresses.
    detail: String,
}

impl Failure {
    fn new(reason: Reason, retry: &'static str, message: &'static str, detail: String) -> Self {
        Self { error: ProxyError::new(reason, message), retry, detail }
    }
}
