//! The endpoints that generate.

use std::rc::Rc;

use hyper::{HeaderMap, StatusCode, header::HeaderValue};

use super::{Answer, Asked, failed, reply};
use crate::{
    serve::{
        body::GenerateBody,
        connection::Fate,
        errors::Failure,
        faults::Mischief,
        format::{Heading, Protocol},
        host::{Host, Ride},
        job::Job,
        since_1970,
        stream::{Broken, EventStream, Reader},
    },
    sim::Refusal,
};

const REQUEST_ID: &str = "x-request-id";
const LOAD_FORMAT: &str = "endpoint-load-metrics-format";
const LOAD: &str = "endpoint-load-metrics";

/// Answers a request to generate.
pub(super) async fn answer(host: &Rc<Host>, protocol: Protocol, asked: Asked) -> Result<Answer, Broken> {
    let Asked { headers, body, fate, mut timed, .. } = asked;
    let taken = match take(host, protocol, &body, &fate)? {
        Ok(taken) => taken,
        Err(failure) => {
            let answer = failed(host, protocol, &failure);
            timed.answered(answer.status(), reply::length(&answer));
            return Ok(answer);
        }
    };
    let Taken { job, ride, mischief } = taken;
    let id = request_id(&headers);
    let heading = Heading {
        id: id.clone(),
        model: host.spec.model_name.clone(),
        created: since_1970().as_secs(),
        options: job.options,
        choices: job.sequences.len(),
        prompt_tokens: job.prompt_tokens,
        max_tokens: job.max_tokens,
    };
    let answers = job.sequences.into_iter().map(|sequence| sequence.answer).collect();
    let reader = Reader::new(ride, answers, job.prompt_tokens, host.options.prompt_tokens_details);
    let mut answer = if job.stream {
        timed.answered(StatusCode::OK, 0);
        reply::events(host, EventStream::new(reader, protocol.stream(heading), mischief, timed))
    } else {
        let (answers, usage) = reader.whole().await;
        let mut answer = reply::ok(host, &protocol.whole(&heading, &answers, usage));
        if let Some(load) = load_report(host, protocol, &headers) {
            answer.headers_mut().insert(LOAD, load);
        }
        timed.answered(StatusCode::OK, reply::length(&answer));
        answer
    };
    if host.options.request_id_headers
        && let Ok(id) = HeaderValue::from_str(&id)
    {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(answer)
}

/// A request that the engine works on.
struct Taken {
    job: Job,
    ride: Ride,
    mischief: Option<Mischief>,
}

/// Hands a request to the engine. The inner error is to be answered, the outer one closes the connection.
fn take(
    host: &Rc<Host>,
    protocol: Protocol,
    body: &[u8],
    fate: &Fate,
) -> Result<Result<Taken, Failure>, Broken> {
    let job = serde_json::from_slice(body)
        .map_err(|error| Failure::body(&error))
        .and_then(|body: GenerateBody<'_>| Job::new(&body, protocol, host.limits()));
    let job = match job {
        Ok(job) => job,
        Err(failure) => return Ok(Err(failure)),
    };
    let mischief = host.strike(job.stream);
    match mischief {
        Some(Mischief::Status(code)) => return Ok(Err(faulty(code))),
        Some(Mischief::ResetBefore) => {
            fate.reset();
            return Err(Broken::Reset);
        }
        Some(Mischief::ResetMid) => fate.reset(),
        Some(Mischief::Truncate | Mischief::Malform) | None => {}
    }
    let ride = host.submit_job(&job).map_err(|refusal| refused(host, refusal, &job));
    Ok(ride.map(|ride| Taken { job, ride, mischief }))
}

fn faulty(code: u16) -> Failure {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Failure::status(status, "A fault that somebody injected.")
}

fn refused(host: &Host, refusal: Refusal, job: &Job) -> Failure {
    match refusal {
        Refusal::TooLong => Failure::too_long(host.limits().context, job.prompt_tokens),
        Refusal::QueueFull => Failure::queue_full(),
        Refusal::Down => Failure::status(StatusCode::INTERNAL_SERVER_ERROR, "The engine is not there."),
    }
}

/// The client's name for the request, else one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    given.map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned)
}

/// The engine's load, where the client asks for it in a header (whole answers of OpenAI's older endpoints only).
fn load_report(host: &Host, protocol: Protocol, headers: &HeaderMap) -> Option<HeaderValue> {
    if !matches!(protocol, Protocol::Chat | Protocol::Completion) {
        return None;
    }
    let format = headers.get(LOAD_FORMAT)?.to_str().ok()?.to_ascii_lowercase();
    let gauges = host.gauges();
    let (waiting, usage) = (f64::from(gauges.waiting), gauges.kv_usage);
    let report = match format.as_str() {
        "json" => format!(
            r#"JSON {{"named_metrics": {{"num_requests_waiting": {waiting:?}, "kv_cache_usage_perc": {usage:?}}}}}"#
        ),
        "text" => format!(
            "TEXT named_metrics.num_requests_waiting={waiting:?}, named_metrics.kv_cache_usage_perc={usage:?}"
        ),
        _ => return None,
    };
    HeaderValue::from_str(&report).ok()
}
