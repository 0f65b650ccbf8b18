//! Gearshift with engines that it runs itself, in a folder that outlives it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Method;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use super::fake;
use crate::common::{Answer, CHAT, Client, Gearshift, MODEL, QUESTION, post, request};

/// A slow start that is soon over.
pub(crate) const BRIEF: &str = "800ms";
/// One in which something can be done, on a busy machine too.
pub(crate) const LONG_ENOUGH: &str = "5s";

const STEPS: [&str; 7] =
    ["draining", "stopping", "releasing", "starting", "verifying", "warming", "slow_start"];

/// How far a switch has come: whether it is on the way back, and at which of the [steps](STEPS).
type Place = (bool, usize);
/// Where one is that has ended.
const OVER: Place = (true, STEPS.len());

fn place(back: bool, step: &str) -> Place {
    (back, STEPS.iter().position(|other| *other == step).unwrap())
}

/// Two engines under the `process` actuator; `left` is shifted.
pub(crate) struct House {
    folder: Arc<TempDir>,
    config: String,
    pub(crate) gearshift: Gearshift,
    /// Whose engines end with it.
    _engines: Engines,
}

/// Ends the engines of a folder with the test: they outlive Gearshift, which is what they are for.
struct Engines(Arc<TempDir>);

/// As [`within`](crate::common::within), for what several processes have to start for on a busy machine.
pub(crate) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(120);
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// What prints the memory in use: much once after an engine ended, then little.
fn probe(folder: &Path, port: u16) -> String {
    let file = folder.join(format!("memory-{port}"));
    let file = file.display();
    format!("[sh, -c, 'if [ -e {file} ]; then cat {file}; rm {file}; else echo 100; fi']")
}

/// A port for an engine that comes and goes. Below those that the system gives away, for it would give this one to another
/// test while the engine is gone.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 9_000).unwrap();
    let mut ports = std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, SeqCst)) % 9_000);
    ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// The configuration of a house.
fn config(folder: &Path, on_exit: &str, slow_start: &str, controller: &str) -> String {
    let backend = |name: &str, port: u16| {
        format!(
            "  - name: {name}\n    url: http://127.0.0.1:{port}\n    model: {MODEL}\n    hardware: h100_sxm\n    profile: plain\n    \
             profiles: [plain, caching, broken]\n    actuator:\n      process:\n        command: {}\n        \
             env: {}\n        stop_grace: 2s\n        start_timeout: 20s\n        on_exit: {on_exit}\n        \
             memory_probe: {}\n",
            fake::command(),
            fake::environment(folder),
            probe(folder, port),
        )
    };
    format!(
        "listen: 127.0.0.1:0\nadmin: {{address: '127.0.0.1:0'}}\nworkers: 1\nmodels: {{{MODEL}: {{catalog: Qwen/Qwen3-8B}}}}\n\
         profiles:\n  plain: {{prefix_caching: false}}\n  caching: {{prefix_caching: true}}\n  \
         broken: {{prefix_caching: true, max_num_seqs: 13}}\n\
         fleet: {{health_interval: 200ms, scrape_interval: 100ms, detect_interval: 500ms}}\n\
         controller: {{slow_start: {slow_start}, warm_up_requests: 1, drain: 20s, {controller}}}\n\
         backends:\n{}{}",
        backend("left", free_port()),
        backend("right", free_port()),
    )
}

impl House {
    /// Opens it, and waits until both engines serve.
    pub(crate) async fn open(on_exit: &str) -> Self {
        Self::open_with(on_exit, "mode: advisory").await
    }

    /// As [`open`](Self::open), with settings of the controller.
    pub(crate) async fn open_with(on_exit: &str, controller: &str) -> Self {
        let house = Self::open_early(on_exit, controller, &[]).await;
        house.is_ready().await;
        house
    }

    /// As [`open`](Self::open), with a slow start that is [long enough](LONG_ENOUGH).
    pub(crate) async fn open_at_length(on_exit: &str) -> Self {
        let house = Self::launch(on_exit, LONG_ENOUGH, "mode: advisory", &[]).await;
        house.is_ready().await;
        house
    }

    /// Opens it before its engines answer. `files`, by name and content, are in the folder: engines read them.
    pub(crate) async fn open_early(on_exit: &str, controller: &str, files: &[(&str, &str)]) -> Self {
        Self::launch(on_exit, BRIEF, controller, files).await
    }

    async fn launch(on_exit: &str, slow_start: &str, controller: &str, files: &[(&str, &str)]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let config = config(folder.path(), on_exit, slow_start, controller);
        let gearshift = Gearshift::launch_in(folder.clone(), &config).await;
        Self { _engines: Engines(folder.clone()), folder, config, gearshift }
    }

    /// Kills Gearshift where it stands, and starts another.
    pub(crate) async fn crash(self) -> Self {
        let Self { folder, config, gearshift, _engines } = self;
        // Killed and reaped.
        drop(gearshift);
        let gearshift = Gearshift::launch_in(folder.clone(), &config).await;
        Self { folder, config, gearshift, _engines }
    }

    /// A question that takes the engines so long.
    pub(crate) fn taking(milliseconds: u64) -> String {
        let content = format!("take {milliseconds} ms");
        json!({"model": MODEL, "messages": [{"role": "user", "content": content}]}).to_string()
    }

    /// Puts a file without actuators into the place of its configuration.
    pub(crate) async fn take_actuators_out(&mut self) {
        let mut in_actuator = false;
        let stays = |line: &&str| {
            let indent = line.len() - line.trim_start().len();
            in_actuator = line.trim_start().starts_with("actuator:") || (in_actuator && indent > 4);
            !in_actuator
        };
        let lines: Vec<&str> = self.config.lines().filter(stays).collect();
        let config = format!("{}\n", lines.join("\n"));
        self.gearshift.reload(&config).await;
        self.config = config;
    }

    /// Puts a file that does not list this profile for `left` any more into the place of its configuration.
    pub(crate) async fn unlist(&mut self, profile: &str) {
        let config = self.config.replacen(&format!(", {profile}, broken]"), ", broken]", 1);
        assert_ne!(config, self.config);
        self.gearshift.reload(&config).await;
        self.config = config;
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks for a switch of `left`.
    pub(crate) async fn shift(&self, profile: &str) -> Answer {
        operate(self.gearshift.admin, "/controller/shift", &json!({"backend": "left", "profile": profile}))
            .await
    }

    /// What the controller says.
    pub(crate) async fn controller(&self) -> Value {
        self.gearshift.operate("/controller").await.json()
    }

    /// What the journal says of `left`, as a crash would leave it.
    pub(crate) fn journal(&self) -> Value {
        self.book()["backends"]["left"].clone()
    }

    fn book(&self) -> Value {
        let text = std::fs::read_to_string(self.file("controller-state.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// How far the only switch of `left` has come; `None` before it begins.
    fn reached(&self) -> Option<Place> {
        let book = self.book();
        let switch = &book["backends"]["left"]["switch"];
        let over = book["history"].as_array().is_some_and(|all| !all.is_empty()).then_some(OVER);
        switch["step"].as_str().map(|step| place(!switch["back"].is_null(), step)).or(over)
    }

    /// Waits until the switch of `left` has come to this step on its way there, and no further.
    pub(crate) async fn comes_to(&self, step: &str) {
        let reached = self.comes_as_far_as(false, step).await;
        assert_eq!(reached, place(false, step), "{step} was over before anybody looked");
    }

    /// Waits until the switch of `left` has come to this step, on the way back or not, or further: on a busy machine a short step
    /// may be over before anybody looks.
    pub(crate) async fn comes_as_far_as(&self, back: bool, step: &str) -> Place {
        patiently(step, async {
            loop {
                if let Some(reached) = self.reached().filter(|reached| *reached >= place(back, step)) {
                    return reached;
                }
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Waits for the end of the switch; the last entry of the history.
    pub(crate) async fn ends(&self) -> Value {
        let over = async {
            loop {
                let said = self.controller().await;
                let busy = said["backends"].as_array().is_none_or(|all| {
                    all.len() < 2 || all.iter().any(|backend| !backend["switch"].is_null())
                });
                if let (false, Some(last)) = (busy, said["history"].as_array().and_then(|all| all.last())) {
                    return last.clone();
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        patiently("the switch to end", over).await
    }

    /// The engines that ever started and still run.
    pub(crate) fn engines(&self) -> Vec<i32> {
        engines(self.folder.path())
    }

    /// Kills the engine of `left`, if one runs.
    pub(crate) fn kill_engine(&self) {
        if let Some(pid) = self.journal()["engine"]["pid"].as_i64() {
            let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
        }
    }

    /// Waits until every backend is ready.
    pub(crate) async fn is_ready(&self) {
        let ready = async {
            loop {
                let fleet = self.gearshift.fleet().await;
                if fleet["backends"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|backend| backend["availability"] == "ready")
                {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        patiently("every backend to be ready", ready).await;
    }

    /// Two engines and no more, both ready, requests answered, `left` in this profile by its own word.
    pub(crate) async fn is_sound(&self, profile: &str) {
        self.is_ready().await;
        assert_eq!(self.engines().len(), 2, "exactly one engine for each backend");
        let caching = profile == "caching";
        self.gearshift
            .fleet_is("the profile to be what it should be", |backend| {
                let is_left = backend["id"] == "left";
                backend["mismatches"] == json!([])
                    && (!is_left || backend["detected"]["knobs"]["prefix_caching"] == caching)
            })
            .await;
        assert_eq!(self.journal()["profile"], profile);
        for _ in 0..20 {
            assert_eq!(self.gearshift.post(CHAT, QUESTION).await.status, 200);
        }
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        for pid in engines(self.0.path()) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

fn engines(folder: &Path) -> Vec<i32> {
    let starts = std::fs::read_to_string(folder.join("starts")).unwrap_or_default();
    // What has no end yet is being written.
    let lines = starts.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let pids = lines.map(|line| line.parse().unwrap());
    pids.filter(|&pid| runs(pid)).collect()
}

/// Whether a process runs; one that ended and was not reaped does not.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next().unwrap());
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() && state.is_some_and(|state| state != 'Z')
}

/// Posts to the admin listener.
pub(crate) async fn operate(admin: SocketAddr, path: &str, body: &Value) -> Answer {
    Client::http1(admin).await.ask(post(path, body.to_string())).await
}

/// Posts nothing to the admin listener.
pub(crate) async fn tell(admin: SocketAddr, path: &str) -> Answer {
    Client::http1(admin).await.ask(request(Method::POST, path, "")).await
}
