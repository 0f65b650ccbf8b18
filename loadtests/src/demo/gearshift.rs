//! The `gearshift` binary before a fleet.

use std::{net::SocketAddr, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::DemoOptions;
use crate::{
    Error,
    bench::{
        free_pair,
        process::{Process, command},
    },
    driver::{Endpoint, request_once},
    scenario::Scenario,
};

/// How long it may take until it is ready.
const START: Duration = Duration::from_secs(15);
/// Between two looks whether it is.
const RETRY: Duration = Duration::from_millis(50);

/// Gearshift while it runs. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Gearshift {
    endpoint: Endpoint,
    process: Process,
    _folder: TempDir,
}

impl Gearshift {
    /// Starts it before a scenario's engines, which listen on `engines` and not where the scenario says.
    pub(super) async fn before_twins(
        options: &DemoOptions,
        scenario: &Scenario,
        engines: &[Endpoint],
    ) -> Result<Self, Error> {
        let [listen, admin] = free_pair()?;
        let mut text = scenario.text.clone();
        let mut replace =
            |declared: &str, actual: SocketAddr| text = text.replace(declared, &actual.to_string());
        for listener in &scenario.config.listeners {
            replace(&listener.address.to_string(), listen);
        }
        replace(&scenario.config.admin.address.to_string(), admin);
        for (planned, endpoint) in scenario.engines.iter().zip(engines) {
            let url = &planned.backend.url;
            replace(&format!("{}:{}", url.host, url.port), endpoint.address());
        }
        Self::start(&options.gearshift, &text, listen, admin).await
    }

    /// Starts it before engines of which nothing is known but their URLs.
    pub(super) async fn before(options: &DemoOptions, urls: &[String]) -> Result<Self, Error> {
        let [listen, admin] = free_pair()?;
        let backends: Vec<_> = urls.iter().map(|url| serde_json::json!({"url": url})).collect();
        let config = serde_json::json!({
            "listen": listen.to_string(), "admin": {"address": admin.to_string()}, "workers": 1, "backends": backends,
        });
        // JSON is YAML.
        Self::start(&options.gearshift, &config.to_string(), listen, admin).await
    }

    async fn start(
        program: &Path,
        config: &str,
        listen: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Self, Error> {
        let missing = |_| {
            let program = program.display();
            Error::Failed(format!(
                "{program} is missing: cargo build --release -p gearshift, or say --gearshift"
            ))
        };
        let program = program.canonicalize().map_err(missing)?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("gearshift.yaml");
        std::fs::write(&file, config).map_err(Error::file(&file))?;
        let mut command = command(&program, None);
        command.args(["serve".as_ref(), "--config".as_ref(), file.as_os_str()]);
        let process = Process::spawn(command, &folder.path().join("log"))?;
        let mut this = Self { endpoint: Endpoint::from(listen), process, _folder: folder };
        this.ready(&Endpoint::from(admin)).await?;
        Ok(this)
    }

    /// Where it listens.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits until it says that it is ready.
    async fn ready(&mut self, admin: &Endpoint) -> Result<(), Error> {
        let until = Instant::now() + START;
        loop {
            if request_once(admin, "GET", "/readyz").await.is_ok() {
                return Ok(());
            }
            let running = self.process.is_running()?;
            if !running || Instant::now() > until {
                let state = if running { "is not ready" } else { "ended" };
                return Err(Error::Failed(format!("gearshift {state}: {}", self.process.last_words())));
            }
            sleep(RETRY).await;
        }
    }
}
