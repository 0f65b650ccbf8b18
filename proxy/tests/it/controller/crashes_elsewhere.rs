//! As in `crashes`, of engines that Gearshift does not run itself: siblings that sleep, and engines that an operator's system
//! restarts. They live in this process, and outlive every Gearshift.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Mutex, time::sleep};

use super::{
    fake::{Fake, SLOW},
    house::{BRIEF, LONG_ENOUGH, operate, patiently},
};
use crate::common::{CHAT, Gearshift, MODEL, QUESTION, beside};

const STEPS: [&str; 7] =
    ["draining", "stopping", "releasing", "starting", "verifying", "warming", "slow_start"];

/// So often asked, an engine that says it is ill has been found away, and seen so.
const SEEN_ILL: u32 = 10;

/// One backend, `left`, and the folder that outlives Gearshift.
struct Lodge {
    folder: Arc<TempDir>,
    config: String,
    gearshift: Gearshift,
}

impl Lodge {
    /// Opens it, and waits until the engine serves.
    async fn open(slow_start: &str, profiles: &str, backend: &str) -> Self {
        let config = format!(
            "listen: 127.0.0.1:0\nadmin: {{address: '127.0.0.1:0'}}\nworkers: 1\nmodels: {{{MODEL}: {{}}}}\n\
             profiles: {{{profiles}}}\n\
             fleet: {{health_interval: 100ms, scrape_interval: 100ms, detect_interval: 300ms}}\n\
             controller: {{slow_start: {slow_start}, warm_up_requests: 1}}\nbackends:\n  - {{name: left, model: {MODEL}, \
             profile: plain, profiles: [plain, caching], {backend}}}\n"
        );
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let gearshift = Gearshift::launch_in(folder.clone(), &config).await;
        gearshift.fleet_ready().await;
        Self { folder, config, gearshift }
    }

    async fn shift(&self) {
        let wish = json!({"backend": "left", "profile": "caching", "force": true});
        let answer = operate(self.gearshift.admin, "/controller/shift", &wish).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The journal, as a crash would leave it.
    fn journal(&self) -> Value {
        let text = std::fs::read_to_string(self.folder.path().join("controller-state.json"));
        serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()
    }

    /// Waits until the switch has come to this step, or further: on a busy machine a short one may be over before anybody looks.
    async fn comes_to(&self, step: &str) {
        let place = |step: &str| STEPS.iter().position(|other| *other == step);
        let there = async {
            loop {
                let book = self.journal();
                let switch = &book["backends"]["left"]["switch"];
                let at = switch["step"].as_str().map(place);
                let over = book["history"].as_array().is_some_and(|all| !all.is_empty());
                if over || at.is_some_and(|at| at >= place(step)) {
                    return;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        patiently(step, there).await;
    }

    /// Kills Gearshift where it stands, and starts another.
    async fn crash(self) -> Self {
        let Self { folder, config, gearshift } = self;
        // Killed and reaped.
        drop(gearshift);
        let gearshift = Gearshift::launch_in(folder.clone(), &config).await;
        Self { folder, config, gearshift }
    }

    /// Waits for the end of the switch, which has this outcome; then requests flow.
    async fn ends(&self, outcome: &str) {
        let over = async {
            loop {
                let said = self.gearshift.operate("/controller").await.json();
                if let Some(last) = said["history"].as_array().and_then(|all| all.last().cloned()) {
                    return last;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let last = patiently("the switch to end", over).await;
        assert_eq!(last["outcome"], outcome, "{last}");
        self.gearshift.fleet_ready().await;
        for _ in 0..10 {
            assert_eq!(self.gearshift.post(CHAT, QUESTION).await.status, 200);
        }
    }
}

/// Two engines on one accelerator.
async fn siblings(slow_start: &str) -> (Lodge, Arc<Fake>, Arc<Fake>) {
    let (plain, caching) = (Fake::new(false), Fake::new(true));
    let (one, other) = (plain.beside().await, caching.beside().await);
    let lodge = Lodge::open(
        slow_start,
        "plain: {prefix_caching: false}, caching: {prefix_caching: true}",
        &format!("url: 'http://{one}', actuator: {{sleep: {{siblings: {{caching: 'http://{other}'}}}}}}"),
    )
    .await;
    patiently("the sibling to sleep", caching.sleeps()).await;
    plain.slow.store(true, SeqCst);
    caching.slow.store(true, SeqCst);
    (lodge, plain, caching)
}

async fn gearshift_dies_among_siblings(step: &str) {
    let (lodge, plain, caching) = siblings(BRIEF).await;
    lodge.shift().await;
    lodge.comes_to(step).await;
    let lodge = lodge.crash().await;
    lodge.ends("done").await;
    assert!(plain.asleep.load(SeqCst) && !caching.asleep.load(SeqCst), "one is awake");
}

#[tokio::test]
async fn a_sibling_that_falls_ill_goes_back_to_sleep() {
    let (lodge, plain, caching) = siblings(LONG_ENOUGH).await;
    lodge.shift().await;
    lodge.comes_to("slow_start").await;
    caching.ill.store(true, SeqCst);
    lodge.ends("rolled_back").await;
    assert!(!plain.asleep.load(SeqCst) && caching.asleep.load(SeqCst), "one is awake");
}

/// An operator's system. It restarts the engine, which is away for a while; an order that it knows is the same order. It answers
/// at once, or when the engine is back.
async fn operators_system(engine: Arc<Fake>, answers_late: bool) -> (String, Arc<Mutex<HashSet<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let known = Arc::new(Mutex::new(HashSet::new()));
    let orders = known.clone();
    beside(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (engine, known) = (engine.clone(), known.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (engine, known) = (engine.clone(), known.clone());
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let order: Value = serde_json::from_slice(&body).unwrap();
                    if known.lock().await.insert(order["id"].as_str().unwrap().to_owned()) {
                        engine.ill.store(true, SeqCst);
                        let engine = engine.clone();
                        beside(async move {
                            let before = engine.said_ill.load(SeqCst);
                            sleep(2 * SLOW).await;
                            // On a busy machine Gearshift looks later.
                            while engine.said_ill.load(SeqCst) < before + SEEN_ILL {
                                sleep(SLOW / 10).await;
                            }
                            engine.ill.store(false, SeqCst);
                        });
                    }
                    while answers_late && engine.ill.load(SeqCst) {
                        sleep(SLOW / 10).await;
                    }
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            beside(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, orders)
}

/// An engine elsewhere, whose profiles differ in what it does not show.
async fn elsewhere(slow_start: &str, answers_late: bool) -> (Lodge, Arc<Fake>, Arc<Mutex<HashSet<String>>>) {
    let engine = Fake::new(false);
    let address = engine.beside().await;
    let (hook, orders) = operators_system(engine.clone(), answers_late).await;
    let lodge = Lodge::open(
        slow_start,
        "plain: {max_num_seqs: 8}, caching: {max_num_seqs: 16}",
        &format!(
            "url: 'http://{address}', actuator: {{webhook: {{url: '{hook}', secret: s, start_timeout: 60s}}}}"
        ),
    )
    .await;
    engine.slow.store(true, SeqCst);
    (lodge, engine, orders)
}

async fn gearshift_dies_of_an_engine_elsewhere(step: &str) {
    let (lodge, engine, orders) = elsewhere(BRIEF, false).await;
    lodge.shift().await;
    lodge.comes_to(step).await;
    if step == "starting" {
        patiently("the engine to be seen away, and back before the next Gearshift is there", async {
            let saw = || lodge.journal()["backends"]["left"]["switch"]["was_away"] != false;
            while !saw() || engine.ill.load(SeqCst) {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    let lodge = lodge.crash().await;
    lodge.ends("done").await;
    assert_eq!(orders.lock().await.len(), 1, "it is not ordered back");
}

#[tokio::test]
async fn an_engine_elsewhere_that_falls_ill_is_ordered_back() {
    let (lodge, engine, orders) = elsewhere(LONG_ENOUGH, false).await;
    lodge.shift().await;
    lodge.comes_to("slow_start").await;
    engine.ill.store(true, SeqCst);
    lodge.ends("rolled_back").await;
    assert_eq!(orders.lock().await.len(), 2);
}

/// When its answer comes, the engine that was away is back: nobody would see it away any more.
#[tokio::test]
async fn a_system_that_answers_once_the_engine_is_back_is_taken_at_its_word() {
    let (lodge, _, orders) = elsewhere(BRIEF, true).await;
    lodge.shift().await;
    lodge.ends("done").await;
    assert_eq!(orders.lock().await.len(), 1, "it is not ordered back");
}

macro_rules! at_steps {
    ($($name:ident: $dies:ident, $step:literal;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $dies($step).await;
            }
        )*
    };
}

at_steps! {
    siblings_draining: gearshift_dies_among_siblings, "draining";
    siblings_stopping: gearshift_dies_among_siblings, "stopping";
    siblings_starting: gearshift_dies_among_siblings, "starting";
    siblings_verifying: gearshift_dies_among_siblings, "verifying";
    siblings_warming: gearshift_dies_among_siblings, "warming";
    siblings_in_the_slow_start: gearshift_dies_among_siblings, "slow_start";
    elsewhere_draining: gearshift_dies_of_an_engine_elsewhere, "draining";
    elsewhere_starting: gearshift_dies_of_an_engine_elsewhere, "starting";
    elsewhere_verifying: gearshift_dies_of_an_engine_elsewhere, "verifying";
    elsewhere_warming: gearshift_dies_of_an_engine_elsewhere, "warming";
    elsewhere_in_the_slow_start: gearshift_dies_of_an_engine_elsewhere, "slow_start";
}
