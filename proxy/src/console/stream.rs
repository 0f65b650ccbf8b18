//! The live stream: server-sent events, for as long as somebody looks. Whoever looks, all is rendered once a second at most.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    convert::Infallible,
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// How often it is looked for something new.
const EVERY: Duration = Duration::from_secs(1);
/// Decisions that a new reader is told.
const KEPT: usize = 256;
/// How long a reader may take nothing before it is let go.
const STALLED: Duration = Duration::from_secs(30);

/// What the stream shows.
pub trait Feed {
    /// What is now, as JSON on one line, by kind of event. What is as it was is not sent again.
    fn states(&self) -> Vec<(&'static str, Rc<str>)>;
    /// Decisions since the last time, oldest first. `seen` is the caller's mark, first 0.
    fn decisions(&self, seen: &mut u64) -> Vec<Value>;
}

/// A response body of events.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Bytes>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(ready!(self.0.poll_recv(cx)).map(|text| Ok(Frame::data(text))))
    }
}

/// What all readers are told. Needs a `LocalSet`.
pub struct Broadcast {
    feed: Rc<dyn Feed>,
    rounds: watch::Sender<Round>,
    most: usize,
    readers: Cell<usize>,
    /// A task renders.
    renders: Cell<bool>,
    /// The feed's mark.
    seen: Cell<u64>,
    /// The states of the last round, as the feed gave them.
    last: RefCell<Vec<(&'static str, Rc<str>)>>,
}

/// What is known after one look: events, each with the number of the look that found it. Looks count from 1.
#[derive(Debug, Clone, Default)]
struct Round {
    number: u64,
    states: Vec<(u64, Bytes)>,
    decisions: VecDeque<(u64, Bytes)>,
}

impl Broadcast {
    /// For so many readers at most.
    pub fn new(feed: Rc<dyn Feed>, most: usize) -> Rc<Self> {
        Rc::new(Self {
            feed,
            rounds: watch::Sender::default(),
            most,
            readers: Cell::default(),
            renders: Cell::default(),
            seen: Cell::default(),
            last: RefCell::default(),
        })
    }

    /// Follows the feed until the reader has gone; `None` where as many follow as may. A reader that is slow is told less often,
    /// not more late.
    pub fn follow(self: &Rc<Self>) -> Option<Events> {
        if self.readers.get() >= self.most {
            return None;
        }
        self.readers.set(self.readers.get() + 1);
        // Subscribed before the task that renders begins, which ends when nobody is.
        let rounds = self.rounds.subscribe();
        let renders = self.renders.replace(true);
        if !renders {
            tokio::task::spawn_local(self.clone().render());
        }
        let (sender, events) = mpsc::channel(1);
        let this = self.clone();
        tokio::task::spawn_local(async move {
            tell(rounds, renders, sender).await;
            this.readers.set(this.readers.get() - 1);
        });
        Some(Events(events))
    }

    /// Looks once a second, for as long as anybody reads.
    async fn render(self: Rc<Self>) {
        while self.rounds.receiver_count() > 0 {
            self.look();
            tokio::select! {
                () = sleep(EVERY) => {}
                () = self.rounds.closed() => {}
            }
        }
        self.renders.set(false);
    }

    fn look(&self) {
        let states = self.feed.states();
        let mut seen = self.seen.get();
        let decisions = self.feed.decisions(&mut seen);
        self.seen.set(seen);
        let last = mem::replace(&mut *self.last.borrow_mut(), states.clone());
        self.rounds.send_modify(|round| round.takes(&last, &states, &decisions));
    }
}

impl Round {
    fn takes(&mut self, last: &[(&str, Rc<str>)], states: &[(&'static str, Rc<str>)], decisions: &[Value]) {
        self.number += 1;
        self.states.resize(states.len(), (0, Bytes::new()));
        for (index, (state, (kind, value))) in self.states.iter_mut().zip(states).enumerate() {
            if last.get(index).is_none_or(|(_, before)| before != value) {
                *state = (self.number, event(kind, value));
            }
        }
        let decisions = decisions.iter().map(|it| (self.number, event("decision", &it.to_string())));
        self.decisions.extend(decisions);
        self.decisions.drain(..self.decisions.len().saturating_sub(KEPT));
    }

    /// What somebody is to be told who was told all up to a look. A comment where nothing is new: so a reader that has gone is
    /// noticed.
    fn since(&self, told: u64) -> Vec<Bytes> {
        let is_new = |(number, _): &&(u64, Bytes)| *number > told;
        let states = self.states.iter().filter(is_new).map(|(_, text)| text.clone());
        let decisions: Vec<u8> =
            self.decisions.iter().filter(is_new).flat_map(|(_, text)| text.iter().copied()).collect();
        let decisions = (!decisions.is_empty()).then(|| Bytes::from(decisions));
        let news: Vec<Bytes> = states.chain(decisions).collect();
        if news.is_empty() { vec![Bytes::from_static(b":\n\n")] } else { news }
    }
}

/// `recent` says whether the last round is of this second.
async fn tell(mut rounds: watch::Receiver<Round>, recent: bool, sender: mpsc::Sender<Bytes>) {
    if !recent && rounds.changed().await.is_err() {
        return;
    }
    let mut told = 0;
    loop {
        let (number, news) = {
            let round = rounds.borrow_and_update();
            (round.number, round.since(told))
        };
        for text in news {
            if !matches!(timeout(STALLED, sender.send(text)).await, Ok(Ok(()))) {
                return;
            }
        }
        told = number;
        tokio::select! {
            changed = rounds.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

fn event(kind: &str, data: &str) -> Bytes {
    // Serialized JSON is one line.
    Bytes::from(["event: ", kind, "\ndata: ", data, "\n\n"].concat())
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
