//! A real vLLM server, started for a measurement and ended with it.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    client::{SERVED, ask},
    plan::{BLOCKS, DTYPE, MODEL_LEN},
};
use crate::{
    Error,
    bench::process::{self, Process},
    driver::Endpoint,
    procfs::ProcessTree,
};

/// Where vLLM and the model are.
#[derive(Debug, Clone)]
pub struct Installation {
    /// A virtual environment with vLLM for CPUs.
    pub environment: PathBuf,
    /// The model's directory, in Hugging Face's form.
    pub model: PathBuf,
}

const START: Duration = Duration::from_secs(420);
const POLL: Duration = Duration::from_millis(200);
/// Its processes end one after another; ended harshly they would leave shared memory behind.
const GRACE_S: i64 = 20;

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    endpoint: Endpoint,
}

impl Server {
    /// Starts a server with `flags` and waits until it answers; its log goes to `log`.
    ///
    /// # Errors
    /// Where it ends before that or takes more than seven minutes.
    pub async fn start(installed: &Installation, flags: &[String], log: &Path) -> Result<Self, Error> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = process::command(&installed.environment.join("bin/vllm"), None);
        command.arg("serve").arg(&installed.model).args(flags).args(common_flags(port)).envs(ENVIRONMENT);
        let process = Process::spawn(command, log)?.with_grace(GRACE_S);
        let endpoint = Endpoint::resolve(&format!("http://127.0.0.1:{port}"))?;
        let mut server = Self { process, endpoint };
        server.answering().await?;
        Ok(server)
    }

    async fn answering(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START;
        loop {
            if matches!(ask(&self.endpoint, "GET", "/health").await, Ok((200, _))) {
                return Ok(());
            }
            if !self.process.is_running()? {
                return Err(Error::Failed(format!("vllm ended:\n{}", self.process.last_words())));
            }
            if Instant::now() > deadline {
                return Err(Error::Failed(format!("vllm does not answer after {} s", START.as_secs())));
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

/// Nothing is fetched or sent; one GiB is more KV cache than the plan's blocks take; the endpoint that empties the prefix
/// cache is open.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("HF_HUB_OFFLINE", "1"),
    ("VLLM_NO_USAGE_STATS", "1"),
    ("DO_NOT_TRACK", "1"),
    ("VLLM_CPU_KVCACHE_SPACE", "1"),
    ("VLLM_SERVER_DEV_MODE", "1"),
];

fn common_flags(port: u16) -> [String; 8] {
    [
        format!("--served-model-name={SERVED}"),
        "--host=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--dtype={DTYPE}"),
        format!("--max-model-len={MODEL_LEN}"),
        format!("--num-gpu-blocks-override={BLOCKS}"),
        "--enforce-eager".to_owned(),
        "--disable-uvicorn-access-log".to_owned(),
    ]
}

/// A scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// The sum over all samples of a counter; 0 where it has none.
    pub fn total(&self, name: &str) -> f64 {
        self.samples(name).map(|(_, value)| value).sum()
    }

    /// A counter by one of its labels, in the order of the scrape.
    pub fn by_label<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.samples(name).filter_map(move |(labels, value)| Some((label_of(labels, label)?, value)))
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(labelled) => labelled.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.trim().parse().ok()?))
        })
    }
}

fn label_of<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_is_read_by_name_and_label() {
        let text = "# TYPE vllm:hits_total counter\n\
                    vllm:hits_total{engine=\"0\",model_name=\"m\"} 128.0\n\
                    vllm:hits_total{engine=\"1\",model_name=\"m\"} 2.0\n\
                    vllm:hits_total_created{engine=\"0\"} 1.7e+09\nplain 3\n";
        let metrics = Metrics { text: text.to_owned() };
        assert_eq!(metrics.total("vllm:hits_total"), 130.0);
        assert_eq!(metrics.total("plain"), 3.0);
        assert_eq!(metrics.total("absent"), 0.0);
        let engines: Vec<_> = metrics.by_label("vllm:hits_total", "engine").collect();
        assert_eq!(engines, [("0", 128.0), ("1", 2.0)]);
    }
}
