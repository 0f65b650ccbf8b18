//! Requests to a real engine: completions of token ids, timed token by token, and small questions.

use std::{rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

use super::load::token_ids;
use crate::{
    Error,
    driver::{Connection, Endpoint, Pacer},
    workload::{Content, Request},
};

/// The name under which the model is served.
pub const SERVED: &str = "smollm2";
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

/// The request for a completion of `content`, as bytes: the answer has just the tokens that it should have.
pub fn completion(endpoint: &Endpoint, content: &Content) -> Rc<[u8]> {
    let body = serde_json::json!({
        "model": SERVED,
        "prompt": token_ids(content),
        "max_tokens": content.output_tokens(),
        "ignore_eos": true,
        "temperature": 0,
        "stream": true,
    });
    post(endpoint, "/v1/completions", &body)
}

/// A POST of JSON, as bytes.
pub fn post(endpoint: &Endpoint, route: &str, body: &serde_json::Value) -> Rc<[u8]> {
    let body = body.to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        endpoint.path_of(route),
        endpoint.authority(),
        body.len()
    );
    (head + &body).into_bytes().into()
}

/// Sends a request for a stream and takes the time of every event; `seen` is told how many there are.
///
/// # Errors
/// Where the exchange fails or the answer is no whole stream.
pub async fn stream(
    endpoint: &Endpoint,
    request: &[u8],
    due: Instant,
    mut seen: impl FnMut(usize),
) -> Result<Answer, Error> {
    let mut connection = Connection::open(endpoint, BUFFER_BYTES).await?.patient(SILENCE);
    let mut events = Vec::new();
    let response = connection
        .exchange(request, |reader| {
            let now = Instant::now();
            while (events.len() as u64) < reader.events() {
                events.push(now);
            }
            seen(events.len());
        })
        .await?;
    if response.status != 200 || !response.done || events.len() < 2 {
        let (status, events) = (response.status, events.len());
        return Err(Error::Failed(format!("no whole stream: status {status}, {events} events")));
    }
    events.pop();
    Ok(Answer { due, events })
}

/// Sends requests when they are due, whatever becomes of those before them; answers in the order of requests.
///
/// # Errors
/// Where one of them fails.
pub async fn replay(endpoint: &Endpoint, requests: &[Request]) -> Result<Vec<Answer>, Error> {
    let prepared: Vec<_> =
        requests.iter().map(|request| (request.at, completion(endpoint, &request.content))).collect();
    let pacer = Pacer::new()?;
    let mut streams = JoinSet::new();
    let mut answers = Vec::new();
    let start = Instant::now();
    for (index, (at, bytes)) in prepared.into_iter().enumerate() {
        let due = start + at;
        pacer.sleep_until(due).await?;
        let endpoint = endpoint.clone();
        streams.spawn_local(
            async move { Ok::<_, Error>((index, stream(&endpoint, &bytes, due, |_| {}).await?)) },
        );
        while let Some(ended) = streams.try_join_next() {
            answers.push(ended??);
        }
    }
    while let Some(ended) = streams.join_next().await {
        answers.push(ended??);
    }
    answers.sort_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
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
