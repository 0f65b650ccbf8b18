//! A listener that breaks engines and survives it.
//!
//! `GET /engines` lists them with their faults; `/engines/NAME/faults` takes what an engine's own `/sim/faults` takes,
//! also while the engine is down.

use std::{convert::Infallible, rc::Rc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    EngineHandle, api,
    upload::{self, ORDER_LIMIT, Unread},
};
use crate::Error;

/// Control over a number of engines.
#[derive(Debug)]
pub struct Controller {
    engines: Vec<EngineHandle>,
}

impl Controller {
    /// Control over `engines`.
    pub fn new(engines: Vec<EngineHandle>) -> Self {
        Self { engines }
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// Where the listener fails.
    pub async fn serve(self, listener: TcpListener) -> Result<(), Error> {
        let this = Rc::new(self);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let this = Rc::clone(&this);
                    let service = service_fn(move |request| Rc::clone(&this).answer(request));
                    connections.spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                Some(_ended) = connections.join_next() => {}
            }
        }
    }

    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let (status, answer) = match upload::read(body, ORDER_LIMIT).await {
            Ok(body) => self.carry_out(&head, &body),
            Err(Unread::TooLarge) => (StatusCode::PAYLOAD_TOO_LARGE, upload::too_large(ORDER_LIMIT)),
            // Nobody is left to hear it.
            Err(Unread::BrokenOff) => (StatusCode::BAD_REQUEST, Value::Null),
        };
        let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    fn carry_out(&self, head: &Parts, body: &[u8]) -> (StatusCode, Value) {
        let engine = head.uri.path().strip_prefix("/engines/").and_then(|path| path.strip_suffix("/faults"));
        match engine {
            None if head.uri.path() == "/engines" => (StatusCode::OK, self.list()),
            None => (StatusCode::NOT_FOUND, json!({"detail": "Not Found"})),
            Some(name) => match self.engines.iter().find(|engine| engine.name() == name) {
                Some(engine) => {
                    api::control(engine.host(), &head.method, head.uri.query().unwrap_or_default(), body)
                }
                None => (StatusCode::NOT_FOUND, json!({"detail": format!("no engine is called {name}")})),
            },
        }
    }

    fn list(&self) -> Value {
        let engine = |engine: &EngineHandle| json!({"name": engine.name(), "faults": engine.faults()});
        json!({"engines": self.engines.iter().map(engine).collect::<Vec<_>>()})
    }
}
