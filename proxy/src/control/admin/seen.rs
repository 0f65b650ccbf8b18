//! What operators see of decisions, and all of it live.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::State;
use crate::{
    console::{self, Events, Feed},
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

/// The live stream.
pub(super) fn events(state: Arc<State>) -> Response<Events> {
    let mut response = Response::new(console::follow(Rc::new(Live(state))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Live(Arc<State>);

impl Feed for Live {
    fn states(&self) -> Vec<(&'static str, Value)> {
        let state = &self.0;
        vec![
            ("fleet", state.fleet_state()),
            ("workload", state.workload()),
            ("controller", state.operators.controller.board.view()),
            ("bundles", state.operators.bundles.state.view()),
            ("config", state.config_state()),
        ]
    }

    fn decisions(&self, seen: &mut u64) -> Vec<Value> {
        let (recent, wall) = (self.0.observed.recent.load(), **self.0.observed.wall.load());
        let from = recent.partition_point(|ended| ended.end.at.0 <= *seen);
        *seen = recent.last().map_or(*seen, |ended| ended.end.at.0);
        recent[from..].iter().filter_map(|ended| console::brief(ended, wall)).collect()
    }
}
