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
    live::{Decided, Ended, Wall},
};

impl State {
    /// The last decisions, newest first.
    pub(super) fn decisions(&self) -> Value {
        let (recent, wall) = (self.observed.recent.load(), **self.observed.wall.load());
        let decisions = recent.iter().rev().filter_map(|ended| console::brief(ended, wall));
        json!({"decisions": decisions.collect::<Vec<_>>()})
    }

    /// One of them with its candidates, and what became of the request's attempts before. Requests may share an id, as clients name
    /// theirs; where `which` does not say, it is the last attempt that ended.
    pub(super) fn decision(&self, id: &str, which: Which) -> Response<Bytes> {
        let (recent, wall) = (self.observed.recent.load(), **self.observed.wall.load());
        let of_id = |ended| Attempt::of(ended).filter(|it| it.decided.id() == id);
        let newest_first: Vec<Attempt<'_>> = recent.iter().rev().filter_map(of_id).collect();
        let mut attempts = newest_first.iter().skip(which.among(&newest_first, wall));
        let Some((last, mut decision)) =
            attempts.next().and_then(|last| Some((last, console::whole(last.ended, wall)?)))
        else {
            let error = format!(
                "no decision is kept of the request {id:?}: only the last {} that have ended are",
                recent.len()
            );
            return listing::json(StatusCode::NOT_FOUND, &json!({"error": error}));
        };
        let mut earlier: Vec<Value> = (1..last.decided.attempt)
            .rev()
            .filter_map(|before| attempts.find(|it| it.decided.attempt == before))
            .filter_map(|it| console::brief(it.ended, wall))
            .collect();
        earlier.reverse();
        decision["earlier"] = earlier.into();
        listing::json(StatusCode::OK, &decision)
    }
}

/// An attempt whose decision was kept.
struct Attempt<'e> {
    decided: &'e Decided,
    ended: &'e Ended,
}

impl<'e> Attempt<'e> {
    fn of(ended: &'e Arc<Ended>) -> Option<Self> {
        Some(Self { decided: ended.decided.as_deref()?, ended })
    }
}

/// Which of the attempts of one id; what is not said is any.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Which {
    attempt: Option<u32>,
    at_ms: Option<u64>,
}

impl Which {
    /// The wall clock is read now and then, and may be set: what was told as `at_ms` is now and then told as another.
    const ABOUT_MS: u64 = 1_000;

    /// By `attempt=` and `at_ms=` of a query; what else is in it is nobody's.
    pub(super) fn of(query: &str) -> Self {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        Self {
            attempt: value("attempt").and_then(|it| it.parse().ok()),
            at_ms: value("at_ms").and_then(|it| it.parse().ok()),
        }
    }

    /// Where it stands, the nearest in time; behind them all where it is none of them.
    fn among(self, attempts: &[Attempt<'_>], wall: Wall) -> usize {
        let off = |it: &Attempt<'_>| self.at_ms.map_or(0, |at| at.abs_diff(wall.unix_ms_of(it.ended.end.at)));
        let found = attempts
            .iter()
            .enumerate()
            .filter(|(_, it)| self.attempt.is_none_or(|attempt| attempt == it.decided.attempt))
            .map(|(place, it)| (off(it), place))
            .filter(|(off, _)| *off <= Self::ABOUT_MS)
            .min();
        found.map_or(attempts.len(), |(_, place)| place)
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
