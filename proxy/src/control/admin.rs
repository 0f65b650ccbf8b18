//! The listener for operators: metrics, liveness, readiness, and the state of fleet and configuration.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use gearshift_config::{Admin, Config, Secret};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    bundles::{Operators, keeper::Wish},
    clock,
    fleet::Roster,
    listing,
    worker::Shared,
};

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// What operators may see.
#[derive(Debug)]
pub struct State {
    registry: Registry,
    shared: Arc<Shared>,
    token: Option<Secret>,
    config: ArcSwap<Config>,
    fleet: Roster,
    refused: ArcSwapOption<String>,
    bundles: Operators,
}

impl State {
    /// The state at the start.
    pub fn new(
        registry: Registry,
        shared: Arc<Shared>,
        config: Arc<Config>,
        fleet: Roster,
        bundles: Operators,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            shared,
            token: config.admin.token.clone(),
            config: ArcSwap::new(config),
            fleet,
            refused: ArcSwapOption::empty(),
            bundles,
        })
    }

    /// A configuration has been taken over.
    pub fn configured(&self, config: Arc<Config>) {
        self.config.store(config);
    }

    /// How the last reload went.
    pub fn reloaded(&self, refused: Option<String>) {
        self.refused.store(refused.map(Arc::new));
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Bytes> {
        let path = request.uri().path();
        if request.method() == Method::POST && path.starts_with("/bundles/") {
            return self.bundle_wish(request).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        }
        // Probes carry no tokens, and tell nothing.
        match path {
            "/livez" => return plain(StatusCode::OK, "ok\n"),
            "/readyz" => return self.readiness(),
            _ => {}
        }
        if !self.allowed(request.headers()) {
            return unauthorized();
        }
        match path {
            "/" => plain(StatusCode::OK, PLACES),
            "/metrics" => self.metrics(),
            "/fleet" => listing::json(StatusCode::OK, &self.fleet_state()),
            "/config" => listing::json(StatusCode::OK, &self.config_state()),
            "/bundles" => listing::json(StatusCode::OK, &self.bundles.state.view()),
            _ => plain(StatusCode::NOT_FOUND, PLACES),
        }
    }

    /// `POST /bundles/ID/activate`, `/bundles/rollback`, `/bundles/newest`; answered when it is done.
    async fn bundle_wish(&self, request: Request<Incoming>) -> Response<Bytes> {
        if !self.allowed(request.headers()) {
            return unauthorized();
        }
        // Browsers name where a request comes from; no page has any business here.
        if request.headers().contains_key(header::ORIGIN) {
            return plain(StatusCode::FORBIDDEN, "not from a web page\n");
        }
        let path = request.uri().path().trim_start_matches("/bundles/");
        let wish = match path.split_once('/') {
            None if path == "rollback" => Wish::RollBack,
            None if path == "newest" => Wish::Newest,
            Some((id, "activate")) if !id.is_empty() => Wish::Activate(id.to_owned()),
            _ => {
                return plain(
                    StatusCode::NOT_FOUND,
                    "POST /bundles/ID/activate, /bundles/rollback or /bundles/newest\n",
                );
            }
        };
        let refused = |reason: &str| listing::json(StatusCode::CONFLICT, &json!({"error": reason}));
        if let Some(off) = self.bundles.state.off() {
            return refused(&format!("bundles are not used: {off}"));
        }
        let (answer, answered) = oneshot::channel();
        let asked = self.bundles.wishes.send((wish, answer)).await.is_ok();
        match if asked { answered.await.ok() } else { None } {
            Some(Ok(active)) => listing::json(StatusCode::OK, &json!({"active": active})),
            Some(Err(reason)) => refused(&reason),
            None => refused("Gearshift is shutting down"),
        }
    }

    fn allowed(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        let given =
            given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, it)| it);
        given.as_bytes().ct_eq(token.expose().as_bytes()).into()
    }

    fn readiness(&self) -> Response<Bytes> {
        if self.shared.ready() {
            plain(StatusCode::OK, "ready\n")
        } else {
            plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "not ready: no model has a backend, or shutdown has begun\n",
            )
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        self.shared.metrics.read(&self.shared.admission);
        let mut text = Vec::new();
        let encoder = TextEncoder::new();
        if let Err(error) = encoder.encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be rendered");
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be rendered\n");
        }
        let mut response = Response::new(Bytes::from(text));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn fleet_state(&self) -> Value {
        let snapshot = self.shared.live.load();
        let models = snapshot.models().into_iter().map(|(name, model)| {
            let backends = model.targets.iter().map(|target| target.upstream.id.as_str());
            json!({"name": name, "served_name": model.served_name, "backends": backends.collect::<Vec<_>>()})
        });
        let (now, members) = (clock::now(), self.fleet.members());
        let backends = members.iter().map(|member| member.view(now));
        json!({
            "ready": self.shared.ready(),
            "in_flight": self.shared.admission.in_flight(),
            "models": models.collect::<Vec<_>>(),
            "backends": backends.collect::<Vec<_>>(),
        })
    }

    fn config_state(&self) -> Value {
        json!({
            "config": self.config.load().redacted(),
            "last_reload_error": self.refused.load().as_deref(),
        })
    }
}

const PLACES: &str = "/metrics /livez /readyz /fleet /config /bundles\n";

fn unauthorized() -> Response<Bytes> {
    let mut refusal = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed (`admin.token`)\n");
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Opens the listener.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(admin: &Admin) -> io::Result<TcpListener> {
    TcpListener::bind(admin.address).await
}

/// Answers operators until told to end. Runs on a `LocalSet`.
pub async fn serve(listener: TcpListener, state: Arc<State>, end: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let state = state.clone();
        // An operator's connection may end with the process.
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(state.answer(request).await.map(Full::new)) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "an admin connection ended");
            }
        });
    }
}
