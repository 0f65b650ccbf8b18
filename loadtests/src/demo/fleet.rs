//! Two fleets of the same engines, on a thread of their own.

use std::{net::SocketAddr, thread::JoinHandle};

use tokio::{
    sync::{oneshot, watch},
    task::{JoinSet, LocalSet},
    time::{Duration, interval},
};

use crate::{
    Error,
    driver::Endpoint,
    scenario::{PlannedEngine, Scenario},
    serve::{EngineHandle, EngineServer, ServeOptions},
    system,
};

/// Between two readings of the engines' counts.
const READ: Duration = Duration::from_millis(200);

/// What an engine counted so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Requests in it.
    pub(super) requests: u32,
    /// Seconds in which a step ran.
    pub(super) busy_s: f64,
    /// Energy, joules; modelled.
    pub(super) joules: f64,
    /// Tokens generated, those of unfinished answers included.
    pub(super) tokens: u64,
}

/// Readings of both fleets, in the order of the scenario's engines.
pub(super) type Readings = [Vec<Reading>; 2];

/// Twin fleets while they serve. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Twins {
    addresses: [Vec<Endpoint>; 2],
    readings: watch::Receiver<Readings>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Twins {
    /// Starts both; they listen when this returns.
    pub(super) async fn start(scenario: &Scenario, seed: u64) -> Result<Self, Error> {
        let (stop, stopped) = oneshot::channel();
        let (publish, readings) = watch::channel(Readings::default());
        let (listening, addresses) = oneshot::channel();
        let engines = scenario.engines.clone();
        let thread = std::thread::Builder::new()
            .name("engines".into())
            .spawn(move || serve(&engines, seed, listening, &publish, stopped))?;
        let mut twins =
            Self { addresses: Default::default(), readings, stop: Some(stop), thread: Some(thread) };
        match addresses.await {
            Ok(addresses) => {
                let endpoints = |fleet: Vec<SocketAddr>| fleet.into_iter().map(Endpoint::from).collect();
                twins.addresses = addresses.map(endpoints);
                Ok(twins)
            }
            // The thread ended before it listened: it knows why.
            Err(_) => Err(twins.join().err().unwrap_or_else(|| Error::Failed("the engines ended".into()))),
        }
    }

    /// The fleet behind Gearshift.
    pub(super) fn first(&self) -> &[Endpoint] {
        &self.addresses[0]
    }

    /// The fleet that is used round robin.
    pub(super) fn second(&self) -> &[Endpoint] {
        &self.addresses[1]
    }

    /// What the engines count, as it changes.
    pub(super) fn readings(&self) -> watch::Receiver<Readings> {
        self.readings.clone()
    }

    fn join(&mut self) -> Result<(), Error> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(Error::Failed("the engines' thread panicked".into())),
            None => Ok(()),
        }
    }
}

impl Drop for Twins {
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        let _ = self.join();
    }
}

fn serve(
    engines: &[PlannedEngine],
    seed: u64,
    listening: oneshot::Sender<[Vec<SocketAddr>; 2]>,
    publish: &watch::Sender<Readings>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut servers = JoinSet::new();
        let first = start(engines, seed, &mut servers)?;
        let second = start(engines, seed, &mut servers)?;
        // Whoever asked for the fleets has gone where this fails.
        let _ = listening.send([first.1, second.1]);
        let handles = [first.0, second.0];
        let mut ticks = interval(READ);
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                _ = &mut stopped => return Ok(()),
                _ = ticks.tick() => {
                    publish.send_replace(handles.each_ref().map(|fleet| fleet.iter().map(read).collect()));
                }
                Some(ended) = servers.join_next() => return ended?,
            }
        }
    })
}

/// Starts one fleet on free ports.
fn start(
    engines: &[PlannedEngine],
    seed: u64,
    servers: &mut JoinSet<Result<(), Error>>,
) -> Result<(Vec<EngineHandle>, Vec<SocketAddr>), Error> {
    let (mut handles, mut addresses) = (Vec::new(), Vec::new());
    for planned in engines {
        let listener = system::listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        addresses.push(listener.local_addr()?);
        let server = EngineServer::new(planned, ServeOptions { seed, ..ServeOptions::default() })?;
        handles.push(server.handle());
        servers.spawn_local(server.serve(listener));
    }
    Ok((handles, addresses))
}

fn read(engine: &EngineHandle) -> Reading {
    let (gauges, totals) = (engine.gauges(), engine.totals());
    Reading {
        requests: gauges.running + gauges.waiting,
        busy_s: totals.busy_s,
        joules: totals.joules,
        tokens: totals.generation_tokens,
    }
}
