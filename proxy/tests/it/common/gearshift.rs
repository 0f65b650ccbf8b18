//! The binary: started with a configuration, asked, told, and ended.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use http::{Method, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Answer, Body, Client, Open, Raw, Scrape, post, request, within};

/// What the log's reader does after the next line.
#[derive(Default)]
struct Reading {
    /// It goes.
    deaf: AtomicBool,
    /// It stays, and reads no more.
    hangs: AtomicBool,
}

/// `gearshift serve` with a configuration of its own. Killed and reaped when dropped.
pub(crate) struct Gearshift {
    /// The first listener for clients.
    pub(crate) address: SocketAddr,
    /// The listener for operators.
    pub(crate) admin: SocketAddr,
    /// Every listener for clients.
    pub(crate) addresses: Vec<SocketAddr>,
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    reader: Option<JoinHandle<()>>,
    reading: Arc<Reading>,
    /// Dropped, it lets a reader that hangs go.
    hold: Option<std::sync::mpsc::Sender<()>>,
    log: Vec<String>,
    reloads: u32,
    directory: Arc<TempDir>,
}

impl Gearshift {
    /// Starts it, and waits until it takes requests.
    pub(crate) async fn start(config: impl ToString) -> Self {
        let proxy = Self::launch(config).await;
        proxy.ready().await;
        proxy
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn launch(config: impl ToString) -> Self {
        Self::launch_in(Arc::new(tempfile::tempdir().unwrap()), config).await
    }

    /// As [`launch`](Self::launch), in a folder that may hold what an earlier one left.
    pub(crate) async fn launch_in(directory: Arc<TempDir>, config: impl ToString) -> Self {
        let path = directory.path().join("gearshift.yaml");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gearshift"))
            .args(["serve", "--log-format", "json", "--config"])
            .arg(&path)
            .env_remove("GEARSHIFT_LOG")
            .env_remove("ORT_DYLIB_PATH")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let reading = Arc::new(Reading::default());
        let (hold, held) = std::sync::mpsc::channel();
        let (lines, reader) = read_lines(&mut child, reading.clone(), held);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (addresses, log) = (Vec::new(), Vec::new());
        let mut proxy = Self {
            address: nowhere,
            admin: nowhere,
            addresses,
            child,
            lines,
            reader: Some(reader),
            reading,
            hold: Some(hold),
            reloads: 0,
            log,
            directory,
        };
        loop {
            let line = proxy.logged("serves\"|listening for|gearshift: ").await;
            let fields =
                serde_json::from_str::<Value>(&line).map(|line| line["fields"].clone()).unwrap_or_default();
            let address = || fields["address"].as_str().unwrap().parse().unwrap();
            match fields["message"].as_str() {
                Some("listening for clients") => proxy.addresses.push(address()),
                Some("listening for operators") => proxy.admin = address(),
                Some(_) => break,
                None => panic!("it does not start: {line}"),
            }
        }
        proxy.address = proxy.addresses[0];
        proxy
    }

    /// Waits for a log line that contains one of the texts, which `|` separates.
    pub(crate) async fn logged(&mut self, texts: &str) -> String {
        let line = within(texts, async {
            loop {
                let line = self.lines.recv().await?;
                self.log.push(line.clone());
                if texts.split('|').any(|text| line.contains(text)) {
                    return Some(line);
                }
            }
        });
        line.await.unwrap_or_else(|| panic!("it ended without logging {texts:?}"))
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        within("readiness", async { while self.operate("/readyz").await.status != 200 {} }).await;
    }

    /// Waits until every backend has been found ready.
    pub(crate) async fn fleet_ready(&self) {
        self.fleet_is("every backend to be ready", |backend| backend["availability"] == "ready").await;
    }

    /// Waits until `all` holds for every backend.
    pub(crate) async fn fleet_is(&self, what: &str, all: impl Fn(&Value) -> bool) {
        let is = async { while !self.fleet().await["backends"].as_array().unwrap().iter().all(&all) {} };
        within(what, is).await;
    }

    /// The admin listener's `/fleet`.
    pub(crate) async fn fleet(&self) -> Value {
        self.operate("/fleet").await.json()
    }

    /// Asks the admin listener, without a token.
    pub(crate) async fn operate(&self, path: &str) -> Answer {
        Client::http1(self.admin).await.ask(request(Method::GET, path, "")).await
    }

    /// The metrics now.
    pub(crate) async fn scrape(&self) -> Scrape {
        Scrape::parse(self.operate("/metrics").await.text())
    }

    /// Waits until nothing is in flight: no request, no byte of a body, no work at a backend.
    pub(crate) async fn at_rest(&self) {
        const GAUGES: [&str; 3] = [
            "gearshift_in_flight_requests",
            "gearshift_buffered_body_bytes",
            "gearshift_backend_in_flight_requests",
        ];
        let busy = async || {
            let scrape = self.scrape().await;
            GAUGES.iter().any(|gauge| scrape.sum(gauge, &[]) != 0.0)
        };
        within("nothing to be in flight", async { while busy().await {} }).await;
    }

    /// Sends a request over a connection of its own and reads the whole response.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Client::http1(self.address).await.ask(request).await
    }

    /// Posts JSON over a connection of its own and reads the whole response.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(post(path, body)).await
    }

    /// Gets a path over a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, "")).await
    }

    /// Posts JSON over a connection of its own and reads the response head.
    pub(crate) async fn open(&self, path: &str, body: impl Into<Bytes>) -> Open {
        let mut client = Client::http1(self.address).await;
        Open::new(client.send(post(path, body)).await, client)
    }

    /// A connection for bytes of any kind.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// The configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.directory.path().join("gearshift.yaml")
    }

    /// The folder of the configuration file.
    pub(crate) fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces the configuration file, in one step: half a file would be refused.
    pub(crate) fn write_config(&self, config: &impl ToString) {
        let beside = self.folder().join("gearshift.yaml.new");
        std::fs::write(&beside, config.to_string()).unwrap();
        std::fs::rename(beside, self.config_file()).unwrap();
    }

    /// Replaces the configuration file and waits until it is taken over.
    pub(crate) async fn reload(&mut self, config: impl ToString) {
        self.reloads += 1;
        // Nothing uses this folder: it tells which of the files is meant.
        let mark = format!("reload-{}", self.reloads);
        self.write_config(&format!("{}paths: {{models: {mark}}}\n", config.to_string()));
        self.signal(Signal::HUP);
        let taken_over = async || {
            let models = &self.operate("/config").await.json()["config"]["paths"]["models"];
            models.as_str().unwrap().ends_with(&mark)
        };
        within("the reload", async { while !taken_over().await {} }).await;
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Nobody reads its log any more, from the line after the next one on.
    pub(crate) fn stop_reading(&self) {
        self.reading.deaf.store(true, SeqCst);
    }

    /// Who reads its log hangs from the line after the next one on: the pipe stays open, and fills.
    pub(crate) fn hang_reading(&self) {
        self.reading.hangs.store(true, SeqCst);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("its end", async {
            // It holds the log's other end as long as it lives, where somebody reads it.
            while let Some(line) = self.lines.recv().await {
                self.log.push(line);
            }
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

fn read_lines(
    child: &mut Child,
    reading: Arc<Reading>,
    held: std::sync::mpsc::Receiver<()>,
) -> (mpsc::UnboundedReceiver<String>, JoinHandle<()>) {
    let (write, lines) = mpsc::unbounded_channel();
    let output = BufReader::new(child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut output = output.lines();
        while let Some(Ok(line)) = output.next() {
            if reading.hangs.load(SeqCst) {
                // Nobody waits for lines that do not come.
                drop(write);
                let _ = held.recv();
                return;
            }
            if reading.deaf.load(SeqCst) {
                return;
            }
            // A test that has ended reads no more.
            let _ = write.send(line);
        }
    });
    (lines, reader)
}

impl Drop for Gearshift {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        drop(self.hold.take());
        let _ = self.reader.take().map(JoinHandle::join);
        while let Ok(line) = self.lines.try_recv() {
            self.log.push(line);
        }
        if std::thread::panicking() {
            // Shown with the failure.
            println!("gearshift's log:\n{}", self.log.join("\n"));
        } else {
            let panic = self.log.iter().find(|line| line.contains("panicked"));
            assert!(panic.is_none(), "{panic:?}");
            assert!(status.signal().is_none_or(|signal| signal == 9), "it crashed: {status}");
        }
    }
}
