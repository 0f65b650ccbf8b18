//! What operators ask of the profile controller.

use bytes::Bytes;
use gearshift_config::BackendId;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Incoming};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{PATIENCE, State, ask, plain};
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
            "shift" => match shift(request.into_body()).await {
                Ok(wish) => wish,
                Err((status, why)) => return listing::json(status, &json!({"error": why})),
            },
            _ => return plain(StatusCode::NOT_FOUND, PLACES),
        };
        match ask(&self.operators.controller.wishes, wish).await {
            Ok(done) => listing::json(StatusCode::OK, &done),
            Err(why) => listing::json(StatusCode::CONFLICT, &json!({"error": why})),
        }
    }
}

/// The wish that a body holds, or with what it is refused. A body that does not come holds its connection no longer than a head may.
async fn shift<B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>>(
    body: B,
) -> Result<Wish, (StatusCode, String)> {
    let wrong = |error: &dyn std::fmt::Display| (StatusCode::BAD_REQUEST, error.to_string());
    let read = timeout(PATIENCE, Limited::new(body, LIMIT).collect());
    let late = |_| (StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {PATIENCE:?}"));
    let body = read.await.map_err(late)?.map_err(|error| wrong(&error))?;
    let Shift { backend, profile, force } =
        serde_json::from_slice(&body.to_bytes()).map_err(|error| wrong(&error))?;
    Ok(Wish::Shift { backend: BackendId::new(backend), profile, force })
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body_util::Full;
    use hyper::body::Frame;
    use tokio::time::Instant;

    use super::*;

    struct Never;

    impl Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for_without_end() {
        let began = Instant::now();
        let (status, why) = shift(Never).await.unwrap_err();
        assert_eq!((status, began.elapsed()), (StatusCode::REQUEST_TIMEOUT, PATIENCE), "{why}");
    }

    #[tokio::test]
    async fn what_is_no_wish_is_refused() {
        let status = async |text: &str| {
            shift(Full::new(Bytes::copy_from_slice(text.as_bytes()))).await.err().map(|it| it.0)
        };
        assert_eq!(status(r#"{"backend": "a", "profile": "b"}"#).await, None);
        for wrong in [
            "",
            "{",
            r#"{"backend": "a"}"#,
            r#"{"backend": "a", "profile": "b", "now": 1}"#,
            &" ".repeat(LIMIT + 1),
        ] {
            assert_eq!(status(wrong).await, Some(StatusCode::BAD_REQUEST), "{}", wrong.len());
        }
    }
}
