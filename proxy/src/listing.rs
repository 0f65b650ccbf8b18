//! What Gearshift answers itself: the models of the fleet, and whether it can serve.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    error::{ProxyError, Reason},
    percent,
    snapshot::{Model, Snapshot},
    worker::Shared,
};

/// A model as OpenAI's API lists it, with vLLM's additions.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// What the engines call it.
    root: &'a str,
    parent: Option<&'a str>,
    max_model_len: Option<u32>,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
}

fn entry<'a>(name: &'a str, model: &'a Model, created: u64) -> Entry<'a> {
    Entry {
        id: name,
        object: "model",
        created,
        owned_by: "gearshift",
        root: &model.served_name,
        parent: model.card.parent.as_deref(),
        max_model_len: model.card.max_model_len,
    }
}

/// Every name that clients may use.
pub fn all(snapshot: &Snapshot) -> Response<Bytes> {
    let models = snapshot.models();
    let data = models.iter().map(|(name, model)| entry(name, model, snapshot.created)).collect();
    json(StatusCode::OK, &List { object: "list", data })
}

/// One of them, by its name as it stands in a path.
///
/// # Errors
/// When there is no such model.
pub fn one(snapshot: &Snapshot, name: &str) -> Result<Response<Bytes>, ProxyError> {
    // SDKs encode the slash of `org/name`.
    let name = percent::decoded(name);
    let missing = || {
        let name: String = name.chars().take(200).collect();
        ProxyError::new(Reason::UnknownModel, format!("the model {name:?} does not exist")).param("model")
    };
    let model: &Arc<Model> = snapshot.model(&name).ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &entry(&name, model, snapshot.created)))
}

/// For load balancers: 200 while new requests are welcome.
pub fn health(shared: &Shared) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if !shared.ready() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// A JSON response.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // Plain structs of strings and numbers always serialize.
    let mut response = Response::new(serde_json::to_vec(body).unwrap_or_default().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
