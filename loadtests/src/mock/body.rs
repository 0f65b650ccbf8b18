//! The stub's stream: one chunk per interval.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{
    Settings,
    answers::{DONE, Usage},
    server::{Running, Stub},
};

/// A stream of chunks, then usage where asked for, then `[DONE]`.
#[derive(Debug)]
pub(super) struct Chunks {
    stub: Rc<Stub>,
    settings: Settings,
    sent: u64,
    interval: Interval,
    ending: Ending,
    _running: Running,
}

/// What comes after the last chunk.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Usage { prompt: u64 },
    Done,
    Nothing,
}

impl Chunks {
    /// A stream as the stub's settings are now; with a usage chunk where `usage_for` holds the prompt's tokens.
    pub(super) fn new(stub: Rc<Stub>, running: Running, usage_for: Option<u64>) -> Self {
        let settings = stub.settings.get();
        let pause = settings.interval.max(Duration::from_millis(1));
        let mut interval = tokio::time::interval_at(Instant::now() + pause, pause);
        // A late chunk does not make the next ones come together: every chunk is a write of its own.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ending = usage_for.map_or(Ending::Done, |prompt| Ending::Usage { prompt });
        Self { stub, settings, sent: 0, interval, ending, _running: running }
    }

    fn chunk(&mut self) -> Bytes {
        self.sent += 1;
        self.stub.count_token();
        let answers = &self.stub.answers;
        match self.sent {
            sent if sent == self.settings.chunks => answers.last_chunk.clone(),
            1 => answers.first_chunk.clone(),
            _ => answers.chunk.clone(),
        }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = if self.sent < self.settings.chunks {
            if self.sent > 0 {
                ready!(self.interval.poll_tick(cx));
            }
            self.chunk()
        } else {
            match self.ending {
                Ending::Usage { prompt } => {
                    self.ending = Ending::Done;
                    self.stub.answers.usage_chunk(Usage { prompt, completion: self.sent })
                }
                Ending::Done => {
                    self.ending = Ending::Nothing;
                    DONE
                }
                Ending::Nothing => return Poll::Ready(None),
            }
        };
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}
