//! What goes wrong with engines, played by a server.

use gearshift_selector::Availability::{Asleep, Down, Hung, Probation, Ready};

use super::{
    engine::{Engine, Reply, models, ok, page},
    *,
};

#[tokio::test]
async fn a_refusing_engine_is_down_and_comes_back_over_probation() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    let address = engine.address;
    drop(engine);
    bench.sees("a", Down).await;
    assert!(
        bench.metric(r#"gearshift_backend_health_checks_total{backend="a",result="refused"}"#).unwrap()
            >= 1.0
    );
    let view = bench.member("a").view(clock::now());
    assert!(view.last_error.unwrap().what.contains("cannot connect"));

    let engine = Engine::at(address).await;
    engine.say("/v1/models", models(&["after"]));
    engine.say("/metrics", ok(page(1, 5, true)));
    bench.sees("a", Probation).await;
    bench.detects("a", |detected| detected.serves("after")).await;
    engine.say("/metrics", Reply::Each(|count| page(1, count, true)));
    bench.sees("a", Ready).await;
}

#[tokio::test]
async fn an_engine_that_calls_itself_dead_is_down() {
    let engine = Engine::vllm().await;
    let bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    engine.say("/health", Reply::Page(503, String::new()));
    bench.sees("a", Down).await;
    assert_eq!(
        bench.member("a").view(clock::now()).last_error.unwrap().what,
        "/health answers 503 Service Unavailable"
    );
}

#[tokio::test]
async fn one_hanging_engine_delays_no_other_and_not_its_own_scrapes() {
    let (hangs, well) = (Engine::vllm().await, Engine::vllm().await);
    for path in ["/health", "/v1/models", "/version"] {
        hangs.say(path, Reply::Hang);
    }
    let mut settings = config(&[backend("hangs", &hangs, ""), backend("well", &well, "")], "");
    settings.fleet.health_timeout = Duration::from_millis(500);
    let bench = Bench::new(settings);
    bench.sees("well", Ready).await;
    hangs.asked("/metrics", 20).await;
    well.asked("/metrics", 20).await;
    bench.sees("hangs", Down).await;
    assert!(bench.member("hangs").state().scraped().is_some());
    assert_eq!(bench.member("well").state().availability(), Ready);
}

#[tokio::test]
async fn slow_health_is_no_outage_while_tokens_flow() {
    let engine = Engine::vllm().await;
    engine.say("/metrics", Reply::Each(|count| page(4, count, true)));
    let mut settings = config(&[backend("a", &engine, "")], "");
    settings.fleet.health_timeout = Duration::from_millis(400);
    let bench = Bench::new(settings);
    bench.sees("a", Ready).await;
    engine.say("/health", Reply::Hang);
    engine.asked("/health", 6).await;
    assert_eq!(bench.member("a").state().availability(), Ready);
    assert!(
        bench.metric(r#"gearshift_backend_health_checks_total{backend="a",result="timeout"}"#).unwrap()
            >= 5.0
    );
}

#[tokio::test]
async fn metrics_that_make_no_sense_leave_the_last_good_ones() {
    let engine = Engine::vllm().await;
    engine.say("/metrics", ok(page(7, 5, true)));
    let bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    engine.asked("/metrics", 2).await;
    let half = page(7, 5, true).split_at(60).0.to_owned();
    for (reply, result) in [
        (ok("vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\n"), "incomplete"),
        (ok("\u{0}\u{1}garbage{{{{\n\n}"), "absent"),
        (Reply::Cut(half), "failed"),
        (Reply::Endless, "failed"),
        (Reply::Page(500, "oops".into()), "failed"),
        (Reply::Hang, "timeout"),
    ] {
        engine.say("/metrics", reply);
        let line = format!(r#"gearshift_backend_scrapes_total{{backend="a",result="{result}"}}"#);
        let before = bench.metric(&line).unwrap();
        let mut report = bench.member("a").report();
        while bench.metric(&line).unwrap() == before {
            report.changed().await.unwrap();
        }
        let load = bench.member("a").state().scraped().unwrap();
        assert_eq!((load.running, load.kv_usage), (7, 0.5), "{result}");
        assert_eq!(bench.member("a").state().availability(), Ready, "{result}");
    }
    assert!(bench.metric(r#"gearshift_backend_scrape_age_seconds{backend="a"}"#).unwrap() > 0.0);
}

#[tokio::test]
async fn an_engine_without_vllm_metrics_is_watched_by_health_alone() {
    let engine = Engine::vllm().await;
    for path in ["/metrics", "/version", "/server_info"] {
        engine.say(path, Reply::Page(404, String::new()));
    }
    engine.say("/v1/models", models(&["llama.gguf"]));
    let bench = Bench::watching(&engine);
    bench.sees("a", Ready).await;
    let detected = bench.detects("a", |detected| detected.serves("llama.gguf")).await;
    assert!(!detected.server_info && detected.version.is_none());
    assert_eq!(bench.member("a").state().scraped(), None);
    assert!(bench.metric(r#"gearshift_backend_scrapes_total{backend="a",result="absent"}"#).unwrap() >= 1.0);
}

#[tokio::test]
async fn sleep_is_seen_in_the_metrics() {
    let engine = Engine::vllm().await;
    engine.say("/metrics", ok(page(0, 5, false)));
    let bench = Bench::watching(&engine);
    bench.sees("a", Asleep).await;
    engine.say("/metrics", ok(page(0, 5, true)));
    bench.sees("a", Ready).await;
}

#[tokio::test]
async fn sleep_is_seen_without_metrics_in_dev_mode() {
    let engine = Engine::vllm().await;
    engine.say("/metrics", ok(""));
    engine.say("/is_sleeping", ok(r#"{"is_sleeping":true}"#));
    let bench = Bench::watching(&engine);
    bench.sees("a", Asleep).await;
    engine.say("/is_sleeping", ok(r#"{"is_sleeping":false}"#));
    bench.sees("a", Ready).await;
}

#[tokio::test]
async fn health_200_while_hung_is_hung_until_it_drains() {
    let engine = Engine::vllm().await;
    engine.say("/metrics", ok(page(0, 500, true)));
    let mut settings = config(&[backend("a", &engine, "")], "");
    settings.fleet.hang_after = Duration::from_millis(100);
    let bench = Bench::new(settings);
    bench.sees("a", Ready).await;
    engine.say("/metrics", ok(page(3, 500, true)));
    bench.sees("a", Hung).await;
    engine.say("/metrics", ok(page(0, 500, true)));
    bench.sees("a", Probation).await;
    engine.say("/metrics", ok(page(0, 501, true)));
    bench.sees("a", Ready).await;
}

#[tokio::test]
async fn a_failed_request_has_health_checked_at_once() {
    let engine = Engine::vllm().await;
    let mut settings = config(&[backend("a", &engine, "")], "");
    settings.fleet.health_interval = Duration::from_hours(1);
    let bench = Bench::new(settings);
    bench.sees("a", Ready).await;
    drop(engine);
    bench.member("a").check_now();
    bench.sees("a", Down).await;
}

#[tokio::test]
async fn a_restart_under_a_running_proxy_is_detected_anew() {
    let engine = Engine::vllm().await;
    engine.say("/metrics", ok(page(0, 500, true)));
    let mut settings = config(&[backend("a", &engine, "")], "");
    settings.fleet.detect_interval = Duration::from_hours(1);
    let bench = Bench::new(settings);
    bench.detects("a", |detected| detected.serves("tiny")).await;
    engine.asked("/metrics", 2).await;
    engine.say("/v1/models", models(&["other"]));
    engine.say("/metrics", ok(page(0, 0, true)));
    bench.detects("a", |detected| detected.serves("other")).await;
}
