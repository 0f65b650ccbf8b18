//! Engines that sleep, and engines that an operator's system starts.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, sync::mpsc};

use super::{fake::Fake, house::operate};
use crate::common::{CHAT, Gearshift, MODEL, QUESTION, beside, within};

const SECRET: &str = "between-us";

fn config(backends: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nadmin: {{address: '127.0.0.1:0'}}\nworkers: 1\nmodels: {{{MODEL}: {{}}}}\n\
         profiles: {{plain: {{prefix_caching: false}}, caching: {{prefix_caching: true}}}}\n\
         fleet: {{health_interval: 200ms, scrape_interval: 100ms, detect_interval: 300ms}}\n\
         controller: {{slow_start: 0s, warm_up_requests: 1}}\nbackends:\n{backends}"
    )
}

async fn shift(proxy: &Gearshift, profile: &str) -> Value {
    let wish = json!({"backend": "left", "profile": profile, "force": true});
    let before = proxy.operate("/controller").await.json()["history"].as_array().unwrap().len();
    let answer = operate(proxy.admin, "/controller/shift", &wish).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    within("the switch to end", async {
        loop {
            let history = proxy.operate("/controller").await.json()["history"].clone();
            if history.as_array().unwrap().len() > before {
                return history.as_array().unwrap().last().unwrap().clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn one_sibling_wakes_as_the_other_falls_asleep() {
    let (plain, caching) = (Fake::new(false), Fake::new(true));
    let (one, other) = (plain.beside().await, caching.beside().await);
    let proxy = Gearshift::start(config(&format!(
        "  - {{name: left, url: 'http://{one}', model: {MODEL}, profile: plain, profiles: [plain, caching], \
         actuator: {{sleep: {{siblings: {{caching: 'http://{other}'}}}}}}}}\n"
    )))
    .await;
    within("the sibling to sleep from the start", caching.sleeps()).await;
    proxy.fleet_ready().await;
    assert_eq!(proxy.post(CHAT, QUESTION).await.status, 200);
    for (profile, awake, asleep) in [("caching", &caching, &plain), ("plain", &plain, &caching)] {
        let (served, idle) = (awake.answered.load(SeqCst), asleep.answered.load(SeqCst));
        let last = shift(&proxy, profile).await;
        assert_eq!(
            (&last["outcome"], &last["verified"]),
            (&"done".into(), &json!(["prefix_caching"])),
            "{last}"
        );
        assert!(asleep.asleep.load(SeqCst) && !awake.asleep.load(SeqCst));
        for _ in 0..10 {
            assert_eq!(proxy.post(CHAT, QUESTION).await.status, 200);
        }
        assert_eq!(awake.answered.load(SeqCst), served + 10);
        assert_eq!(asleep.answered.load(SeqCst), idle, "nothing goes to one that sleeps");
    }
}

/// It was restarted, or woken by hand: two would share the accelerator's memory.
#[tokio::test]
async fn a_third_sibling_that_is_awake_is_put_to_sleep_before_another_wakes() {
    let engines = [Fake::new(false), Fake::new(true), Fake::new(false)];
    let [plain, caching, third] = &engines;
    let (one, two, three) = (plain.beside().await, caching.beside().await, third.beside().await);
    let text = config(&format!(
        "  - {{name: left, url: 'http://{one}', model: {MODEL}, profile: plain, profiles: [plain, caching, third], \
         actuator: {{sleep: {{siblings: {{caching: 'http://{two}', third: 'http://{three}'}}}}}}}}\n"
    ));
    let proxy =
        Gearshift::start(text.replace("profiles: {plain", "profiles: {third: {max_num_seqs: 8}, plain"))
            .await;
    // Gearshift waits for the word of the one it sends to sleep: woken before, it would never give it.
    within("the siblings to say that they sleep", async {
        while !(caching.said_asleep.load(SeqCst) && third.said_asleep.load(SeqCst)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    proxy.fleet_ready().await;
    third.asleep.store(false, SeqCst);
    let last = shift(&proxy, "caching").await;
    assert_eq!(last["outcome"], "done", "{last}");
    assert_eq!([0, 1, 2].map(|at: usize| engines[at].asleep.load(SeqCst)), [true, false, true]);
}

#[tokio::test]
async fn a_sibling_that_does_not_wake_leaves_the_other_awake() {
    let plain = Fake::new(false);
    let address = plain.beside().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Gearshift::start(config(&format!(
        "  - {{name: left, url: 'http://{address}', model: {MODEL}, profile: plain, profiles: [plain, caching], \
         actuator: {{sleep: {{siblings: {{caching: 'http://{nobody}'}}}}}}}}\n"
    )))
    .await;
    proxy.fleet_ready().await;
    let last = shift(&proxy, "caching").await;
    assert_eq!(last["outcome"], "rolled_back", "{last}");
    assert!(!plain.asleep.load(SeqCst));
    assert_eq!(proxy.post(CHAT, QUESTION).await.status, 200);
}

/// One that hangs holds its memory: beside it, the other would find none.
#[tokio::test]
async fn no_sibling_wakes_beside_one_that_does_not_say_whether_it_sleeps() {
    let (plain, caching) = (Fake::new(false), Fake::new(true));
    let (one, other) = (plain.beside().await, caching.beside().await);
    let proxy = Gearshift::start(config(&format!(
        "  - {{name: left, url: 'http://{one}', model: {MODEL}, profile: plain, profiles: [plain, caching], \
         actuator: {{sleep: {{siblings: {{caching: 'http://{other}'}}, timeout: 2s}}}}}}\n"
    )))
    .await;
    within("the sibling to sleep from the start", caching.sleeps()).await;
    proxy.fleet_ready().await;
    plain.stuck.store(true, SeqCst);
    let last = shift(&proxy, "caching").await;
    assert_eq!(last["outcome"], "failed", "{last}");
    assert!(last["problem"].as_str().unwrap().contains("sleeps is not known"), "{last}");
    assert!(caching.asleep.load(SeqCst), "it was never woken");
    // The engine that is served by is the one before; it mends, and goes on.
    plain.stuck.store(false, SeqCst);
    assert_eq!(proxy.post(CHAT, QUESTION).await.status, 200);
    assert_eq!(shift(&proxy, "caching").await["outcome"], "done");
}

/// An operator's system: what it was told, and the engine it restarts.
async fn operators_system(
    engine: Arc<Fake>,
    status: u16,
) -> (String, mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) {
    let (heard, orders) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/gearshift/v1", listener.local_addr().unwrap());
    beside(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (heard, engine) = (heard.clone(), engine.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (heard, engine) = (heard.clone(), engine.clone());
                async move {
                    assert_eq!(request.uri().path(), "/gearshift/v1", "the path is taken as it stands");
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let order: Value = serde_json::from_slice(&body).unwrap();
                    if status < 300 {
                        engine.prefix_caching.store(order["to"]["name"] == "caching", SeqCst);
                    }
                    heard.send((head.headers, body)).unwrap();
                    let response = Response::builder().status(status).body(Full::<Bytes>::default());
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            beside(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, orders)
}

fn elsewhere(engine: std::net::SocketAddr, hook: &str) -> String {
    config(&format!(
        "  - {{name: left, url: 'http://{engine}', model: {MODEL}, profile: plain, profiles: [plain, caching], \
         actuator: {{webhook: {{url: '{hook}', secret: {SECRET}}}}}}}\n"
    ))
}

#[tokio::test]
async fn an_operators_system_gets_signed_orders() {
    let engine = Fake::new(false);
    let address = engine.beside().await;
    let (hook, mut orders) = operators_system(engine.clone(), 202).await;
    let proxy = Gearshift::start(elsewhere(address, &hook)).await;
    proxy.fleet_ready().await;
    let last = shift(&proxy, "caching").await;
    assert_eq!(last["outcome"], "done", "{last}");
    let (headers, body) = orders.recv().await.unwrap();
    let time = headers["x-gearshift-timestamp"].to_str().unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(&body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(headers["x-gearshift-signature"], format!("sha256={expected}"));
    let order: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&order["backend"], &order["model"]), (&"left".into(), &MODEL.into()));
    assert_eq!(order["to"]["arguments"], json!(["--enable-prefix-caching"]));
    assert_eq!(order["from"]["name"], "plain");
    assert_eq!(order["id"], last["id"]);
}

/// What the manual gives operators to check orders by; its word on one: the order's `id`, or why it is none.
fn checked_as_the_manual_says(headers: &HeaderMap, body: &[u8]) -> String {
    let manual = include_str!("../../../../config/webhook.md");
    let (_, code) = manual.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let header = |name: &str| headers[name].to_str().unwrap();
    let names = ["X-Gearshift-Timestamp", "X-Gearshift-Signature"];
    let headers: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), header(name).into())).collect();
    let ask = "import sys\nasked = json.loads(sys.argv[1])\ntry:\n    order = verified(asked['secret'].encode(), asked['headers'], \
               asked['body'].encode())\n    print(order['id'])\nexcept PermissionError as error:\n    print(error)\n";
    let asked = json!({"secret": SECRET, "headers": headers, "body": std::str::from_utf8(body).unwrap()});
    let output = std::process::Command::new("python3")
        .args(["-c", &format!("{code}\n{ask}"), &asked.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn an_operator_who_follows_the_manual_takes_gearshifts_orders_and_no_others() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let engine = Fake::new(false);
    let address = engine.beside().await;
    let (hook, mut orders) = operators_system(engine.clone(), 202).await;
    let proxy = Gearshift::start(elsewhere(address, &hook)).await;
    proxy.fleet_ready().await;
    let last = shift(&proxy, "caching").await;
    let (mut headers, body) = orders.recv().await.unwrap();
    assert_eq!(checked_as_the_manual_says(&headers, &body), last["id"]);
    let forged = String::from_utf8(body.to_vec()).unwrap().replace("caching", "plain");
    assert!(checked_as_the_manual_says(&headers, forged.as_bytes()).contains("not Gearshift's"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(b"1700000000.");
    mac.update(&body);
    let signed: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    headers.insert("x-gearshift-timestamp", "1700000000".parse().unwrap());
    assert!(
        checked_as_the_manual_says(&headers, &body).contains("not Gearshift's"),
        "its time is signed too"
    );
    headers.insert("x-gearshift-signature", format!("sha256={signed}").parse().unwrap());
    assert!(checked_as_the_manual_says(&headers, &body).contains("old"));

    // The manual names what an order has, and nothing else.
    let order: Value = serde_json::from_slice(&body).unwrap();
    let manual = include_str!("../../../../config/webhook.md");
    let (_, example) = manual.split_once("```json\n").unwrap();
    let example: Value = serde_json::from_str(example.split_once("```").unwrap().0).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((keys(&order), keys(&order["to"])), (keys(&example), keys(&example["to"])));
}

#[tokio::test]
async fn an_order_that_is_not_accepted_changes_nothing() {
    let engine = Fake::new(false);
    let address = engine.beside().await;
    let (hook, mut orders) = operators_system(engine, 503).await;
    let proxy = Gearshift::start(elsewhere(address, &hook)).await;
    proxy.fleet_ready().await;
    let last = shift(&proxy, "caching").await;
    let mut ids = Vec::new();
    while let Ok((_, body)) = orders.try_recv() {
        ids.push(serde_json::from_slice::<Value>(&body).unwrap()["id"].clone());
    }
    // Asked again, an order is the same; the way back is another.
    let (there, back): (Vec<Value>, Vec<Value>) = ids.into_iter().partition(|id| *id == last["id"]);
    let way_back = format!("{}-back", last["id"].as_str().unwrap());
    assert!(!there.is_empty() && there.len() + back.len() >= 3, "{there:?} {back:?}");
    assert!(back.iter().all(|id| *id == way_back), "{back:?}");
    assert_ne!(last["outcome"], "done", "{last}");
    proxy.fleet_ready().await;
    assert_eq!(proxy.post(CHAT, QUESTION).await.status, 200, "the engine was never touched");
}

/// On probation, with nobody who asks, it is asked by Gearshift; and what mends it does not wait for its answer.
#[tokio::test]
async fn an_engine_that_takes_questions_and_answers_none_is_shifted_all_the_same() {
    let engine = Fake::new(false);
    engine.silent.store(true, SeqCst);
    engine.stuck.store(true, SeqCst);
    let address = engine.beside().await;
    let (hook, mut orders) = operators_system(engine.clone(), 202).await;
    let proxy = Gearshift::start(elsewhere(address, &hook)).await;
    proxy.fleet_ready().await;
    for (ill, availability) in [(true, "down"), (false, "probation")] {
        engine.ill.store(ill, SeqCst);
        proxy.fleet_is(availability, |backend| backend["availability"] == availability).await;
    }
    within("a question of Gearshift's own", async {
        while engine.running.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let wish = json!({"backend": "left", "profile": "caching", "force": true});
    assert_eq!(operate(proxy.admin, "/controller/shift", &wish).await.status, 200);
    within("the order", orders.recv()).await.unwrap();
    assert_eq!(engine.running.load(SeqCst), 1, "once asked, it is not asked again meanwhile");
}
