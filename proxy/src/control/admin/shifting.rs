//! What operators ask of the profile controller.

use bytes::Bytes;
use gearshift_config::BackendId;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::{State, ask, plain};
use crate::{controller::Wish, listing};

/// Where it is asked.
pub(super) const PLACE: &str = "/controller/";
const PLACES: &str =
    "POST /controller/shift {\"backend\": …, \"profile\": …}, /controller/pause or /controller/resume\n";
/// Bytes of a wish.
const LIMIT: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shift {
    backend: String,
    profile: String,
    #[serde(default)]
    force: bool,
}

impl State {
    /// Answered when the wish is taken up, not when the switch is done.
    pub(super) async fn shifting_wish(&self, request: Request<Incoming>) -> Response<Bytes> {
        if let Some(refusal) = self.refusal(request.headers()) {
            return refusal;
        }
        let wish = match request.uri().path().trim_start_matches(PLACE) {
            "pause" => Wish::Pause,
            "resume" => Wish::Resume,
            "shift" => match shift(request).await {
                Ok(wish) => wish,
                Err(why) => return listing::json(StatusCode::BAD_REQUEST, &json!({"error": why})),
            },
            _ => return plain(StatusCode::NOT_FOUND, PLACES),
        };
        match ask(&self.operators.controller.wishes, wish).await {
            Ok(done) => listing::json(StatusCode::OK, &done),
            Err(why) => listing::json(StatusCode::CONFLICT, &json!({"error": why})),
        }
    }
}

async fn shift(request: Request<Incoming>) -> Result<Wish, String> {
    let body = Limited::new(request.into_body(), LIMIT).collect().await.map_err(|error| error.to_string())?;
    let Shift { backend, profile, force } =
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())?;
    Ok(Wish::Shift { backend: BackendId::new(backend), profile, force })
}
