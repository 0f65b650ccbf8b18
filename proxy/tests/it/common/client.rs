//! Clients: one connection each, closed when dropped.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::AbortHandle,
};

use super::{Body, beside, within};

/// One connection to the proxy.
pub(crate) struct Client {
    sender: Sender,
    driver: Arc<Driver>,
    scheme: &'static str,
}

/// What moves the bytes; ends with the last client on the connection.
struct Driver(AbortHandle);

impl Driver {
    fn start<T: Send + 'static>(connection: impl Future<Output = T> + Send + 'static) -> Arc<Self> {
        Arc::new(Self(beside(connection).abort_handle()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    pub(crate) async fn http1(address: SocketAddr) -> Self {
        Self::speak_http1(TcpStream::connect(address).await.unwrap(), "http").await
    }

    pub(crate) async fn http2(address: SocketAddr) -> Self {
        Self::speak_http2(TcpStream::connect(address).await.unwrap(), "http").await
    }

    pub(crate) async fn speak_http1<T>(io: T, scheme: &'static str) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        Self { sender: Sender::Http1(sender), driver: Driver::start(connection), scheme }
    }

    pub(crate) async fn speak_http2<T>(io: T, scheme: &'static str) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        Self { sender: Sender::Http2(sender), driver: Driver::start(connection), scheme }
    }

    /// Another client on the same HTTP/2 connection.
    pub(crate) fn share(&self) -> Self {
        let Sender::Http2(sender) = &self.sender else { panic!("HTTP/1.1 takes one request at a time") };
        Self { sender: Sender::Http2(sender.clone()), driver: self.driver.clone(), scheme: self.scheme }
    }

    /// Sends a request and waits for the response head.
    pub(crate) async fn try_send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                request.headers_mut().entry(header::HOST).or_insert("127.0.0.1".parse().unwrap());
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let target = request.uri().path_and_query().unwrap().clone();
                let uri =
                    Uri::builder().scheme(self.scheme).authority("gearshift.test").path_and_query(target);
                *request.uri_mut() = uri.build().unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Sends a request that must get a response head.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        within("a response head", self.try_send(request)).await.unwrap()
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Answer {
        Answer::read(self.send(request).await).await.unwrap()
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads a response to its end; an error when it breaks off.
    pub(crate) async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let body = within("the end of a response", body.collect()).await?.to_bytes();
        Ok(Self { status: head.status, headers: head.headers, body })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is an error in OpenAI's words, and gives its `code`.
    #[track_caller]
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        let error = &self.json()["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        assert!(error["type"].is_string() && error.get("param").is_some(), "{self:?}");
        error["code"].as_str().unwrap().to_owned()
    }
}

/// A response under way, and its connection. Dropping it is a client that goes away.
pub(crate) struct Open {
    pub(crate) head: Response<()>,
    body: Incoming,
    _client: Client,
}

impl Open {
    pub(crate) fn new(response: Response<Incoming>, client: Client) -> Self {
        let (head, body) = response.into_parts();
        Self { head: Response::from_parts(head, ()), body, _client: client }
    }

    /// The next piece; `None` at the regular end.
    pub(crate) async fn piece(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            let frame = within("a piece of the response", self.body.frame()).await?;
            let piece = frame.map(|frame| frame.into_data().unwrap_or_default());
            // HTTP/2 may end a stream with an empty frame.
            if !piece.as_ref().is_ok_and(Bytes::is_empty) {
                return Some(piece);
            }
        }
    }

    /// The next piece as text.
    pub(crate) async fn text(&mut self) -> String {
        let piece = self.piece().await.expect("the response has ended").unwrap();
        String::from_utf8(piece.to_vec()).unwrap()
    }

    /// All that is left, to the regular end.
    pub(crate) async fn rest(mut self) -> hyper::Result<String> {
        let mut text = String::new();
        while let Some(piece) = self.piece().await {
            text += std::str::from_utf8(&piece?).unwrap();
        }
        Ok(text)
    }
}
