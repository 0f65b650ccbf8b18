//! A real vLLM server, started for a measurement and ended with it.

use std::{net::TcpListener, path::Path, process::Command, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Metrics, client::ask};
use crate::{
    Error,
    bench::process::{self, Process},
    driver::Endpoint,
    procfs::ProcessTree,
};

const POLL: Duration = Duration::from_millis(200);
/// Its processes end one after another; ended harshly they would leave shared memory behind.
const GRACE_S: i64 = 20;

/// A port that is free now.
///
/// # Errors
/// Where there is none.
pub fn free_port() -> Result<u16, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The command that runs `program` and ends when this process does.
pub fn command(program: &Path) -> Command {
    process::command(program, None)
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    endpoint: Endpoint,
}

impl Server {
    /// Starts a server that will listen on `port` of this machine and waits until it answers; its log goes to `log`.
    ///
    /// # Errors
    /// Where it ends before that or takes longer than `patience`.
    pub async fn start(command: Command, port: u16, log: &Path, patience: Duration) -> Result<Self, Error> {
        let process = Process::spawn(command, log)?.with_grace(GRACE_S);
        let endpoint = Endpoint::resolve(&format!("http://127.0.0.1:{port}"))?;
        let mut server = Self { process, endpoint };
        server.answering(patience).await?;
        Ok(server)
    }

    async fn answering(&mut self, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        loop {
            if matches!(ask(&self.endpoint, "GET", "/health").await, Ok((200, _))) {
                return Ok(());
            }
            if !self.process.is_running()? {
                return Err(Error::Failed(format!("vllm ended:\n{}", self.process.last_words())));
            }
            if Instant::now() > deadline {
                return Err(Error::Failed(format!("vllm does not answer after {} s", patience.as_secs())));
            }
            sleep(POLL).await;
        }
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its processes.
    pub fn tree(&self) -> ProcessTree {
        self.process.tree()
    }

    /// What its metrics read now.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn metrics(&self) -> Result<Metrics, Error> {
        match ask(&self.endpoint, "GET", "/metrics").await? {
            (200, text) => Ok(Metrics { text }),
            (status, _) => Err(Error::Failed(format!("/metrics answers {status}"))),
        }
    }

    /// Its version, as it says itself.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn version(&self) -> Result<String, Error> {
        let (_, body) = ask(&self.endpoint, "GET", "/version").await?;
        let version: serde_json::Value = serde_json::from_str(&body)?;
        Ok(version["version"].as_str().unwrap_or_default().to_owned())
    }

    /// Empties its prefix cache. No request may be under way.
    ///
    /// # Errors
    /// Where it refuses.
    pub async fn forget_prefixes(&self) -> Result<(), Error> {
        match ask(&self.endpoint, "POST", "/reset_prefix_cache").await? {
            (200, _) => Ok(()),
            (status, _) => Err(Error::Failed(format!("/reset_prefix_cache answers {status}"))),
        }
    }
}
