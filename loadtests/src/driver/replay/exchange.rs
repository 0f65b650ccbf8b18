//! One request over HTTP, watched.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{
    super::{Chunk, Connection, Endpoint, ExchangeError, Response, ResponseReader, ResponseSink, SseReader},
    Failure, Outcome,
};

/// Read buffer of a connection, bytes.
const BUFFER_BYTES: usize = 16 * 1024;
/// Connections that were idle for longer are not used again: vLLM closes them after 5 s.
const IDLE: Duration = Duration::from_secs(4);

/// What a request tells while it runs.
#[derive(Debug)]
pub(super) enum Message {
    /// The first text came.
    FirstToken { id: u64, at_s: f64 },
    /// It ended; with the times between its chunks, seconds.
    Ended(Box<Outcome>, Vec<f32>),
}

/// What all requests of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) start: Instant,
    pub(super) time_scale: f64,
    pub(super) silence: Duration,
    pub(super) backend_header: Option<String>,
    pub(super) pools: Vec<Pool>,
    pub(super) messages: UnboundedSender<Message>,
}

impl Shared {
    /// Now, on the workload's clock.
    pub(super) fn now_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * self.time_scale
    }
}

/// A target and its idle connections, the most recently used last.
#[derive(Debug)]
pub(super) struct Pool {
    endpoint: Endpoint,
    idle: RefCell<Vec<(Connection, Instant)>>,
}

impl Pool {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, idle: RefCell::default() }
    }

    /// The connection that was used last, if that is not long ago. Those below it were idle for longer still.
    fn reuse(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let (connection, since) = idle.pop()?;
        if since.elapsed() < IDLE {
            return Some(connection);
        }
        idle.clear();
        None
    }

    fn keep(&self, connection: Connection) {
        self.idle.borrow_mut().push((connection, Instant::now()));
    }
}

/// Sends a request, reads its stream, and tells what became of it.
pub(super) async fn perform(shared: Rc<Shared>, outcome: Outcome, request: Vec<u8>) {
    let mut watcher =
        Watcher { shared: &shared, outcome, sse: SseReader::default(), gaps_s: Vec::new(), done: false };
    let ended = watcher.exchange(&request).await;
    let Watcher { mut outcome, gaps_s, .. } = watcher.concluded(&ended);
    outcome.end_s = shared.now_s();
    // Nobody listens any more where the run was given up.
    let _ = shared.messages.send(Message::Ended(Box::new(outcome), gaps_s));
}

/// Reads a response as it comes.
struct Watcher<'s> {
    shared: &'s Shared,
    outcome: Outcome,
    sse: SseReader,
    gaps_s: Vec<f32>,
    done: bool,
}

impl Watcher<'_> {
    /// Runs the exchange, on a kept connection where there is one. The server may have closed that one in the same moment:
    /// where no byte comes of it, the request goes out again on a new one.
    async fn exchange(&mut self, request: &[u8]) -> Result<Response, ExchangeError> {
        let pool = &self.shared.pools[self.outcome.target];
        if let Some(connection) = pool.reuse() {
            let (ended, untouched) = self.exchange_on(connection, request).await;
            let closed = matches!(ended, Err(ExchangeError::Closed | ExchangeError::Io(_)));
            if !(closed && untouched) {
                return ended;
            }
        }
        let connection = Connection::open(&pool.endpoint, BUFFER_BYTES).await?.patient(self.shared.silence);
        self.exchange_on(connection, request).await.0
    }

    /// Also says whether no byte of a response came.
    async fn exchange_on(
        &mut self,
        mut connection: Connection,
        request: &[u8],
    ) -> (Result<Response, ExchangeError>, bool) {
        let mut reader = ResponseReader::default();
        let sent = connection.send(request).await;
        let ended = match sent {
            Err(error) => Err(error),
            Ok(()) => loop {
                match connection.read_some(&mut reader, self).await {
                    Ok(None) => {}
                    Ok(Some(response)) => break Ok(response),
                    Err(error) => break Err(error),
                }
            },
        };
        self.outcome.status = reader.status();
        if let Ok(Response { keep_alive: true, .. }) = ended {
            self.shared.pools[self.outcome.target].keep(connection);
        }
        (ended, reader.is_untouched())
    }

    /// Judges the end. A failure that the stream itself told stands.
    fn concluded(mut self, ended: &Result<Response, ExchangeError>) -> Self {
        let failure = match ended {
            Err(error) => Some(Failure::from(error)),
            Ok(response) if response.status != 200 => Some(Failure::Status(response.status)),
            Ok(_) if !self.done => Some(Failure::Truncated),
            Ok(_) => None,
        };
        self.outcome.failure = self.outcome.failure.or(failure);
        self
    }

    fn take(&mut self, chunk: Chunk, now_s: f64) {
        match chunk {
            Chunk::Tokens => self.take_tokens(now_s),
            Chunk::Usage(usage) => self.outcome.count(usage),
            Chunk::Done => self.done = true,
            Chunk::Error => self.outcome.failure = Some(Failure::Reported),
            Chunk::Malformed => self.outcome.failure = self.outcome.failure.or(Some(Failure::Malformed)),
            Chunk::Other => {}
        }
    }

    fn take_tokens(&mut self, now_s: f64) {
        let Outcome { id, first_token_s, last_token_s, chunks, output_tokens, .. } = &mut self.outcome;
        *chunks += 1;
        // Until the server says better.
        *output_tokens = *chunks;
        if let Some(before) = last_token_s.replace(now_s) {
            #[expect(clippy::cast_possible_truncation, reason = "three significant digits are kept of it")]
            self.gaps_s.push((now_s - before) as f32);
        } else {
            *first_token_s = Some(now_s);
            let _ = self.shared.messages.send(Message::FirstToken { id: *id, at_s: now_s });
        }
    }
}

impl ResponseSink for Watcher<'_> {
    fn header(&mut self, name: &str, value: &[u8]) {
        let asked = self.shared.backend_header.as_deref();
        if asked.is_some_and(|asked| asked.eq_ignore_ascii_case(name)) {
            self.outcome.backend = Some(String::from_utf8_lossy(value).into_owned());
        }
    }

    fn payload(&mut self, piece: &[u8]) {
        let now_s = self.shared.now_s();
        let mut sse = std::mem::take(&mut self.sse);
        sse.feed(piece, |data| self.take(Chunk::parse(data), now_s));
        self.sse = sse;
    }
}
