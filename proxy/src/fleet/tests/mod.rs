//! The fleet against servers that play vLLM, over real sockets. Nothing here sleeps: tests wait for the watcher's
//! conclusions, and the intervals are some milliseconds.

mod engine;
mod stories;

use std::{fmt::Write as _, path::Path, time::Duration};

use gearshift_selector::{
    Availability::{self, Draining, Ready},
    Software,
};

use self::engine::{Engine, Reply, models, ok};
use super::*;

/// A fleet in a test, with the configuration it was last given.
struct Bench {
    fleet: Fleet,
    config: Config,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One backend's lines in the configuration.
fn backend(name: &str, engine: &Engine, more: &str) -> String {
    let mut lines = format!("  - name: {name}\n    url: http://{}\n", engine.address);
    for line in more.lines() {
        writeln!(lines, "    {line}").unwrap();
    }
    lines
}

fn config(backends: &[String], more: &str) -> Config {
    let text = format!("listen: 127.0.0.1:0\n{more}\nbackends:\n{}", backends.concat());
    let mut config = gearshift_config::parse("test.yaml", &text, Path::new("")).unwrap();
    config.fleet = gearshift_config::Fleet {
        health_interval: Duration::from_millis(10),
        // Longer than a busy machine stands still.
        health_timeout: Duration::from_secs(5),
        unhealthy_after: 3,
        scrape_interval: Duration::from_millis(5),
        hang_after: Duration::from_mins(1),
        detect_interval: Duration::from_millis(20),
    };
    config
}

impl Bench {
    fn new(config: Config) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let fleet = Fleet::new(tasks.clone(), stop.clone());
        let mut bench = Self { fleet, config, tasks, stop };
        bench.fleet.apply(&bench.config).unwrap();
        bench
    }

    /// One backend named `a`.
    fn watching(engine: &Engine) -> Self {
        Self::new(config(&[backend("a", engine, "")], ""))
    }

    fn member(&self, id: &str) -> Arc<Member> {
        self.fleet.members().iter().find(|member| member.id().as_str() == id).unwrap().clone()
    }

    /// Waits until the backend is seen so.
    async fn sees(&self, id: &str, availability: Availability) {
        let mut report = self.member(id).report();
        let seen = report.wait_for(|report| report.availability == availability);
        if tokio::time::timeout(Duration::from_secs(20), seen).await.is_err() {
            panic!("{id} is {:?}, not {availability:?}", self.member(id).view(clock::now()));
        }
        assert_eq!(self.member(id).state().availability(), availability);
    }

    /// Waits until what the engine says of itself is so.
    async fn detects(&self, id: &str, wanted: impl Fn(&Detected) -> bool) -> Arc<Detected> {
        let (member, mut changes) = (self.member(id), self.fleet.changes());
        loop {
            changes.mark_unchanged();
            if let Some(detected) = member.detected().filter(|detected| wanted(detected)) {
                return detected;
            }
            changes.changed().await.unwrap();
        }
    }

    fn metrics(&self) -> String {
        let mut page = String::new();
        self.fleet.roster().write_metrics(&mut page);
        page
    }

    fn metric(&self, line: &str) -> Option<f64> {
        let text = self.metrics();
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }
}

/// What drains gets requests where nobody else is left; what is shifted is ended.
#[tokio::test]
async fn one_that_is_shifted_stays_so_to_those_who_still_ask_when_it_leaves() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    let member = bench.member("a");
    bench.fleet.hold(|_| true);
    member.drain(clock::now());
    assert_eq!(member.state().availability(), Availability::Shifting);
    assert_eq!(member.found(), Draining);
}

#[tokio::test]
async fn a_healthy_engine_is_ready_scraped_and_detected() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    let detected = bench.detects("a", |detected| detected.kv_tokens.is_some()).await;
    assert!(detected.serves("tiny") && detected.server_info);
    assert_eq!(detected.version.as_deref(), Some("0.32.0"));
    assert_eq!(detected.software(), Software::vllm("0.32.0"));
    assert!(detected.software().months > Software::vllm("0.19.0").months);

    let state = bench.member("a").state().clone();
    let load = state.scraped().unwrap();
    assert_eq!((load.running, load.waiting), (0, 0));
    assert_eq!(state.kv_tokens(), Some(2_097_152));
    let view = serde_json::to_value(bench.member("a").view(clock::now())).unwrap();
    assert_eq!(view["availability"], "ready");
    assert_eq!(view["url"], format!("http://{}", engine.address));
    assert_eq!(view["prefix_cache"]["hits"], 512.0);
    assert_eq!(view["detected"]["served"][0]["id"], "tiny");
    assert_eq!(view["detected"]["knobs"]["max_num_seqs"], 32);
    assert_eq!(view["in_flight"]["requests"], 0);
}

#[tokio::test]
async fn what_was_learned_in_a_profile_is_there_when_it_comes_back() {
    let engine = Engine::vllm().await;
    let profiles = "profiles: {a: {max_num_seqs: 32}, b: {max_num_seqs: 8}, c: {}}";
    let now = |more: &str| config(&[backend("x", &engine, more)], profiles);
    let state = |bench: &Bench| bench.member("x").state().clone();
    let mut bench = Bench::new(now("profile: a\nprofiles: [a, b]"));
    bench.sees("x", Ready).await;
    let first = state(&bench);
    first.set_share(1);
    bench.fleet.apply(&now("profile: b\nprofiles: [a, b]")).unwrap();
    assert_eq!(first.availability(), Draining);
    let second = state(&bench);
    assert!(!Arc::ptr_eq(&first, &second));
    bench.fleet.apply(&now("profile: a\nprofiles: [a, b]")).unwrap();
    assert!(Arc::ptr_eq(&first, &state(&bench)), "it is the engine that it was");
    assert_eq!(
        (first.availability(), first.scraped()),
        (Availability::Unknown, None),
        "and is found out anew"
    );
    bench.sees("x", Ready).await;
    assert_eq!(second.availability(), Draining);

    for other in ["profile: b\nprofiles: [b, c]", "profile: b\nprofiles: [a, b]\nhardware: h100_sxm"] {
        let before = state(&bench);
        bench.fleet.apply(&now(other)).unwrap();
        bench.fleet.apply(&now("profile: c\nprofiles: [a, c]")).unwrap();
        bench.fleet.apply(&now("profile: a\nprofiles: [a, b]")).unwrap();
        assert!(!Arc::ptr_eq(&before, &state(&bench)), "{other}");
    }
}

#[tokio::test]
async fn metrics_tell_the_state_the_ages_and_the_counts() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    bench.detects("a", |detected| detected.kv_tokens.is_some()).await;
    assert_eq!(bench.metric(r#"gearshift_backend_available{backend="a",state="ready"}"#), Some(1.0));
    assert_eq!(bench.metric(r#"gearshift_backend_available{backend="a",state="down"}"#), Some(0.0));
    assert!(bench.metric(r#"gearshift_backend_scrape_age_seconds{backend="a"}"#).unwrap() < 20.0);
    assert!(bench.metric(r#"gearshift_backend_scrapes_total{backend="a",result="ok"}"#).unwrap() >= 1.0);
    assert!(
        bench.metric(r#"gearshift_backend_health_checks_total{backend="a",result="alive"}"#).unwrap() >= 1.0
    );
    assert_eq!(bench.metric(r#"gearshift_backend_kv_cache_tokens{backend="a"}"#), Some(2_097_152.0));
    assert_eq!(bench.metric(r#"gearshift_backend_mismatches{backend="a"}"#), Some(0.0));
}

#[tokio::test]
async fn probes_keep_their_connections() {
    let engine = Engine::vllm().await;
    keeps_connections(&engine, "").await;
}

#[tokio::test]
async fn http2_engines_are_watched_too() {
    let engine = Engine::vllm().await;
    keeps_connections(&engine, "protocol: http2").await;
}

async fn keeps_connections(engine: &Engine, more: &str) {
    let bench = Bench::new(config(&[backend("a", engine, more)], ""));
    bench.sees("a", Ready).await;
    for path in ["/metrics", "/health", "/v1/models"] {
        engine.asked(path, 2).await;
    }
    let connections = engine.connections();
    for path in ["/metrics", "/health", "/v1/models"] {
        engine.asked(path, 5).await;
    }
    assert_eq!(engine.connections(), connections);
    assert_eq!(bench.metric(r#"gearshift_backend_scrapes_total{backend="a",result="failed"}"#), Some(0.0));
}

#[tokio::test]
async fn the_key_is_sent_and_never_shown() {
    let engine = Engine::vllm().await;
    let bench = Bench::new(config(&[backend("a", &engine, "api_key: hush")], ""));
    bench.sees("a", Ready).await;
    assert_eq!(engine.authorization().as_deref(), Some("Bearer hush"));
    let member = bench.member("a");
    let shown = format!("{member:?} {}", serde_json::to_string(&member.view(clock::now())).unwrap());
    assert!(!shown.contains("hush"));
}

#[tokio::test]
async fn what_the_engine_does_not_confirm_is_told() {
    let engine = Engine::vllm().await;
    let declared = "model: big\nprofile: wide";
    let more = "models:\n  big: {}\nprofiles:\n  wide: { max_num_seqs: 256, max_num_batched_tokens: 2048 }";
    let bench = Bench::new(config(&[backend("a", &engine, declared)], more));
    bench.detects("a", |detected| detected.server_info).await;
    let mut report = bench.member("a").report();
    let report = report.wait_for(|report| !report.mismatches.is_empty()).await.unwrap().mismatches.clone();
    let told: Vec<_> = report.iter().map(|m| (m.what, &*m.declared, &*m.detected)).collect();
    assert_eq!(told, [("model", "big", "tiny, tiny-alias"), ("max_num_seqs", "256", "32")]);
    assert_eq!(bench.metric(r#"gearshift_backend_mismatches{backend="a"}"#), Some(2.0));
}

#[tokio::test]
async fn a_change_of_models_is_seen_and_announced() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    bench.detects("a", |detected| detected.serves("tiny")).await;
    engine.say("/v1/models", models(&["other"]));
    let detected = bench.detects("a", |detected| detected.serves("other")).await;
    assert!(!detected.serves("tiny"));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_leaves_what_was_known() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    let before = bench.detects("a", |detected| detected.kv_tokens.is_some()).await;
    for reply in
        [ok("<html>"), ok(r#"{"data": 5}"#), Reply::Page(500, String::new()), Reply::Page(401, String::new())]
    {
        engine.say("/v1/models", reply);
        engine.asked("/v1/models", 2).await;
        assert_eq!(bench.member("a").detected(), Some(before.clone()));
    }
    bench.sees("a", Ready).await;
}

/// As on a busy engine, or where a program that vLLM runs for `/server_info` is not there for once.
#[tokio::test]
async fn a_question_that_fails_leaves_what_was_known_of_the_same_engine() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    let before = bench.detects("a", |detected| detected.server_info && detected.kv_tokens.is_some()).await;
    assert!(before.version.is_some());
    for reply in [Reply::Page(500, String::new()), Reply::Page(503, String::new()), Reply::Cut("{".into())] {
        for path in ["/version", "/server_info"] {
            engine.say(path, reply.clone());
        }
        engine.asked("/server_info", 2).await;
        assert_eq!(bench.member("a").detected(), Some(before.clone()));
    }
    // Its models are its models; and what stands there after an outage may be another engine.
    engine.say("/v1/models", models(&["other"]));
    let renamed = bench.detects("a", |detected| detected.serves("other")).await;
    assert_eq!((renamed.knobs.max_num_seqs, &renamed.version), (before.knobs.max_num_seqs, &before.version));
    engine.say("/health", Reply::Page(503, String::new()));
    bench.sees("a", Availability::Down).await;
    engine.say("/health", Reply::Page(200, String::new()));
    let another = bench.detects("a", |detected| !detected.server_info).await;
    assert_eq!((another.knobs.max_num_seqs, &another.version), (None, &None));
    assert_eq!(another.knobs.prefix_caching, Some(true), "its metrics page tells");
}

#[tokio::test]
async fn what_an_engine_closes_is_not_known_any_more() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    bench.detects("a", |detected| detected.server_info).await;
    engine.say("/server_info", Reply::Page(404, String::new()));
    let closed = bench.detects("a", |detected| !detected.server_info).await;
    assert_eq!(closed.knobs.max_num_seqs, None);
}

#[tokio::test]
async fn a_reload_keeps_what_stays_starts_what_is_new_and_lets_go_of_what_left() {
    let (stays, leaves, comes) = (Engine::vllm().await, Engine::vllm().await, Engine::vllm().await);
    let two = [backend("stays", &stays, ""), backend("leaves", &leaves, "")];
    let mut bench = Bench::new(config(&two, ""));
    bench.sees("stays", Ready).await;
    bench.sees("leaves", Ready).await;
    let (kept, gone) = (bench.member("stays"), bench.member("leaves"));

    let mut report = gone.report();
    bench.config =
        config(&[backend("comes", &comes, ""), backend("stays", &stays, "price_usd_per_hour: 3")], "");
    bench.fleet.apply(&bench.config).unwrap();
    let ids: Vec<_> = bench.fleet.members().iter().map(|member| member.id().to_string()).collect();
    assert_eq!(ids, ["comes", "stays"]);
    assert!(Arc::ptr_eq(bench.member("stays").state(), kept.state()));
    assert_eq!(kept.state().availability(), Ready);
    assert_eq!(kept.backend().price_usd_per_hour, Some(3.0));
    bench.sees("comes", Ready).await;

    report.wait_for(|report| report.availability == Draining).await.unwrap();
    assert_eq!(gone.state().availability(), Draining);
    assert!(!bench.metrics().contains("leaves"));
}

#[tokio::test]
async fn another_engine_under_the_same_name_starts_anew() {
    let (first, second) = (Engine::vllm().await, Engine::vllm().await);
    let mut bench = Bench::watching(&first);
    bench.sees("a", Ready).await;
    let before = bench.member("a");
    bench.config = config(&[backend("a", &second, "")], "");
    bench.fleet.apply(&bench.config).unwrap();
    assert!(!Arc::ptr_eq(bench.member("a").state(), before.state()));
    bench.sees("a", Ready).await;
}

#[tokio::test]
async fn new_intervals_reach_a_running_watcher() {
    let engine = Engine::vllm().await;
    let mut bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    let before = bench.member("a");
    bench.config.fleet.unhealthy_after = 1;
    bench.fleet.apply(&bench.config).unwrap();
    assert!(Arc::ptr_eq(&bench.member("a"), &before));
    engine.say("/health", Reply::Page(500, String::new()));
    bench.sees("a", Availability::Down).await;
    assert_eq!(bench.member("a").report().borrow().failures, 1);
}

#[tokio::test]
async fn settings_that_cannot_be_used_change_nothing() {
    let engine = Engine::vllm().await;
    let mut bench = Bench::watching(&engine);
    let before = bench.member("a");
    let mut broken = bench.config.clone();
    let mut second = Backend::clone(&broken.backends[0]);
    second.id = BackendId::new("b");
    second.api_key = Some(gearshift_config::Secret::new("a\nb"));
    broken.backends.push(Arc::new(second));
    let message = bench.fleet.apply(&broken).unwrap_err().to_string();
    assert!(message.contains("backend b") && message.contains("api_key"), "{message}");
    assert_eq!(bench.fleet.members().len(), 1);
    assert!(Arc::ptr_eq(&bench.member("a"), &before));
    bench.sees("a", Ready).await;
}

#[tokio::test]
async fn shutdown_ends_every_task() {
    let (a, b) = (Engine::vllm().await, Engine::vllm().await);
    let bench = Bench::new(config(&[backend("a", &a, "protocol: http2"), backend("b", &b, "")], ""));
    bench.sees("a", Ready).await;
    bench.sees("b", Ready).await;
    bench.stop.cancel();
    bench.tasks.close();
    bench.tasks.wait().await;
    assert_eq!(bench.member("a").state().availability(), Draining);
}
