//! Answers on their way: read from the engine, written as events or whole.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::{
    answer::Answer,
    faults::Mischief,
    format::{Piece, Stream, Usage},
    host::Ride,
    mailbox::{End, Notice},
    metrics::Timed,
};

/// Why an answer broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// The request did not come whole.
    #[error("the request broke off")]
    Request,
    /// A fault resets the connection.
    #[error("the connection is to be reset")]
    Reset,
}

/// A job's answers as the engine makes them. Dropping it takes out of the engine what has not ended.
#[derive(Debug)]
pub(super) struct Reader {
    ride: Ride,
    answers: Vec<Answer>,
    /// Tokens of each answer so far.
    sent: Vec<u32>,
    /// Answers that have not ended.
    open: usize,
    usage: Usage,
}

/// What came of one answer.
#[derive(Debug)]
struct Step {
    choice: usize,
    /// Tokens before those that came.
    from: u32,
    count: u32,
    ended: bool,
}

impl Reader {
    /// The answers of a ride; `prompt_tokens` are those of all its prompts, `details` says whether cached ones are told.
    pub(super) fn new(ride: Ride, answers: Vec<Answer>, prompt_tokens: u32, details: bool) -> Self {
        let usage = Usage { prompt: prompt_tokens, completion: 0, cached: details.then_some(0) };
        Self { ride, sent: vec![0; answers.len()], open: answers.len(), answers, usage }
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Step>> {
        if self.open == 0 {
            return Poll::Ready(None);
        }
        let Notice { choice, tokens, end } = ready!(self.ride.mailbox.poll(context));
        let Some(sent) = self.sent.get_mut(choice) else { return Poll::Ready(None) };
        let from = *sent;
        *sent += tokens;
        self.usage.completion += tokens;
        let ended = match end {
            Some(End::Aborted) => {
                if let Some(answer) = self.answers.get_mut(choice) {
                    answer.abort(*sent);
                }
                true
            }
            Some(End::Finished { cached_tokens }) => {
                self.usage.cached = self.usage.cached.map(|cached| cached + cached_tokens);
                true
            }
            None => false,
        };
        self.open -= usize::from(ended);
        Poll::Ready(Some(Step { choice, from, count: tokens, ended }))
    }

    /// Waits for the end of all answers.
    pub(super) async fn whole(mut self) -> (Vec<Answer>, Usage) {
        while poll_fn(|context| self.poll(context)).await.is_some() {}
        (std::mem::take(&mut self.answers), self.usage)
    }
}

/// A streamed answer.
#[derive(Debug)]
pub(super) struct EventStream {
    reader: Reader,
    writer: Box<dyn Stream>,
    text: Vec<u8>,
    out: String,
    stage: Stage,
    mischief: Option<Mischief>,
    /// Counts the request as ended when the stream is.
    _timed: Timed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was written.
    Begin,
    /// Events with tokens were.
    Pieces,
    /// It broke off; the rest of this chunk was the end.
    Over,
}

impl EventStream {
    pub(super) fn new(
        reader: Reader,
        writer: Box<dyn Stream>,
        mischief: Option<Mischief>,
        timed: Timed,
    ) -> Self {
        let (text, out) = (Vec::new(), String::new());
        Self { reader, writer, text, out, stage: Stage::Begin, mischief, _timed: timed }
    }

    fn write(&mut self, step: &Step) {
        if self.stage == Stage::Begin {
            self.stage = Stage::Pieces;
            self.writer.begin(&mut self.out);
        }
        let Some(answer) = self.reader.answers.get(step.choice) else { return };
        self.text.clear();
        answer.append(step.from, step.count, &mut self.text);
        self.writer.piece(
            &Piece {
                choice: step.choice,
                text: std::str::from_utf8(&self.text).unwrap_or_default(),
                finish: step.ended.then_some(&answer.finish),
                tokens: step.from + step.count,
            },
            &mut self.out,
        );
        if self.reader.open == 0 {
            self.writer.end(self.reader.usage, &mut self.out);
        }
    }

    /// Does to the event just written what a fault asks for; an error resets the connection.
    fn spoil(&mut self) -> Result<(), Broken> {
        match self.mischief {
            Some(Mischief::ResetMid) => Err(Broken::Reset),
            Some(Mischief::Truncate) => {
                self.out.truncate(self.out.len() / 2);
                self.stage = Stage::Over;
                Ok(())
            }
            Some(Mischief::Malform) => {
                self.out.insert_str(0, "data: {\"choices\":[{\"delta\":\n\n");
                self.mischief = None;
                Ok(())
            }
            Some(Mischief::Status(_) | Mischief::ResetBefore) | None => Ok(()),
        }
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.stage == Stage::Over {
            return Poll::Ready(None);
        }
        let begins = self.stage == Stage::Begin;
        let Some(step) = ready!(self.reader.poll(context)) else { return Poll::Ready(None) };
        self.out.clear();
        self.write(&step);
        // Faults of streams show after the first event: the client has something in hand.
        if !begins || self.reader.open == 0 {
            self.spoil()?;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(self.out.as_bytes())))))
    }
}
