//! `gearshift-loadtest engines` and `engine`: simulated vLLM servers.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use gearshift_loadtests::{
    Error,
    scenario::{PlannedEngine, Scenario},
    serve::{Controller, EngineServer, Runner, ServeOptions, declared_address},
    system,
};
use tokio::{net::TcpListener, task::JoinSet};

use super::print;

/// Most simulated seconds in a real one.
const MAX_TIME_SCALE: f64 = 10_000.0;

/// Options of `gearshift-loadtest engines`.
#[derive(Debug, Args)]
pub(crate) struct EnginesOptions {
    /// A Gearshift configuration: every backend in it is served, on its URL's port.
    #[arg(long, value_name = "FILE", required_unless_present = "scenario", conflicts_with = "scenario")]
    config: Option<PathBuf>,
    /// Where engines are not what the configuration declares (JSON).
    #[arg(long, value_name = "FILE", requires = "config")]
    truth: Option<PathBuf>,
    /// A scenario that ships with this program, instead of a file.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Where faults of all engines are controlled, also while an engine is down.
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
    #[command(flatten)]
    serving: Serving,
}

/// What `engines` and `engine` have in common.
#[derive(Debug, Args)]
pub(super) struct Serving {
    /// Simulated seconds in a real one.
    #[arg(long, default_value_t = 1.0, value_parser = time_scale)]
    time_scale: f64,
    /// Open the endpoints of vLLM's development mode: sleep, wake_up, server_info, …
    #[arg(long)]
    dev_mode: bool,
    /// Send X-Request-Id back, as vLLM does with this flag.
    #[arg(long)]
    enable_request_id_headers: bool,
    /// Decides which drafts are accepted and whom faults strike.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Serving {
    pub(super) fn options(&self, runner: Runner) -> ServeOptions {
        ServeOptions {
            time_scale: self.time_scale,
            dev_mode: self.dev_mode,
            request_id_headers: self.enable_request_id_headers,
            seed: self.seed,
            runner,
            ..ServeOptions::default()
        }
    }
}

/// A time scale: faster than the limit, timers of a millisecond would be too coarse for any step.
pub(super) fn time_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= MAX_TIME_SCALE => Ok(scale),
        _ => Err(format!("not a number above 0 and at most {MAX_TIME_SCALE}")),
    }
}

/// Listens on `address` for `name`.
pub(super) fn listen(name: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    system::listen(address)
        .map_err(|error| Error::Failed(format!("{name} cannot listen on {address}: {error}")))
}

/// Serves engines until the process is told to end.
pub(super) async fn run(options: EnginesOptions) -> Result<(), Error> {
    let scenario = match (&options.config, &options.scenario) {
        (Some(file), _) => Scenario::load(file, options.truth.as_deref())?,
        (None, name) => Scenario::shipped(name.as_deref().unwrap_or_default())?,
    };
    system::raise_open_files()?;
    let mut servers = JoinSet::new();
    let mut handles = Vec::new();
    for planned in &scenario.engines {
        let listener = listen(&planned.spec.name, declared_address(planned)?)?;
        let server = EngineServer::new(planned, options.serving.options(planned.runner))?;
        print(&describe(planned, &listener)?)?;
        handles.push(server.handle());
        servers.spawn_local(server.serve(listener));
    }
    if let Some(address) = options.control {
        let listener = listen("control", address)?;
        print(&format!("control on http://{}\n", listener.local_addr()?))?;
        servers.spawn_local(Controller::new(handles).serve(listener));
    }
    match servers.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

/// One line about an engine that starts.
pub(super) fn describe(planned: &PlannedEngine, listener: &TcpListener) -> Result<String, Error> {
    let spec = &planned.spec;
    Ok(format!(
        "{}: {} on {} × {}, listening on http://{}\n",
        spec.name,
        spec.model_name,
        spec.count,
        spec.hardware_id,
        listener.local_addr()?
    ))
}
