//! A proxy while it is measured.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{
    Case, Proxy,
    lineup::{Entry, Learning},
    process::Process,
    stub::MODEL,
};
use crate::{
    Error,
    driver::{ChatRequest, Connection, Endpoint, ExchangeError, Expected, Job, fetch},
    procfs::ProcessTree,
};

/// How long a proxy may take to answer its first request.
const START: Duration = Duration::from_secs(15);
/// Engines that a decision chooses among where the learner's share is measured.
const ENGINES: usize = 8;
/// Time for the learner, enough on any machine: what is asked about is the same everywhere.
const BUDGET: &str = "10ms";
/// Between two looks whether it does.
const RETRY: Duration = Duration::from_millis(50);

/// A proxy that runs, or the engine itself. Dropping it ends the proxy.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) proxy: Proxy,
    pub(crate) endpoint: Endpoint,
    process: Option<Process>,
    _folder: Option<TempDir>,
}

impl Subject {
    /// Starts a proxy on `core` before the engine at `upstream`, and waits until it answers.
    pub(super) async fn start(entry: &Entry, upstream: &Endpoint, core: usize) -> Result<Self, Error> {
        let Some(program) = &entry.program else {
            let endpoint = upstream.clone();
            return Ok(Self { proxy: entry.proxy, endpoint, process: None, _folder: None });
        };
        let folder = tempfile::tempdir()?;
        let [listen, admin] = free_pair()?;
        let (name, text) = configuration(entry, listen, admin, upstream)?;
        let file = folder.path().join(name);
        std::fs::write(&file, text).map_err(Error::file(&file))?;
        let arguments = arguments(entry.proxy, &file, &folder);
        let arguments: Vec<&OsStr> = arguments.iter().map(|argument| argument.as_os_str()).collect();
        let process = Process::start(program, &arguments, core, &folder.path().join("log"))?;
        let endpoint = Endpoint::from(listen);
        let mut subject =
            Self { proxy: entry.proxy, endpoint, process: Some(process), _folder: Some(folder) };
        subject.ready().await?;
        if entry.bundle.is_some() {
            subject.decides(&Endpoint::from(admin)).await?;
        }
        Ok(subject)
    }

    /// Its processes; none where there is no proxy.
    pub(crate) fn tree(&self) -> Option<ProcessTree> {
        self.process.as_ref().map(Process::tree)
    }

    /// Its name, with the end of its log where it has one: for errors.
    pub(crate) fn describe(&self) -> String {
        let log = self.process.as_ref().map(Process::last_words).filter(|log| !log.is_empty());
        let name = self.proxy.name();
        log.map_or_else(|| name.to_owned(), |log| format!("{name} (its log ends: {log})"))
    }

    /// Waits until its bundle decides.
    async fn decides(&mut self, admin: &Endpoint) -> Result<(), Error> {
        let until = Instant::now() + START;
        loop {
            let metrics = fetch(admin, "/metrics").await?;
            if memchr::memmem::find(&metrics, b"\ngearshift_bundle_info{").is_some() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Error::Failed(format!("{}: its bundle does not decide", self.describe())));
            }
            sleep(RETRY).await;
        }
    }

    async fn ready(&mut self) -> Result<(), Error> {
        let request =
            ChatRequest { model: MODEL.into(), body_bytes: Case::Request1k.body_bytes(), stream: false };
        let job = Job::chat(&self.endpoint, &request, Expected::Body);
        let until = Instant::now() + START;
        loop {
            let Err(error) = once(&job).await else { return Ok(()) };
            let running = self.process.as_mut().is_none_or(|process| process.is_running().unwrap_or(false));
            if !running || Instant::now() > until {
                let state = if running { "does not answer" } else { "ended" };
                return Err(Error::Failed(format!("{} {state}: {error}", self.describe())));
            }
            sleep(RETRY).await;
        }
    }
}

async fn once(job: &Job) -> Result<(), ExchangeError> {
    let mut connection = Connection::open(&job.endpoint, 4096).await?;
    job.expected.check(connection.exchange(&job.request, |_| {}).await?).map(drop)
}

/// An address nobody listens on. Its port lies below those that the kernel gives to outgoing connections,
/// of which a benchmark makes many.
fn free_address() -> Result<SocketAddr, Error> {
    std::iter::repeat_with(|| SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(18_000..32_000))))
        .take(1_000)
        .find(|&address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| Error::Failed("no free port between 18000 and 32000".into()))
}

/// Two that differ: once in thousands of starts, chance gives one twice.
pub(crate) fn free_pair() -> Result<[SocketAddr; 2], Error> {
    let one = free_address()?;
    loop {
        let other = free_address()?;
        if other != one {
            return Ok([one, other]);
        }
    }
}

fn arguments(proxy: Proxy, file: &std::path::Path, folder: &TempDir) -> Vec<PathBuf> {
    match proxy {
        Proxy::Direct => Vec::new(),
        Proxy::Gearshift
        | Proxy::Fleet
        | Proxy::Learner
        | Proxy::TracedNone
        | Proxy::TracedTenth
        | Proxy::TracedAll => {
            vec!["serve".into(), "--config".into(), file.into()]
        }
        Proxy::Nginx => {
            vec!["-p".into(), folder.path().into(), "-e".into(), "stderr".into(), "-c".into(), file.into()]
        }
        Proxy::Haproxy => vec!["-db".into(), "-f".into(), file.into()],
    }
}

/// Name and text of a proxy's configuration file: one core, one backend, kept-alive connections on both
/// sides, streams passed on as they come.
fn configuration(
    entry: &Entry,
    listen: SocketAddr,
    admin: SocketAddr,
    upstream: &Endpoint,
) -> Result<(&'static str, String), Error> {
    let upstream = upstream.authority();
    let learner = entry.bundle.as_ref().map(learner).transpose()?.unwrap_or_default();
    Ok(match entry.proxy {
        Proxy::Direct => ("", String::new()),
        Proxy::Gearshift | Proxy::TracedNone | Proxy::TracedTenth | Proxy::TracedAll => {
            let traced = entry.proxy.sample().map(|sample| traced(upstream, sample)).unwrap_or_default();
            ("gearshift.yaml", gearshift(listen, admin, &[format!("http://{upstream}")]) + &traced)
        }
        Proxy::Fleet | Proxy::Learner => {
            let engines: Vec<_> = (0..ENGINES).map(|at| format!("http://{upstream}/replica-{at}")).collect();
            ("gearshift.yaml", gearshift(listen, admin, &engines) + &learner)
        }
        Proxy::Nginx => ("nginx.conf", nginx(listen, upstream)),
        Proxy::Haproxy => ("haproxy.cfg", haproxy(listen, upstream)),
    })
}

/// A fleet whose hardware and model are known, so that the whole decision is made for each request.
fn gearshift(listen: SocketAddr, admin: SocketAddr, engines: &[String]) -> String {
    let engine = |(at, url): (usize, &String)| {
        format!("  - {{ name: stub-{at}, url: '{url}', hardware: h100_sxm, model: {MODEL} }}\n")
    };
    let engines: String = engines.iter().enumerate().map(engine).collect();
    format!(
        "listen: {listen}
admin: {{ address: {admin} }}
workers: 1
models:
  {MODEL}:
    numbers: {{ parameters_b: 8.03, layers: 32, hidden: 4096, heads: 32, kv_heads: 8, head_dim: 128, context: 131072 }}
backends:
{engines}"
    )
}

/// The stub engine is the collector too.
fn traced(collector: &str, sample: f64) -> String {
    format!("telemetry: {{ tracing: {{ endpoint: 'http://{collector}', sample: {sample} }} }}\n")
}

/// The bundle's directory as the folder of bundles, and a budget that lets it be asked about all engines.
fn learner(learning: &Learning) -> Result<String, Error> {
    let Learning { bundle, onnxruntime } = learning;
    let paths = serde_json::json!({"models": bundle, "onnxruntime": onnxruntime});
    Ok(format!("learner: {{ budget: {BUDGET} }}\npaths: {}\n", serde_json::to_string(&paths)?))
}

fn nginx(listen: SocketAddr, upstream: &str) -> String {
    format!(
        "daemon off;
pid nginx.pid;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  upstream engine {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen {listen} backlog=4096;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"
    )
}

fn haproxy(listen: SocketAddr, upstream: &str) -> String {
    format!(
        "global
  nbthread 1
  maxconn 9000
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend clients
  bind {listen} backlog 4096
  default_backend engine
backend engine
  server engine {upstream}
"
    )
}
