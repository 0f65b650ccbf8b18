//! What operators see of decisions, and all of it live.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use bytes::Bytes;
use gearshift_config::Config;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde_json::{Value, json};

use super::{Change, State, plain, whole};
use crate::{
    console::{self, Broadcast, Events, Feed},
    listing,
};

impl State {
    /// The last decisions, newest first.
    pub(super) fn decisions(&self) -> Value {
        let (recent, wall) = (self.observed.recent.load(), **self.observed.wall.load());
        let decisions = recent.iter().rev().filter_map(|ended| console::brief(ended, wall));
        json!({"decisions": decisions.collect::<Vec<_>>()})
    }

    /// One of them with its candidates; of a request with several attempts, the one that was answered.
    pub(super) fn decision(&self, id: &str) -> Response<Bytes> {
        let (recent, wall) = (self.observed.recent.load(), **self.observed.wall.load());
        let is = |ended: &&Arc<crate::live::Ended>| ended.decided.as_ref().is_some_and(|it| it.id() == id);
        match recent.iter().rev().find(is).and_then(|ended| console::whole(ended, wall)) {
            Some(decision) => listing::json(StatusCode::OK, &decision),
            None => {
                let error = format!(
                    "no decision is kept of the request {id:?}: only the last {} that have ended are",
                    recent.len()
                );
                listing::json(StatusCode::NOT_FOUND, &json!({"error": error}))
            }
        }
    }
}

/// The live stream, for all who read it.
pub(super) fn broadcast(state: Arc<State>, most: usize) -> Rc<Broadcast> {
    Broadcast::new(Rc::new(Live { state, config: RefCell::default() }), most)
}

/// The live stream for one more, or that there is no room.
pub(super) fn events(stream: &Rc<Broadcast>) -> Response<Either<Full<Bytes>, Events>> {
    let Some(events) = stream.follow() else {
        let mut refusal =
            plain(StatusCode::SERVICE_UNAVAILABLE, "as many read the stream as may: close a console\n");
        refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return refusal.map(whole);
    };
    let mut response = Response::new(Either::Right(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Live {
    state: Arc<State>,
    config: RefCell<Option<Rendered>>,
}

/// The configuration as text, and what it was rendered from: it is long, and hardly ever changes.
struct Rendered {
    config: Arc<Config>,
    refused: Option<Arc<String>>,
    changes: Arc<Change>,
    text: Rc<str>,
}

impl Rendered {
    fn is_of(&self, state: &State) -> bool {
        let refused = state.refused.load();
        Arc::ptr_eq(&self.config, &state.config.load())
            && self.refused.as_ref().map(Arc::as_ptr) == refused.as_ref().map(Arc::as_ptr)
            && Arc::ptr_eq(&self.changes, &state.changes.load())
    }
}

impl Live {
    fn config(&self) -> Rc<str> {
        let (state, mut kept) = (&self.state, self.config.borrow_mut());
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(state)) {
            return kept.text.clone();
        }
        let (config, refused, changes) =
            (state.config.load_full(), state.refused.load_full(), state.changes.load_full());
        let text: Rc<str> = state.config_state().to_string().into();
        *kept = Some(Rendered { config, refused, changes, text: text.clone() });
        text
    }
}

impl Feed for Live {
    fn states(&self) -> Vec<(&'static str, Rc<str>)> {
        let (state, text) = (&self.state, |value: Value| value.to_string().into());
        vec![
            ("fleet", text(state.fleet_state())),
            ("workload", text(state.workload())),
            ("controller", text(state.operators.controller.board.view())),
            ("bundles", text(state.operators.bundles.state.view())),
            ("config", self.config()),
        ]
    }

    fn decisions(&self, seen: &mut u64) -> Vec<Value> {
        let (recent, wall) = (self.state.observed.recent.load(), **self.state.observed.wall.load());
        let from = recent.partition_point(|ended| ended.end.at.0 <= *seen);
        *seen = recent.last().map_or(*seen, |ended| ended.end.at.0);
        recent[from..].iter().filter_map(|ended| console::brief(ended, wall)).collect()
    }
}
