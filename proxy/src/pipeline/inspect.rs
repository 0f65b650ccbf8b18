//! Inspect: read the body, find the model and the route, and take down the request facts.

use std::sync::Arc;

use bytes::Bytes;
use gearshift_selector::{Index, Moment, PrefixChain, RequestFacts, Work, prefix_chain, prefix_seed};
use http::{HeaderMap, header, request::Parts};
use smallvec::SmallVec;

use super::{Failure, Refusal, admit::Admitted, admit::RequestId, choose::Chosen};
use crate::{
    admission::{BufferGuard, Permit},
    endpoint::{BodyKind, Endpoint, Prompt},
    error::{ProxyError, Reason},
    live::Report,
    request::{body, body::BodyLimits, envelope::Envelope, form, prompt, splice},
    snapshot::{Model, Snapshot},
    telemetry::Asked,
    worker::Worker,
};

/// A request that is understood as far as routing needs it.
pub(super) struct Inspected {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) endpoint: &'static Endpoint,
    pub(super) head: Parts,
    /// As it came, or with the model's name or a usage flag spliced in.
    pub(super) body: Bytes,
    /// Holds the body's share of the memory until the response head is there.
    pub(super) _buffer: BufferGuard,
    pub(super) permit: Permit,
    pub(super) id: RequestId,
    pub(super) arrived: Moment,
    pub(super) model: Arc<Model>,
    /// Position in [`Snapshot::routes`].
    pub(super) route: usize,
    pub(super) facts: RequestFacts,
    pub(super) tried: SmallVec<[Index; 4]>,
    /// What is said of it, once it has ended; elsewhere while a backend is asked.
    pub(super) report: Option<Report>,
    /// What became of the last backend that was tried.
    pub(super) failure: Option<ProxyError>,
}

/// What the body says, before anything is changed in it.
struct Reading {
    model: Arc<Model>,
    route: usize,
    facts: RequestFacts,
    body: Bytes,
}

/// Reads and understands a request.
pub(super) async fn inspect(worker: &Worker, admitted: Admitted) -> Result<Box<Inspected>, ProxyError> {
    let Admitted { snapshot, endpoint, mut head, body, permit, id, arrived } = admitted;
    check_type(endpoint, &head.headers)?;
    let limits = BodyLimits {
        max_bytes: snapshot.config.limits.max_body_bytes,
        idle: snapshot.config.timeouts.body_idle,
        total: snapshot.config.timeouts.body,
    };
    let buffered = body::read(body, limits, &worker.shared.admission).await?;
    let reading = match endpoint.body {
        BodyKind::Json => read_json(&snapshot, endpoint, &head, &buffered.bytes)?,
        // Boxed, because it is rare and large.
        BodyKind::Form => Box::pin(read_form(&snapshot, &head, buffered.bytes)).await?,
    };
    super::headers::prepare_request(&mut head.headers, &id);
    let report = report(worker, &reading, arrived);
    // There from the first request on, so that the first error is seen to be one more.
    reading.model.know_errors(reading.route, &snapshot.routes[reading.route].route, &worker.shared.metrics);
    // Boxed, because it moves from stage to stage.
    Ok(Box::new(Inspected {
        snapshot,
        endpoint,
        head,
        body: reading.body,
        _buffer: buffered.guard,
        permit,
        id,
        arrived,
        model: reading.model,
        route: reading.route,
        facts: reading.facts,
        tried: SmallVec::new(),
        report,
        failure: None,
    }))
}

/// Says that a request came.
fn report(worker: &Worker, reading: &Reading, arrived: Moment) -> Option<Report> {
    let Reading { model, route, facts, .. } = reading;
    let state = &model.group.backends().first()?.model_state;
    Report::begin(worker.reporter.as_ref()?, &model.subjects[*route], facts, state, arrived)
}

impl Inspected {
    /// What it asks for, for those who are told of it.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            model: self.model.clone(),
            route: self.snapshot.routes[self.route].route.clone(),
            stream: self.facts.stream,
            max_tokens: self.facts.max_tokens,
        }
    }

    /// Rules out the backend that just failed, or gives up with its failure.
    pub(super) fn exclude(
        &mut self,
        worker: &Worker,
        chosen: Chosen,
        failure: Failure,
    ) -> Result<(), ProxyError> {
        let backend = &self.model.targets[chosen.decision.chosen.index].upstream.id;
        tracing::warn!(request_id = %self.id, %backend, detail = failure.detail, "{}", failure.error);
        self.report = chosen.waiting.failed(&failure);
        let Some(what) = failure.what.filter(|_| self.may_retry(worker, &failure)) else {
            return Err(failure.error);
        };
        worker.shared.metrics.retry(what);
        self.tried.push(chosen.decision.chosen.index);
        self.failure = Some(failure.error);
        Ok(())
    }

    /// The error, counted under the request's route and model.
    pub(super) fn refuse(&self, error: ProxyError) -> Refusal {
        Refusal { error, of: Some((self.model.clone(), self.route)) }
    }

    fn may_retry(&self, worker: &Worker, failure: &Failure) -> bool {
        failure.error.reason.retryable() && self.others_left() && worker.shared.admission.retries().withdraw()
    }

    /// Whether the limits leave room for a further attempt on a backend that has not been tried.
    pub(super) fn others_left(&self) -> bool {
        let attempts = self.snapshot.config.retries.attempts;
        self.tried.len() < attempts as usize && self.tried.len() + 1 < self.model.targets.len()
    }
}

fn check_type(endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), ProxyError> {
    let refuse = |message: &str| Err(ProxyError::new(Reason::UnsupportedMediaType, message));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("compressed request bodies are not supported; send it without `Content-Encoding`");
    }
    let given =
        headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("").to_ascii_lowercase());
    match (endpoint.body, given.as_deref()) {
        (BodyKind::Json, None) => Ok(()),
        (BodyKind::Json, Some(kind)) if kind.starts_with("application/") && kind.contains("json") => Ok(()),
        (BodyKind::Json, Some(_)) => refuse("send JSON with `Content-Type: application/json`"),
        (BodyKind::Form, Some(kind)) if kind.starts_with("multipart/form-data") => Ok(()),
        (BodyKind::Form, _) => refuse("send a form with `Content-Type: multipart/form-data`"),
    }
}

fn read_json(
    snapshot: &Snapshot,
    endpoint: &'static Endpoint,
    head: &Parts,
    body: &Bytes,
) -> Result<Reading, ProxyError> {
    let envelope = Envelope::read(body)?;
    let named = envelope.model(body)?;
    let name = named.as_ref().map(|named| named.name.as_ref());
    let model = find_model(snapshot, name)?;
    let route = snapshot.route(name.unwrap_or(&model.label), head.uri.path(), &head.headers);
    let facts = facts(endpoint, &envelope, &model, body);
    let wants_usage = facts.stream
        && endpoint.prompt != Prompt::Input
        && endpoint.dialect == crate::endpoint::Dialect::OpenAi
        && snapshot.routes[route].route.inject_usage
        && !envelope.has_stream_options();
    let rename = named.filter(|named| named.name != model.served_name).map(|named| named.span);
    let mut spliced = body.clone();
    if wants_usage {
        // First, because it is at the end and leaves the model's place where it is.
        spliced = splice::usage(&spliced);
    }
    if let Some(span) = rename {
        spliced = splice::model(&spliced, span, &model.served_name);
    }
    Ok(Reading { model, route, facts, body: spliced })
}

fn facts(endpoint: &Endpoint, envelope: &Envelope<'_>, model: &Model, body: &Bytes) -> RequestFacts {
    let raw = envelope.prompt(endpoint.prompt);
    let size = match (endpoint.prompt, raw) {
        (Prompt::Messages, Some(raw)) => prompt::of_messages(raw),
        (Prompt::Prompt | Prompt::Input, Some(raw)) => prompt::of_batch(raw),
        (Prompt::Body, _) | (_, None) => {
            prompt::PromptSize { bytes: body.len() as u64, tokens: None, batch: 1 }
        }
    };
    let preamble = envelope.preamble();
    let prefix = match (endpoint.work, raw) {
        (Work::Generate, Some(raw)) => {
            let [tools, system, instructions, salt] = preamble.map(str::as_bytes);
            let seed = prefix_seed(&[model.served_name.as_bytes(), tools, system, instructions, salt]);
            prefix_chain(seed, raw.as_bytes())
        }
        (Work::Generate | Work::Encode | Work::Utility | Work::Audio, _) => PrefixChain::default(),
    };
    let [tools, system, instructions, _] = preamble.map(str::len);
    RequestFacts {
        work: endpoint.work,
        prompt_bytes: size.bytes + (tools + system + instructions) as u64,
        prompt_tokens_exact: size.tokens,
        max_tokens: envelope.max_tokens(),
        sequences: size.batch.saturating_mul(envelope.answers()).max(1),
        stream: envelope.stream(),
        prefix,
    }
}

async fn read_form(snapshot: &Snapshot, head: &Parts, body: Bytes) -> Result<Reading, ProxyError> {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let named = form::model(kind, &body).await?;
    let name = named.as_ref().map(|named| named.name.as_str());
    let model = find_model(snapshot, name)?;
    let route = snapshot.route(name.unwrap_or(&model.label), head.uri.path(), &head.headers);
    let facts = RequestFacts {
        work: Work::Audio,
        prompt_bytes: body.len() as u64,
        prompt_tokens_exact: None,
        max_tokens: None,
        sequences: 1,
        stream: false,
        prefix: PrefixChain::default(),
    };
    let body = match named.filter(|named| named.name != model.served_name) {
        None => body,
        Some(form::FormModel { span: Some(span), .. }) => {
            splice::raw(&body, span, model.served_name.as_bytes())
        }
        Some(form::FormModel { name, span: None }) => {
            let message = format!(
                "{name:?} is an alias that cannot be replaced in this form; use {:?}",
                model.served_name
            );
            return Err(ProxyError::new(Reason::BadRequest, message).param("model"));
        }
    };
    Ok(Reading { model, route, facts, body })
}

fn find_model(snapshot: &Snapshot, name: Option<&str>) -> Result<Arc<Model>, ProxyError> {
    let found = match name {
        Some(name) => snapshot.model(name),
        None => match snapshot.only_model() {
            Some(only) => Some(only),
            None if snapshot.undetected > 0 => None,
            None => {
                let message = "`model` is missing; GET /v1/models lists the models served here";
                return Err(ProxyError::new(Reason::BadRequest, message).param("model"));
            }
        },
    };
    found.cloned().ok_or_else(|| no_such_model(snapshot, name.unwrap_or("")))
}

fn no_such_model(snapshot: &Snapshot, name: &str) -> ProxyError {
    let name: String = name.chars().take(200).collect();
    if snapshot.undetected > 0 {
        let message =
            format!("{} backends have not said yet what they serve; try again shortly", snapshot.undetected);
        return ProxyError::new(Reason::NoBackend, message);
    }
    let message = format!("the model {name:?} does not exist; GET /v1/models lists the models served here");
    ProxyError::new(Reason::UnknownModel, message).param("model")
}
