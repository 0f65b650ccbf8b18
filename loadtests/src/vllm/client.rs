//! Requests to a real engine: streams, timed event by event, and small questions.

use std::{rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::{
    Error,
    driver::{self, Connection, Endpoint, ResponseReader, ResponseSink},
};

/// Longest wait for an engine's next byte: the queue of a burst, on a slow machine.
const SILENCE: Duration = Duration::from_secs(180);
const BUFFER_BYTES: usize = 4 * 1024;

/// When a stream's events came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When the request was due.
    pub due: Instant,
    /// When each event came, `[DONE]` left out. A late reader gets several tokens in one.
    pub events: Vec<Instant>,
}

impl Answer {
    /// From when it was due to the first token and to the last one, seconds.
    pub fn latencies(&self) -> Option<(f64, f64)> {
        let since = |at: &Instant| at.duration_since(self.due).as_secs_f64();
        Some((since(self.events.first()?), since(self.events.last()?)))
    }
}

/// A POST of JSON, as bytes.
pub fn post(endpoint: &Endpoint, route: &str, body: &serde_json::Value) -> Rc<[u8]> {
    driver::post(endpoint, route, body.to_string().as_bytes()).into()
}

/// Sends a request for a stream and takes the time of every event; `seen` is told how many there are.
///
/// # Errors
/// Where the exchange fails or the answer is no whole stream.
pub async fn stream(
    endpoint: &Endpoint,
    request: &[u8],
    due: Instant,
    seen: impl FnMut(usize),
) -> Result<Answer, Error> {
    stream_to(endpoint, request, due, &mut (), seen).await
}

/// As [`stream`]; the payload goes to `sink`.
///
/// # Errors
/// As [`stream`].
pub async fn stream_to(
    endpoint: &Endpoint,
    request: &[u8],
    due: Instant,
    sink: &mut impl ResponseSink,
    mut seen: impl FnMut(usize),
) -> Result<Answer, Error> {
    let mut connection = Connection::open(endpoint, BUFFER_BYTES).await?.patient(SILENCE);
    let (mut reader, mut events) = (ResponseReader::default(), Vec::new());
    connection.send(request).await?;
    let response = loop {
        let response = connection.read_some(&mut reader, sink).await?;
        let now = Instant::now();
        while (events.len() as u64) < reader.events() {
            events.push(now);
        }
        seen(events.len());
        if let Some(response) = response {
            break response;
        }
    };
    if response.status != 200 || !response.done || events.len() < 2 {
        let (status, events) = (response.status, events.len());
        return Err(Error::Failed(format!("no whole stream: status {status}, {events} events")));
    }
    events.pop();
    Ok(Answer { due, events })
}

/// Sends a POST of JSON whose answer is JSON and ends with its connection.
///
/// # Errors
/// Where the server cannot be reached or answers with another status than 200.
pub async fn ask_json(
    endpoint: &Endpoint,
    route: &str,
    body: &serde_json::Value,
) -> Result<serde_json::Value, Error> {
    let mut answer = Vec::new();
    let mut connection = Connection::open(endpoint, BUFFER_BYTES).await?.patient(SILENCE);
    connection.send(&post(endpoint, route, body)).await?;
    let mut reader = ResponseReader::default();
    let response = loop {
        if let Some(response) = connection.read_some(&mut reader, &mut answer).await? {
            break response;
        }
    };
    match response.status {
        200 => Ok(serde_json::from_slice(&answer)?),
        status => Err(Error::Failed(format!("{route} answers {status}"))),
    }
}

/// Sends a request whose answer is small and ends with its connection; status and body.
///
/// # Errors
/// Where the server cannot be reached or does not answer in HTTP.
pub async fn ask(endpoint: &Endpoint, method: &str, route: &str) -> Result<(u16, String), Error> {
    let head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        endpoint.path_of(route),
        endpoint.authority()
    );
    let mut socket = TcpStream::connect(endpoint.address()).await?;
    socket.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
    let (Some(status), Some((_, body))) = (status, answer.split_once("\r\n\r\n")) else {
        return Err(Error::Failed(format!("{method} {route}: no HTTP answer")));
    };
    Ok((status, body.to_owned()))
}
