//! What is told of requests to other systems.

use indexmap::IndexMap;

use super::{Check, url};
use crate::{
    AccessLog, BackendUrl, EngineFamily, LogTarget, Secret, Telemetry, Tracing,
    raw::{RawAccessLog, RawTelemetry, RawTracing},
    suggest::suggest,
    yaml::Path,
};

const TRACES: &str = "/v1/traces";
/// How long a collector may take where the file does not say.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

pub(super) fn telemetry(check: &mut Check<'_>, at: &Path, raw: &RawTelemetry) -> Telemetry {
    let tracing = raw.tracing.as_ref().and_then(|raw| tracing(check, &at.key("tracing"), raw));
    let access_log = raw.access_log.as_ref().map(|raw| access_log(check, &at.key("access_log"), raw));
    Telemetry {
        tracing,
        access_log,
        explain_headers: raw.explain_headers.unwrap_or_default(),
        engine_metrics: engine_metrics(check, &at.key("engine_metrics"), &raw.engine_metrics),
    }
}

fn tracing(check: &mut Check<'_>, at: &Path, raw: &RawTracing) -> Option<Tracing> {
    let sample = check.within(&at.key("sample"), raw.sample.unwrap_or(1.0), 0.0..=1.0);
    let timeout = check.duration(&at.key("timeout"), raw.timeout, TIMEOUT);
    let headers_at = at.key("headers");
    for name in raw.headers.keys() {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            check.wrong_key(&headers_at.key(name), "is no name of a header", None);
        }
    }
    let headers = expanded(check, &headers_at, &raw.headers);
    for (name, value) in &headers {
        if !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            let fix = "write visible ASCII characters".to_owned();
            check.wrong(&headers_at.key(name), "cannot be sent as a header", fix);
        }
    }
    let resource = expanded(check, &at.key("resource"), &raw.resource);
    let endpoint_at = at.key("endpoint");
    let endpoint = check.required(&endpoint_at, raw.endpoint.as_ref(), "endpoint: http://localhost:4318")?;
    let endpoint = endpoint_of(check, &endpoint_at, endpoint)?;
    Some(Tracing {
        endpoint,
        sample,
        headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        service_name: raw.service_name.clone().unwrap_or_else(|| "gearshift".to_owned()),
        resource,
        timeout,
    })
}

/// The URL that spans are posted to.
fn endpoint_of(check: &mut Check<'_>, at: &Path, text: &str) -> Option<BackendUrl> {
    let text = check.expand(at, text)?;
    match url::parse(&text) {
        Ok(mut url) => {
            if !url.path.ends_with(TRACES) {
                url.path.push_str(TRACES);
            }
            Some(url)
        }
        Err(problem) => {
            check.wrong(at, problem, "write, for instance, http://localhost:4318".to_owned());
            None
        }
    }
}

fn expanded(check: &mut Check<'_>, at: &Path, raw: &IndexMap<String, String>) -> Vec<(String, String)> {
    let expand =
        |(name, value): (&String, &String)| Some((name.clone(), check.expand(&at.key(name), value)?));
    raw.iter().filter_map(expand).collect()
}

fn access_log(check: &mut Check<'_>, at: &Path, raw: &RawAccessLog) -> AccessLog {
    let to = match raw.to.as_deref() {
        None | Some("stdout") => LogTarget::Stdout,
        Some("stderr") => LogTarget::Stderr,
        Some(file) => {
            // A file has a folder or an ending: what has neither is another word, mistyped.
            if !file.contains(['/', '.']) {
                let fix = suggest(file, ["stdout", "stderr"]);
                check.wrong(&at.key("to"), format!("{file:?} is neither a file's path nor an output"), fix);
            }
            LogTarget::File(check.file(&at.key("to"), file))
        }
    };
    AccessLog {
        to,
        sample: check.within(&at.key("sample"), raw.sample.unwrap_or(1.0), 0.0..=1.0),
        errors: raw.errors.unwrap_or(true),
    }
}

fn engine_metrics(check: &mut Check<'_>, at: &Path, raw: &[String]) -> Vec<&'static EngineFamily> {
    const KNOWN: &[EngineFamily] = EngineFamily::ALL;
    let mut found: Vec<&'static EngineFamily> = Vec::with_capacity(raw.len());
    for (index, name) in raw.iter().enumerate() {
        let at = at.index(index);
        match KNOWN.iter().find(|family| family.name == name) {
            Some(family) if found.contains(&family) => {
                check.wrong(&at, format!("{name} is listed twice"), "keep one".to_owned());
            }
            Some(family) => found.push(family),
            None => {
                let fix = suggest(name, KNOWN.iter().map(|family| family.name));
                check.wrong(&at, format!("{name:?} is no metric of vLLM's that can be summed up"), fix);
            }
        }
    }
    found
}
