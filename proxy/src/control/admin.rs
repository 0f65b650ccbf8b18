//! The listener for operators: metrics, liveness, readiness, and the state of fleet and configuration.

mod door;
mod seen;
mod shifting;

use std::{convert::Infallible, io, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use gearshift_config::{Admin, Config, Secret};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::Registry;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use self::{door::Door, seen::Which};
use crate::{
    bundles::{self, keeper::Wish},
    clock,
    console::{self, Broadcast, Events},
    controller,
    fleet::Roster,
    listing, live, percent,
    worker::Shared,
};

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Readers that the live stream has at once.
const MOST_READERS: usize = 64;

/// What operators may ask for things.
#[derive(Debug)]
pub struct Operators {
    /// The keeper of bundles.
    pub bundles: bundles::Operators,
    /// The profile controller.
    pub controller: controller::Operators,
}

/// What a reload changed.
#[derive(Debug, Default)]
struct Change {
    /// When, seconds since 1970; `None` where nothing was reloaded.
    at: Option<u64>,
    lines: Vec<String>,
}

/// What operators may see.
#[derive(Debug)]
pub struct State {
    registry: Registry,
    shared: Arc<Shared>,
    token: Option<Secret>,
    config: ArcSwap<Config>,
    fleet: Roster,
    refused: ArcSwapOption<String>,
    /// What the last reload changed.
    changes: ArcSwap<Change>,
    operators: Operators,
    observed: Arc<live::View>,
}

impl State {
    /// The state at the start.
    pub fn new(
        registry: Registry,
        shared: Arc<Shared>,
        config: Arc<Config>,
        fleet: Roster,
        operators: Operators,
        observed: Arc<live::View>,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            shared,
            token: config.admin.token.clone(),
            config: ArcSwap::new(config),
            fleet,
            refused: ArcSwapOption::empty(),
            changes: ArcSwap::default(),
            operators,
            observed,
        })
    }

    /// Backends are in other gears.
    pub fn shifted(&self, config: Arc<Config>) {
        self.config.store(config);
    }

    /// A configuration has been taken over from the file.
    pub fn configured(&self, config: Arc<Config>) {
        let lines = console::changes(&self.config.load().redacted(), &config.redacted());
        if !lines.is_empty() {
            self.changes.store(Arc::new(Change { at: Some(clock::unix_seconds()), lines }));
        }
        self.config.store(config);
    }

    /// How the last reload went.
    pub fn reloaded(&self, refused: Option<String>) {
        self.refused.store(refused.map(Arc::new));
    }

    /// What is asked for in one piece, or the live stream.
    async fn respond(
        &self,
        stream: &Rc<Broadcast>,
        request: Request<Incoming>,
    ) -> Response<Either<Full<Bytes>, Events>> {
        if request.method() == Method::GET && request.uri().path() == "/events" {
            return match self.unseen(request.headers()) {
                None => seen::events(stream),
                Some(refusal) => refusal.map(whole),
            };
        }
        self.answer(request).await.map(whole)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Bytes> {
        let path = request.uri().path();
        if request.method() == Method::POST && path.starts_with("/bundles/") {
            return self.bundle_wish(request).await;
        }
        if request.method() == Method::POST && path.starts_with(shifting::PLACE) {
            return self.shifting_wish(request).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        }
        // Probes carry no tokens, and tell nothing.
        match path {
            "/livez" => return plain(StatusCode::OK, "ok\n"),
            "/readyz" => return self.readiness(),
            console::PAGE => return to_console(),
            _ => {}
        }
        if let Some(file) = console::asset(path) {
            return file;
        }
        if let Some(refusal) = self.unseen(request.headers()) {
            return refusal;
        }
        match path {
            "/" => plain(StatusCode::OK, PLACES),
            "/metrics" => self.metrics(),
            "/fleet" => listing::json(StatusCode::OK, &self.fleet_state()),
            "/config" => listing::json(StatusCode::OK, &self.config_state()),
            "/bundles" => listing::json(StatusCode::OK, &self.operators.bundles.state.view()),
            "/controller" => listing::json(StatusCode::OK, &self.operators.controller.board.view()),
            "/decisions" => listing::json(StatusCode::OK, &self.decisions()),
            "/workload" => listing::json(StatusCode::OK, &self.workload()),
            _ => match path.strip_prefix("/decisions/") {
                Some(id) => {
                    let which = Which::of(request.uri().query().unwrap_or_default());
                    self.decision(&percent::decoded(id), which)
                }
                None => plain(StatusCode::NOT_FOUND, PLACES),
            },
        }
    }

    /// `POST /bundles/ID/activate`, `/bundles/rollback`, `/bundles/newest`; answered when it is done.
    async fn bundle_wish(&self, request: Request<Incoming>) -> Response<Bytes> {
        if let Some(refusal) = self.refusal(request.headers()) {
            return refusal;
        }
        let path = request.uri().path();
        let path = path.strip_prefix("/bundles/").unwrap_or(path);
        let wish = match path.split_once('/') {
            None if path == "rollback" => Wish::RollBack,
            None if path == "newest" => Wish::Newest,
            Some((id, "activate")) if !id.is_empty() => Wish::Activate(percent::decoded(id)),
            _ => {
                return plain(
                    StatusCode::NOT_FOUND,
                    "POST /bundles/ID/activate, /bundles/rollback or /bundles/newest\n",
                );
            }
        };
        let refused = |reason: &str| listing::json(StatusCode::CONFLICT, &json!({"error": reason}));
        if let Some(off) = self.operators.bundles.state.off() {
            return refused(&format!("bundles are not used: {off}"));
        }
        match ask(&self.operators.bundles.wishes, wish).await {
            Ok(active) => listing::json(StatusCode::OK, &json!({"active": active})),
            Err(reason) => refused(&reason),
        }
    }

    /// Why nothing may be changed by this request, where so.
    fn refusal(&self, headers: &HeaderMap) -> Option<Response<Bytes>> {
        if let Some(refusal) = self.unseen(headers) {
            return Some(refusal);
        }
        // Browsers name where a request comes from; no page but the console has any business here.
        let foreign = headers.get(header::ORIGIN).is_some_and(|origin| !self.own(origin, headers));
        foreign.then(|| plain(StatusCode::FORBIDDEN, "not from a web page but the console\n"))
    }

    /// Why nothing may be seen by this request, where so. Where no token is asked for, the listener must have been reached by its
    /// address: any name can be made to lead here by whoever owns it, and a browser would let that name's pages read.
    fn unseen(&self, headers: &HeaderMap) -> Option<Response<Bytes>> {
        if !self.allowed(headers) {
            return Some(unauthorized());
        }
        let named = self.token.is_none() && !headers.get(header::HOST).is_none_or(is_address);
        named.then(|| plain(StatusCode::FORBIDDEN, NAMED))
    }

    /// Whether a page of this listener asks. Where TLS ends before it, at an ingress, the page came by `https`.
    fn own(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let host =
            headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
        let named = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
        host.is_some() && named == host
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
        self.shared.metrics.read(&self.shared.admission, &self.shared.live.load());
        let mut response = Response::new(Bytes::from(self.shared.metrics.page(&self.registry, &self.fleet)));
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

    /// What requests look like now, by model and route.
    fn workload(&self) -> Value {
        json!({"half_life_s": self.observed.half_life_s, "models": &**self.observed.windows.load()})
    }

    fn config_state(&self) -> Value {
        json!({
            "config": self.config.load().redacted(),
            "last_reload_error": self.refused.load().as_deref(),
            "last_change": &self.changes.load().lines,
            "last_change_at": self.changes.load().at,
        })
    }
}

const PLACES: &str = "/console/ /metrics /livez /readyz /fleet /config /decisions /decisions/REQUEST-ID /workload /bundles /controller /events\n";

const NAMED: &str = "without `admin.token`, ask by address or as localhost\n";

/// Whether `Host` has an address, or the one name that nobody can make lead elsewhere.
fn is_address(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, after)| port(after)).map_or(host, |(name, _)| name);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || bare.unwrap_or(name).parse::<IpAddr>().is_ok()
}

/// Tells whoever carries out operators' wishes, and waits for what it says.
async fn ask<W, T>(
    wishes: &mpsc::Sender<(W, oneshot::Sender<Result<T, String>>)>,
    wish: W,
) -> Result<T, String> {
    let (answer, answered) = oneshot::channel();
    let asked = wishes.send((wish, answer)).await.is_ok();
    let answer = if asked { answered.await.ok() } else { None };
    answer.unwrap_or_else(|| Err("Gearshift is shutting down".to_owned()))
}

fn whole(text: Bytes) -> Either<Full<Bytes>, Events> {
    Either::Left(Full::new(text))
}

fn to_console() -> Response<Bytes> {
    let mut answer = plain(StatusCode::PERMANENT_REDIRECT, "the console is at /console/\n");
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(console::PLACE));
    answer
}

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
    let events = seen::broadcast(state.clone(), MOST_READERS);
    let door = state.shared.metrics.operators.clone();
    let door = Door::new(door.connections, door.refused);
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
        let Some((stream, inside)) = door.enter(stream) else { continue };
        let (state, events) = (state.clone(), events.clone());
        // An operator's connection may end with the process.
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                inside.asks();
                let (state, events) = (state.clone(), events.clone());
                async move { Ok::<_, Infallible>(state.respond(&events, request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            let served = tokio::select! {
                served = http.serve_connection(TokioIo::new(stream), service) => served,
                () = inside.shown_out() => return,
            };
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended");
            }
        });
    }
}
