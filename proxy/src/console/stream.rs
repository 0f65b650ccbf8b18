//! The live stream: server-sent events, for as long as somebody looks.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::Value;
use tokio::sync::mpsc;

/// How often it is looked for something new.
const EVERY: Duration = Duration::from_secs(1);

/// What the stream shows.
pub trait Feed {
    /// What is now, by kind of event. A value that is as it was is not sent again.
    fn states(&self) -> Vec<(&'static str, Value)>;
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

/// Follows a feed until the reader has gone. One that reads slowly is told less often, not more late. Needs a `LocalSet`.
pub fn follow(feed: Rc<dyn Feed>) -> Events {
    let (sender, events) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        let (mut told, mut seen) = (Vec::new(), 0);
        loop {
            let Ok(room) = sender.reserve().await else { return };
            let text = news(feed.as_ref(), &mut told, &mut seen);
            // A comment where nothing is new: so a reader that has gone is noticed.
            room.send(Bytes::from(if text.is_empty() { ":\n\n".to_owned() } else { text }));
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = sender.closed() => return,
            }
        }
    });
    Events(events)
}

fn news(feed: &dyn Feed, told: &mut Vec<(&'static str, String)>, seen: &mut u64) -> String {
    let mut text = String::new();
    for (kind, value) in feed.states() {
        let value = value.to_string();
        match told.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, last)) if *last == value => continue,
            Some((_, last)) => last.clone_from(&value),
            None => told.push((kind, value.clone())),
        }
        event(&mut text, kind, &value);
    }
    for decision in feed.decisions(seen) {
        event(&mut text, "decision", &decision.to_string());
    }
    text
}

fn event(text: &mut String, kind: &str, data: &str) {
    // Serialized JSON is one line.
    for part in ["event: ", kind, "\ndata: ", data, "\n\n"] {
        text.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use http_body_util::BodyExt as _;
    use serde_json::json;
    use tokio::task::LocalSet;

    use super::*;

    struct Fake(Cell<u64>);

    impl Feed for Fake {
        fn states(&self) -> Vec<(&'static str, Value)> {
            vec![("fleet", json!({"in_flight": self.0.get() / 2})), ("config", json!("same"))]
        }

        fn decisions(&self, seen: &mut u64) -> Vec<Value> {
            self.0.set(self.0.get() + 1);
            let new = (*seen..self.0.get()).map(|number| json!(number)).collect();
            *seen = self.0.get();
            new
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_news_is_told() {
        let tell = async {
            let mut events = follow(Rc::new(Fake(Cell::new(0))));
            let mut texts = Vec::new();
            for _ in 0..3 {
                let frame = events.frame().await.unwrap().unwrap();
                texts.push(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap());
            }
            texts
        };
        let texts = LocalSet::new().run_until(tell).await;
        assert_eq!(
            texts,
            [
                "event: fleet\ndata: {\"in_flight\":0}\n\nevent: config\ndata: \"same\"\n\nevent: decision\ndata: 0\n\n",
                "event: decision\ndata: 1\n\n",
                "event: fleet\ndata: {\"in_flight\":1}\n\nevent: decision\ndata: 2\n\n",
            ]
        );
    }
}
