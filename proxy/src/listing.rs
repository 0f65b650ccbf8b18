//! What Gearshift answers itself: the models of the fleet, and whether it can serve.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    error::{ProxyError, Reason},
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
    let name = percent_decoded(name);
    let missing = || {
        let name: String = name.chars().take(200).collect();
        ProxyError::new(Reason::UnknownModel, format!("the model {name:?} does not exist")).param("model")
    };
    let model: &Arc<Model> = snapshot.model(&name).ok_or_else(missing)?;
    Ok(json(StatusCode::OK, &entry(&name, model, snapshot.created)))
}

/// SDKs encode the slash of `org/name`. What is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.split_at_checked(2).filter(|_| byte == b'%');
        let decoded = escaped.and_then(|(digits, after)| Some((hexadecimal(digits)?, after)));
        let (byte, after) = decoded.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        u8::try_from(u32::from(value) * 16 + digit).ok()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_decoded_as_sdks_encode_them() {
        for (path, name) in [
            ("org/name", "org/name"),
            ("org%2Fname", "org/name"),
            ("%c3%bc%22%25", "\u{fc}\"%"),
            ("100%", "100%"),
            ("%2", "%2"),
            ("%+1%zz", "%+1%zz"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(percent_decoded(path), name);
        }
    }
}
