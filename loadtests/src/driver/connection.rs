//! One client connection.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Endpoint, Job, Response, ResponseError, ResponseReader, ResponseSink, bodiless};

/// How long a server may stay silent before the exchange counts as failed, unless the connection says otherwise.
const SILENCE: Duration = Duration::from_secs(30);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection could not be made.
    #[error("connecting to {authority}: {source}")]
    Connect {
        /// Host and port.
        authority: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection before the response was whole.
    #[error("connection closed before the response was whole")]
    Closed,
    /// The server neither read nor wrote for this long.
    #[error("the server was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// The response is not HTTP.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// The response is not what was asked for.
    #[error("expected {expected}, got status {}, {} bytes, {} events, [DONE]: {}",
        response.status, response.body_bytes, response.events, response.done)]
    Unexpected {
        /// What would have been right.
        expected: Expected,
        /// What came.
        response: Response,
    },
}

/// What a good response looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Status 200 and a body.
    Body,
    /// Status 200, this many events, then `[DONE]`.
    Events(u64),
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Body => f.write_str("status 200 with a body"),
            Self::Events(events) => write!(f, "status 200 with {events} events and [DONE]"),
        }
    }
}

impl Expected {
    /// The response itself, where it is as expected.
    ///
    /// # Errors
    /// [`ExchangeError::Unexpected`] where it is not.
    pub fn check(self, response: Response) -> Result<Response, ExchangeError> {
        let good = match self {
            Self::Body => response.body_bytes > 0,
            Self::Events(events) => response.done && response.events == events + 1,
        };
        if good && response.status == 200 {
            Ok(response)
        } else {
            Err(ExchangeError::Unexpected { expected: self, response })
        }
    }
}

/// One connection, with a buffer that is used again and again.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    silence: Duration,
}

impl Connection {
    /// Connects, with `buffer_bytes` for reading.
    ///
    /// # Errors
    /// Where the endpoint does not accept.
    pub async fn open(endpoint: &Endpoint, buffer_bytes: usize) -> Result<Self, ExchangeError> {
        let failed = |source| ExchangeError::Connect { authority: endpoint.authority().to_owned(), source };
        let stream = TcpStream::connect(endpoint.address()).await.map_err(failed)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; buffer_bytes].into_boxed_slice(), silence: SILENCE })
    }

    /// Lets the server be silent for `silence` before an exchange counts as failed.
    #[must_use]
    pub fn patient(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Sends a request and reads its response; `watch` sees the state after every read.
    ///
    /// # Errors
    /// Where the connection or the response fails. The connection is of no use afterwards.
    pub async fn exchange(
        &mut self,
        request: &[u8],
        mut watch: impl FnMut(&ResponseReader),
    ) -> Result<Response, ExchangeError> {
        let mut reader = ResponseReader::default();
        self.send(request).await?;
        loop {
            let response = self.read_some(&mut reader, &mut ()).await?;
            watch(&reader);
            if let Some(response) = response {
                return Ok(response);
            }
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub async fn send(&mut self, request: &[u8]) -> Result<(), ExchangeError> {
        within(self.silence, self.stream.write_all(request)).await
    }

    /// Reads once, hands what came to `reader` and through it to `sink`; the response, once it is whole.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub async fn read_some(
        &mut self,
        reader: &mut ResponseReader,
        sink: &mut impl ResponseSink,
    ) -> Result<Option<Response>, ExchangeError> {
        let length = within(self.silence, self.stream.read(&mut self.buffer)).await?;
        if length == 0 {
            return reader.feed_end().map(Some).ok_or(ExchangeError::Closed);
        }
        Ok(reader.feed_to(&self.buffer[..length], sink)?)
    }
}

async fn within<T>(silence: Duration, io: impl Future<Output = io::Result<T>>) -> Result<T, ExchangeError> {
    Ok(tokio::time::timeout(silence, io).await.map_err(|_| ExchangeError::Silent(silence))??)
}

/// A place for a connection that is opened when needed and kept while the server keeps it.
#[derive(Debug, Default)]
pub(super) struct Slot(Option<Connection>);

/// Read buffer of a connection that carries many responses, bytes.
const BUFFER_BYTES: usize = 16 * 1024;

impl Slot {
    /// Runs the job once and checks the answer.
    pub(super) async fn run(&mut self, job: &Job) -> Result<Response, ExchangeError> {
        let mut connection = match self.0.take() {
            Some(connection) => connection,
            None => Connection::open(&job.endpoint, BUFFER_BYTES).await?,
        };
        let response = job.expected.check(connection.exchange(&job.request, |_| {}).await?)?;
        if response.keep_alive {
            self.0 = Some(connection);
        }
        Ok(response)
    }
}

/// Sends one request without a body, on a connection of its own.
///
/// # Errors
/// Where the exchange fails or the answer is not 200 with a body.
pub async fn request_once(endpoint: &Endpoint, method: &str, path: &str) -> Result<Response, ExchangeError> {
    let mut connection = Connection::open(endpoint, BUFFER_BYTES).await?;
    let response = connection.exchange(&bodiless(method, endpoint, path), |_| {}).await?;
    Expected::Body.check(response)
}

/// Sends one request without a body, on a connection of its own; the payload of the answer, which must be 200.
///
/// # Errors
/// As [`request_once`].
pub async fn fetch(endpoint: &Endpoint, path: &str) -> Result<Vec<u8>, ExchangeError> {
    let (mut reader, mut kept) = (ResponseReader::default(), Vec::new());
    let mut connection = Connection::open(endpoint, BUFFER_BYTES).await?;
    connection.send(&bodiless("GET", endpoint, path)).await?;
    loop {
        if let Some(response) = connection.read_some(&mut reader, &mut kept).await? {
            Expected::Body.check(response)?;
            return Ok(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Response = Response { status: 200, keep_alive: true, body_bytes: 9, events: 4, done: true };

    #[test]
    fn a_stream_needs_every_event_and_done() {
        assert!(Expected::Events(3).check(GOOD).is_ok());
        assert!(Expected::Events(4).check(GOOD).is_err());
        assert!(Expected::Events(2).check(GOOD).is_err());
        assert!(Expected::Events(3).check(Response { done: false, ..GOOD }).is_err());
    }

    #[test]
    fn a_body_needs_status_200_and_bytes() {
        assert!(Expected::Body.check(GOOD).is_ok());
        assert!(Expected::Body.check(Response { status: 503, ..GOOD }).is_err());
        assert!(Expected::Body.check(Response { body_bytes: 0, ..GOOD }).is_err());
    }
}
