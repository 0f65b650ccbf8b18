//! An engine's process, as the network sees it: it listens, it dies, it comes back.

use std::{cell::Cell, convert::Infallible, net::SocketAddr, rc::Rc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    ServeOptions, api,
    connection::{Connection, Fate},
    host::Host,
};
use crate::{
    Error,
    scenario::PlannedEngine,
    sim::{Fault, Gauges, SpecError, Totals},
    system,
};

/// How long a connection may be idle: uvicorn's, and so vLLM's, default.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A simulated engine that can be served.
#[derive(Debug)]
pub struct EngineServer {
    host: Rc<Host>,
}

/// A hold on an engine while it is served, for whoever shares its thread.
#[derive(Debug, Clone)]
pub struct EngineHandle(Rc<Host>);

impl EngineServer {
    /// An engine as planned, up and idle.
    ///
    /// # Errors
    /// Where the model does not fit or knobs contradict each other.
    pub fn new(planned: &PlannedEngine, options: ServeOptions) -> Result<Self, SpecError> {
        Ok(Self { host: Rc::new(Host::new(planned, options)?) })
    }

    /// A hold on it.
    pub fn handle(&self) -> EngineHandle {
        EngineHandle(Rc::clone(&self.host))
    }

    /// Serves HTTP/1.1 until the future is dropped. After a crash it listens on the same address again. Spawns onto the
    /// caller's `LocalSet`, one task for each connection.
    ///
    /// # Errors
    /// Where listening or the timer fails.
    pub async fn serve(self, listener: TcpListener) -> Result<(), Error> {
        tokio::select! {
            stopped = self.host.run() => Ok(stopped?),
            failed = live(&self.host, listener) => failed.map(|never| match never {}),
        }
    }
}

impl EngineHandle {
    /// The engine's name.
    pub fn name(&self) -> &str {
        &self.0.spec.name
    }

    /// Begins a fault; it lifts itself after `seconds` of simulated time where given.
    pub fn inject(&self, fault: Fault, seconds: Option<f64>) {
        self.0.inject(fault, seconds);
    }

    /// Lifts the fault of a kind, by its name in JSON; all where none is named. Returns how many.
    pub fn lift(&self, kind: Option<&str>) -> usize {
        self.0.lift(kind)
    }

    /// Active faults.
    pub fn faults(&self) -> Vec<Fault> {
        self.0.faults()
    }

    /// What a scrape shows now.
    pub fn gauges(&self) -> Gauges {
        self.0.gauges()
    }

    /// What was counted since the beginning, over all starts.
    pub fn totals(&self) -> Totals {
        self.0.totals()
    }

    pub(super) fn host(&self) -> &Host {
        &self.0
    }
}

/// One life after another.
async fn live(host: &Rc<Host>, listener: TcpListener) -> Result<Infallible, Error> {
    let address = listener.local_addr()?;
    let mut listener = Some(listener);
    loop {
        host.until_there(true).await;
        let listening = match listener.take() {
            Some(listener) => listener,
            None => system::listen(address)?,
        };
        let crashed = Rc::new(Cell::new(false));
        let crash = async {
            host.until_there(false).await;
            // Before `accept` is dropped, and its connections with it: so they reset.
            crashed.set(true);
        };
        tokio::select! {
            failed = accept(host, &listening, &crashed) => return failed,
            () = crash => {}
        }
    }
}

async fn accept(
    host: &Rc<Host>,
    listener: &TcpListener,
    crashed: &Rc<Cell<bool>>,
) -> Result<Infallible, Error> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let fate = Fate::new(Rc::clone(crashed));
                let connection = TokioIo::new(Connection::new(stream, fate.clone()));
                let host = Rc::clone(host);
                let service = service_fn(move |request: Request<Incoming>| {
                    api::answer(Rc::clone(&host), fate.clone(), request)
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE);
                // A client that goes away in the middle is ordinary.
                connections.spawn_local(builder.serve_connection(connection, service));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// The address that a scenario's backend declares, where it is one of this machine.
///
/// # Errors
/// Where its host is no address.
pub fn declared_address(planned: &PlannedEngine) -> Result<SocketAddr, Error> {
    let url = &planned.backend.url;
    let host = if url.host == "localhost" { "127.0.0.1" } else { &url.host };
    let address = host
        .parse()
        .map_err(|_| Error::Failed(format!("{}: {host} is no address to listen on", planned.spec.name)))?;
    Ok(SocketAddr::new(address, url.port))
}
