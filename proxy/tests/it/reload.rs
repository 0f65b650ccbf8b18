//! The configuration changes while requests are under way.

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::JoinHandle;

use crate::common::{
    Answer, CHAT, COMPLETION, Client, Engine, Exchange, Gearshift, QUESTION, Raw, STREAMED, Stream, Yaml,
    beside, post, within,
};

const REQUESTS: usize = 1_000;
const RELOADS: usize = 50;

/// What every stream sends over the whole of a test.
const EVENT: &str = "data: {}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Requests that are held at the engines.
#[derive(Default)]
struct Held {
    streams: Vec<Stream>,
    waiting: Vec<Exchange>,
}

impl Held {
    fn len(&self) -> usize {
        self.streams.len() + self.waiting.len()
    }

    fn take(&mut self, exchange: Exchange) {
        if exchange.text() == STREAMED {
            self.streams.push(exchange.events());
        } else {
            self.waiting.push(exchange);
        }
    }
}

/// Half of them streams; a fifth over connections of their own, the others over shared ones.
async fn ask_all(proxy: &Gearshift) -> Vec<JoinHandle<Answer>> {
    let mut shared = Vec::new();
    for _ in 0..10 {
        shared.push(Client::http2(proxy.address).await);
    }
    let mut asked = Vec::new();
    for number in 0..REQUESTS {
        let mut client = match number % 5 {
            0 => Client::http1(proxy.address).await,
            _ => shared[number % shared.len()].share(),
        };
        let question = if number % 2 == 0 { STREAMED } else { QUESTION };
        // Longer than a test waits for anything, for they are held on purpose.
        asked.push(beside(async move {
            let response = client.try_send(post(CHAT, question)).await.unwrap();
            let (head, body) = response.into_parts();
            let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
            Answer { status: head.status, headers: head.headers, body }
        }));
    }
    asked
}

/// A different, valid configuration each time: aliases, an objective, and a backend that comes and goes.
fn variant(engines: &[&Engine; 3], number: usize) -> Yaml {
    let objective = ["latency", "cost", "energy", "throughput"][number % 4];
    let yaml = Yaml::of(&engines[..if number.is_multiple_of(2) { 3 } else { 2 }]);
    yaml.model(&format!("{{aliases: [alias-{number}]}}"))
        .with(&format!("routes: [{{name: default, objective: {objective}}}]"))
        .with(&format!("limits: {{max_in_flight: {}}}", 5_000 + number))
}

#[tokio::test]
async fn a_thousand_requests_outlive_fifty_reloads() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let (mut a, mut b, mut c) = (Engine::start().await, Engine::start().await, Engine::start().await);
    let mut proxy = Gearshift::start(variant(&[&a, &b, &c], 0)).await;
    let asked = ask_all(&proxy).await;
    let mut held = Held::default();
    while held.len() < REQUESTS {
        let next = async {
            tokio::select! { e = a.next() => e, e = b.next() => e, e = c.next() => e }
        };
        held.take(next.await);
    }
    assert_eq!(held.streams.len(), REQUESTS / 2);

    let mut sent = 0;
    for number in 1..=RELOADS {
        proxy.reload(variant(&[&a, &b, &c], number)).await;
        // The new configuration serves, while the requests of the old ones stream on.
        let body = QUESTION.replace("stub", &format!("alias-{number}"));
        let (answer, ()) = tokio::join!(proxy.post(CHAT, body), async {
            let next = async {
                tokio::select! { e = a.next() => e, e = b.next() => e, e = c.next() => e }
            };
            let exchange = next.await;
            assert_eq!(exchange.text(), QUESTION);
            exchange.json(200, COMPLETION);
        });
        assert_eq!(answer.status, 200, "after reload {number}: {answer:?}");
        if number % 10 == 0 {
            sent += 1;
            for stream in &held.streams {
                stream.send(EVENT).await;
            }
        }
    }
    for stream in held.streams {
        stream.finish(&[DONE]).await;
    }
    held.waiting.into_iter().for_each(|exchange| exchange.json(200, COMPLETION));
    let streamed = EVENT.repeat(sent) + DONE;
    for (number, answer) in asked.into_iter().enumerate() {
        let answer = within("the end of a held request", answer).await.unwrap();
        let expected = if number % 2 == 0 { streamed.as_str() } else { COMPLETION };
        assert_eq!((answer.status.as_u16(), answer.text()), (200, expected), "request {number}");
    }
    proxy.at_rest().await;
    let scrape = proxy.scrape().await;
    assert!(scrape.sum("gearshift_config_reloads_total", &["result=\"applied\""]) >= 50.0);
    for (family, labels) in [
        ("gearshift_config_reloads_total", "result=\"rejected\""),
        ("gearshift_requests_total", "outcome=\"cut\""),
        ("gearshift_requests_total", "outcome=\"cancelled\""),
        ("gearshift_retries_total", ""),
        ("gearshift_errors_total", ""),
    ] {
        assert_eq!(scrape.sum(family, &[labels]), 0.0, "{family} {labels}");
    }
}

async fn served(proxy: &Gearshift, engine: &mut Engine, body: &str) {
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, body.to_owned()), async { engine.next().await.json(200, COMPLETION) });
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told() {
    let mut engine = Engine::start().await;
    let good = Yaml::of(&[&engine]).model("{aliases: [fast]}");
    let mut proxy = Gearshift::start(&good).await;
    let fast = QUESTION.replace("stub", "fast");
    for bad in ["backends: [", "", "listen: 1\nbackends: []\nunknown: x\n"] {
        proxy.write_config(&bad);
        proxy.logged("configuration refused").await;
        served(&proxy, &mut engine, &fast).await;
        let config = proxy.operate("/config").await.json();
        let error = config["last_reload_error"].as_str().unwrap();
        assert!(error.contains("gearshift.yaml"), "{error}");
        assert_eq!(config["config"]["models"][0]["aliases"][0], "fast");
        let scrape = proxy.scrape().await;
        assert_eq!(scrape.sum("gearshift_config_last_reload_successful", &[]), 0.0);
        assert!(scrape.sum("gearshift_config_reloads_total", &["result=\"rejected\""]) >= 1.0);
    }
    // All that is wrong is told at once.
    let error = proxy.operate("/config").await.json()["last_reload_error"].to_string();
    for key in ["listen", "backends", "unknown"] {
        assert!(error.contains(key), "{error}");
    }

    // A backend that cannot be used is refused as a whole, too.
    proxy.write_config(&good.clone().entry("{name: z, url: \"https://z.test\", ca_file: /nowhere.pem}"));
    proxy.logged("configuration refused").await;
    served(&proxy, &mut engine, &fast).await;

    proxy.write_config(&good.with("# as it was"));
    proxy.logged("configuration reloaded").await;
    assert!(proxy.operate("/config").await.json()["last_reload_error"].is_null());
    assert_eq!(proxy.scrape().await.sum("gearshift_config_last_reload_successful", &[]), 1.0);
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_without_being_told() {
    let mut engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]);
    let mut proxy = Gearshift::start(&yaml).await;
    let beside = proxy.folder().join("new.yaml");
    std::fs::write(&beside, yaml.clone().model("{aliases: [moved]}").to_string()).unwrap();
    std::fs::rename(&beside, proxy.config_file()).unwrap();
    proxy.logged("configuration reloaded").await;
    served(&proxy, &mut engine, &QUESTION.replace("stub", "moved")).await;

    // Gone for a moment, as some editors do it: the old one serves on.
    std::fs::remove_file(proxy.config_file()).unwrap();
    proxy.logged("cannot be read").await;
    served(&proxy, &mut engine, &QUESTION.replace("stub", "moved")).await;
    std::fs::write(proxy.config_file(), yaml.model("{aliases: [back]}").to_string()).unwrap();
    proxy.logged("configuration reloaded").await;
    served(&proxy, &mut engine, &QUESTION.replace("stub", "back")).await;
    assert_eq!(proxy.post(CHAT, QUESTION.replace("stub", "moved")).await.error(404), "model_not_found");
}

/// A model and a hardware in numbers, so that there is something to calibrate.
fn modelled(engine: &Engine) -> Yaml {
    const MODEL: &str = "{numbers: {parameters_b: 1, layers: 16, hidden: 2048, heads: 32, context: 4096}}";
    const CARD: &str = "{vendor: test, architecture: test, description: A card., source: this test, bf16_tflops: 100, \
        memory_gb_per_s: 1000, memory_gib: 80, interconnect_gb_per_s: 50, price_usd_per_hour: 1, tdp_w: 300, idle_w: 50}";
    let entry = format!("{{name: a, url: \"http://{}\", model: stub, hardware: card}}", engine.address);
    Yaml::new().model(MODEL).entry(&entry).with(&format!("hardware: {{card: {CARD}}}"))
}

#[tokio::test]
async fn what_is_known_of_a_backend_that_stays_stays() {
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n";
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(modelled(&engine)).await;
    proxy.fleet_ready().await;
    for _ in 0..3 {
        let (open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
        stream.finish(&[EVENT, EVENT, EVENT, USAGE, DONE]).await;
        open.rest().await.unwrap();
    }
    let (open, (connection, stream)) = tokio::join!(proxy.open(CHAT, STREAMED), async {
        let exchange = engine.next().await;
        (exchange.connection, exchange.events())
    });
    let before = proxy.fleet().await["backends"][0].clone();
    assert_eq!((&before["availability"], &before["in_flight"]["requests"]), (&"ready".into(), &1.into()));
    assert!(before["calibration"]["samples"].as_u64().unwrap() > 0, "{before}");

    let other = Engine::start().await;
    proxy
        .reload(
            modelled(&engine).backend("other", other.address).with("routes: [{name: r, objective: cost}]"),
        )
        .await;
    let after = proxy.fleet().await["backends"][0].clone();
    for kept in ["availability", "in_flight", "calibration", "url"] {
        assert_eq!(before[kept], after[kept], "{kept}");
    }
    assert!(after["since_seconds"].as_f64() >= before["since_seconds"].as_f64());

    // The stream and its connection outlive the reload; the connection is used again.
    proxy.reload(modelled(&engine)).await;
    stream.finish(&[EVENT, DONE]).await;
    assert_eq!(open.rest().await.unwrap(), format!("{EVENT}{DONE}"));
    let (answer, again) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let exchange = engine.next().await;
        let connection = exchange.connection;
        exchange.json(200, COMPLETION);
        connection
    });
    assert_eq!((answer.status.as_u16(), again), (200, connection));
}

#[tokio::test]
async fn a_backend_that_leaves_finishes_what_it_has() {
    let (mut a, mut b) = (Engine::start().await, Engine::start().await);
    let mut proxy = Gearshift::start(Yaml::of(&[&a])).await;
    let (mut open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { a.next().await.events() });
    let beside_a = Yaml::new().backend("b", b.address);
    proxy.reload(&beside_a).await;
    for _ in 0..5 {
        served(&proxy, &mut b, QUESTION).await;
    }
    assert!(a.already().is_none());
    stream.send(EVENT).await;
    assert_eq!(open.text().await, EVENT);
    stream.finish(&[DONE]).await;
    assert_eq!(open.rest().await.unwrap(), DONE);

    // The same name at another place is another engine.
    proxy.reload(Yaml::new().backend("b", a.address)).await;
    served(&proxy, &mut a, QUESTION).await;
    assert!(b.already().is_none());
    // And no more questions go to the one that left.
    proxy.fleet_ready().await;
    assert_eq!(proxy.fleet().await["backends"].as_array().unwrap().len(), 1);
    assert_eq!(proxy.scrape().await.sum("gearshift_backend_available", &["backend=\"a\""]), 0.0);
}

#[tokio::test]
async fn the_metrics_of_what_has_left_are_gone() {
    let (mut a, mut b) = (Engine::start().await, Engine::start().await);
    let route = |name: &str| format!("routes: [{{name: {name}}}]");
    let mut proxy = Gearshift::start(Yaml::of(&[&a]).with(&route("old"))).await;
    served(&proxy, &mut a, QUESTION).await;
    let served_by = async |proxy: &Gearshift, labels: &[&str]| {
        let scrape = proxy.scrape().await;
        let families = [
            "gearshift_requests_total",
            "gearshift_request_duration_seconds_count",
            "gearshift_decisions_total",
        ];
        families.map(|family| scrape.sum(family, labels))
    };
    assert_eq!(served_by(&proxy, &["route=\"old\""]).await, [1.0; 3]);
    proxy.reload(Yaml::of(&[&a]).with(&route("new"))).await;
    served(&proxy, &mut a, QUESTION).await;
    assert_eq!(served_by(&proxy, &["route=\"old\""]).await, [0.0; 3]);
    assert_eq!(served_by(&proxy, &["route=\"new\""]).await, [1.0; 3]);
    proxy.reload(Yaml::new().backend("b", b.address).with(&route("new"))).await;
    served(&proxy, &mut b, QUESTION).await;
    assert_eq!(served_by(&proxy, &["backend=\"a\""]).await, [0.0; 3]);
    assert_eq!(served_by(&proxy, &["route=\"new\""]).await, [1.0, 1.0, 2.0]);
}

/// Its route has left when its body is there, and it is that route's first.
#[tokio::test]
async fn a_request_that_was_long_under_way_brings_no_metrics_back() {
    let mut engine = Engine::start().await;
    let route = |name: &str| format!("routes: [{{name: {name}}}]");
    let mut proxy = Gearshift::start(Yaml::of(&[&engine]).with(&route("old"))).await;
    proxy.fleet_ready().await;
    let mut slow = Raw::connect(proxy.address).await;
    let length = QUESTION.len();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    slow.write(head).await;
    within("the request to be let in", async {
        while proxy.scrape().await.sum("gearshift_in_flight_requests", &[]) != 1.0 {}
    })
    .await;
    proxy.reload(Yaml::of(&[&engine]).with(&route("new"))).await;
    slow.write(QUESTION).await;
    engine.next().await.json(200, COMPLETION);
    slow.until(COMPLETION).await;
    within("the old route's metrics to be gone", async {
        while proxy.operate("/metrics").await.text().contains("route=\"old\"") {}
    })
    .await;
}

#[tokio::test]
async fn what_needs_a_restart_is_said() {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(Yaml::of(&[&engine])).await;
    proxy.write_config(&Yaml::of(&[&engine]).listen("127.0.0.1:1").with("admin: {address: \"127.0.0.1:2\"}"));
    assert!(proxy.logged("`listen` changed").await.contains("restart"));
    assert!(proxy.logged("`admin` changed").await.contains("restart"));
    proxy.logged("configuration reloaded").await;
    served(&proxy, &mut engine, QUESTION).await;
}
