//! `gearshift serve`: from a file to a running proxy, and to its end.

use std::{io, path::PathBuf, sync::Arc, thread};

use gearshift_config::{Config, ModelId};
use gearshift_selector::{OnnxRuntime, controller::Traffic};
use prometheus::{Registry, process_collector::ProcessCollector};
use tokio::task::LocalSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    bundles::{Bundles, Learners},
    control::{self, Control, Followed, admin, signals::Signals, watch::FileWatch},
    controller::{self, Controller},
    fleet::Fleet,
    live,
    metrics::{Metrics, log},
    server::{self, Core},
    snapshot::Builder,
    telemetry,
    worker::Shared,
};

/// Why Gearshift cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] gearshift_config::Errors),
    /// A listener cannot be opened.
    #[error("{0}")]
    Bind(#[from] server::BindError),
    /// The admin listener cannot be opened.
    #[error("cannot listen on {address} for `admin`: {source}")]
    Admin {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A backend's settings cannot be used.
    #[error("{0}")]
    Fleet(#[from] crate::fleet::FleetError),
    /// Metrics cannot be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The system refused something.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs Gearshift until it is told to end. `dropped` says how many lines of the log were dropped so far.
///
/// # Errors
/// When it cannot start.
pub fn run(path: PathBuf, dropped: impl Fn() -> usize + Send + Sync + 'static) -> Result<(), ServeError> {
    // Watched before it is read, so that no change falls between the two.
    let file = FileWatch::new(&path);
    let config = Arc::new(gearshift_config::load(&path)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    log::register(&registry, dropped)?;
    LocalSet::new().block_on(&runtime, serve(path, file, config, registry))
}

async fn serve(
    path: PathBuf,
    file: FileWatch,
    written: Arc<Config>,
    registry: Registry,
) -> Result<(), ServeError> {
    let gears = controller::first_gears(&written);
    let config = gears.apply(&written);
    let metrics = Metrics::new(&registry)?;
    let runtime = load_onnxruntime(&config).map(Arc::new);
    metrics.onnxruntime(runtime.is_some());
    let (stop, abort, ended) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let mut fleet = Fleet::new(TaskTracker::new(), ended.clone());
    fleet.apply(&config)?;
    fleet.hold(|backend| gears.holds(backend) && controller::shifts(&config, backend));
    let mut builder = Builder::default();
    let snapshot = control::build(&mut builder, &config, &fleet, &Learners::default(), &metrics);
    let bound = server::bind(&config.listeners, config.workers)?;
    let address = config.admin.address;
    let listener =
        admin::bind(&config.admin).await.map_err(|source| ServeError::Admin { address, source })?;

    let (reporters, inboxes) = live::queues(config.workers, &metrics);
    let (outlets, tellers) = telemetry::start(&config.telemetry, config.workers, &metrics.telemetry, &ended)?;
    let shared = Shared::new(snapshot, metrics, reporters, outlets);
    let view = live::View::new(&config.observations);
    let observer = live::start(
        &config.observations,
        inboxes,
        view.clone(),
        shared.live.clone(),
        &shared.metrics.live,
        ended.clone(),
    )?;
    let bundles = Bundles::start(&config, runtime, &shared, ended.clone());
    let workload = asked(view.clone());
    let metrics = shared.metrics.controller.clone();
    let until = (stop.clone(), ended.clone());
    let controller = Controller::start(&written, fleet.roster(), metrics, workload, until);
    let operators = admin::Operators { bundles: bundles.operators, controller: controller.operators };
    let state = admin::State::new(registry, shared.clone(), config.clone(), fleet.roster(), operators, view);
    let cores = start_cores(bound.cores, &shared, &stop, &abort)?;
    announce(&bound.addresses, listener.local_addr().unwrap_or(address), &config);

    let shifting = (controller.configs, gears);
    let control = Control::new(path, file, shifting, builder, fleet, shared, state.clone());
    let followed = Followed { bundles: bundles.changes, gears: controller.changes };
    tokio::task::spawn_local(control.run(Signals::new()?, followed, stop.clone(), abort));
    tokio::task::spawn_local(admin::serve(listener, state, ended.clone()));
    // Threads are joined elsewhere, so that this one can answer operators until the last stream has ended.
    let served = tokio::task::spawn_blocking(move || join(cores))
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    // Also after a core has failed: engines that are to end, and rows that wait, are not that core's alone.
    ended.cancel();
    // Engines that are to end with this process.
    controller.tasks.wait().await;
    let observed = tokio::task::spawn_blocking(move || observer.join()).await;
    if !matches!(observed, Ok(Ok(()))) {
        tracing::error!("the observer panicked");
    }
    tellers.ended().await;
    served?;
    tracing::info!("ended");
    Ok(())
}

/// What is asked of every model, and how it was served, for the profile controller.
fn asked(observed: Arc<live::View>) -> controller::Workload {
    let (view, by_route) = (observed.clone(), observed.clone());
    let routes = Box::new(move |model: &ModelId| {
        let windows = by_route.windows.load();
        let routes = windows.get(model.as_str()).into_iter().flat_map(|view| &view.routes);
        routes.map(|(route, window)| (route.clone(), window.rate_per_s)).collect()
    });
    let traffic = Box::new(move || {
        let windows = view.windows.load();
        let of = |(model, view): (&String, &live::ModelView)| {
            Traffic::new(ModelId::new(model.as_str()), &view.window, view.classes.clone())
        };
        windows.iter().map(of).collect()
    });
    let served = Box::new(move |since| {
        let recent = observed.recent.load();
        let new = recent.iter().filter(|ended| ended.end.at > since);
        new.filter_map(|ended| Some((ended.end.at, ended.served()?))).collect()
    });
    controller::Workload { traffic, routes, served }
}

type CoreThread = thread::JoinHandle<io::Result<()>>;

fn start_cores(
    ports: Vec<Vec<server::Port>>,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
    abort: &CancellationToken,
) -> io::Result<Vec<CoreThread>> {
    let mut seeds = fastrand::Rng::new();
    let start = |(number, ports)| {
        let core = Core {
            shared: shared.clone(),
            ports,
            number,
            seed: seeds.u64(..),
            stop: stop.clone(),
            abort: abort.clone(),
        };
        // A core that dies must not leave the others serving half a proxy.
        let end_all = stop.clone().drop_guard();
        thread::Builder::new().name(format!("core-{number}")).spawn(move || {
            let _end_all = end_all;
            core.run()
        })
    };
    ports.into_iter().enumerate().map(start).collect()
}

fn join(cores: Vec<CoreThread>) -> io::Result<()> {
    let mut result = Ok(());
    for core in cores {
        let ended = core.join().unwrap_or_else(|_| Err(io::Error::other("a request core panicked")));
        if let Err(error) = ended {
            tracing::error!(%error, "a request core ended");
            result = Err(error);
        }
    }
    result
}

fn announce(addresses: &[std::net::SocketAddr], admin: std::net::SocketAddr, config: &Config) {
    for address in addresses {
        tracing::info!(%address, "listening for clients");
    }
    tracing::info!(address = %admin, "listening for operators");
    tracing::info!(
        backends = config.backends.len(),
        routes = config.routes.len(),
        cores = config.workers,
        "gearshift {} serves",
        env!("CARGO_PKG_VERSION")
    );
}

/// The meta-learner's runtime. Without it decisions use the prior, and nothing else changes.
fn load_onnxruntime(config: &Config) -> Option<OnnxRuntime> {
    let stated = config.paths.onnxruntime.clone();
    let Some(path) = stated.or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)) else {
        tracing::info!(
            "ONNX Runtime is not configured (`paths.onnxruntime` or ORT_DYLIB_PATH); decisions use the prior"
        );
        return None;
    };
    match OnnxRuntime::load(&path) {
        Ok(runtime) => {
            tracing::info!(version = runtime.version(), "ONNX Runtime loaded");
            Some(runtime)
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "ONNX Runtime cannot be loaded; decisions use the prior");
            None
        }
    }
}
