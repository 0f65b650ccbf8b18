//! A switch under traffic, one that fails, and what becomes of engines between switches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use rustix::process::Signal;
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    fake,
    house::{House, patiently},
    linux,
};
use crate::common::{Answer, CHAT, Client, MODEL, QUESTION, beside, post, within};

/// Clients that ask without a pause; the statuses of all their answers.
fn clients(house: &House, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Vec<u16>>> {
    let client = |_| {
        let (stop, address) = (stop.clone(), house.gearshift.address);
        beside(async move {
            let (mut client, mut statuses) = (Client::http1(address).await, Vec::new());
            while !stop.load(SeqCst) {
                statuses.push(client.ask(post(CHAT, QUESTION)).await.status.as_u16());
            }
            statuses
        })
    };
    (0..4).map(client).collect()
}

#[tokio::test]
async fn a_switch_loses_no_request() {
    if !linux() {
        return;
    }
    let house = House::open("keep").await;
    // Long ones at both engines: the one that is shifted waits for its own.
    let long: Vec<JoinHandle<Answer>> = (0..4)
        .map(|_| {
            let address = house.gearshift.address;
            beside(async move { Client::http1(address).await.ask(post(CHAT, House::taking(2_000))).await })
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = clients(&house, &stop);
    let answer = house.shift("caching").await;
    assert_eq!(answer.json(), json!({"backend": "left", "from": "plain", "to": "caching"}));
    house.comes_as_far_as(false, "stopping").await;
    assert!(long.iter().all(JoinHandle::is_finished), "it drains before it stops");
    let last = house.ends().await;
    sleep(Duration::from_millis(300)).await;
    stop.store(true, SeqCst);

    assert_eq!(last["outcome"], "done", "{last}");
    assert_eq!((&last["verified"], &last["declared"]), (&json!(["prefix_caching"]), &json!([])));
    for long in long {
        assert_eq!(long.await.unwrap().status, 200);
    }
    let mut answered = 0;
    for client in clients {
        let statuses = client.await.unwrap();
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        answered += statuses.len();
    }
    assert!(answered > 100, "{answered}");
    house.is_sound("caching").await;
    let scrape = house.gearshift.scrape().await;
    let of = |name: &str, label: &str, value: &str| scrape.sum(name, &[&format!("{label}=\"{value}\"")]);
    assert_eq!(of("gearshift_controller_switches_total", "outcome", "done"), 1.0);
    assert_eq!(
        of("gearshift_controller_engine_starts_total", "backend", "left"),
        1.0,
        "the switch is no restart"
    );
    for step in ["draining", "stopping", "releasing", "starting", "verifying", "warming", "slow_start"] {
        assert_eq!(of("gearshift_controller_step_seconds_count", "step", step), 1.0, "{step}");
    }
}

/// The whole way: from requests over the window and the plan to another profile.
#[tokio::test]
async fn traffic_that_wants_another_profile_gets_it() {
    if !linux() {
        return;
    }
    let eager = "mode: act, every: 500ms, min_dwell: 1ms, payback: 100h";
    let house = House::open_with("keep", eager).await;
    let beginning = "You are a helpful assistant. ".repeat(300);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, address) = (stop.clone(), house.gearshift.address);
    let client = beside(async move {
        let mut client = Client::http1(address).await;
        for number in 0.. {
            let content = format!("take 100 ms {beginning} Question {number}");
            let body =
                json!({"model": MODEL, "messages": [{"role": "user", "content": content}]}).to_string();
            assert_eq!(client.ask(post(CHAT, body)).await.status, 200);
            if stopped.load(SeqCst) {
                return;
            }
        }
    });
    let planned = async {
        loop {
            let said = house.controller().await;
            if let Some(first) = said["history"].as_array().and_then(|all| all.first().cloned()) {
                return (first, said);
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (first, said) = patiently("a planned switch", planned).await;
    stop.store(true, SeqCst);
    client.await.unwrap();
    assert_eq!((&first["outcome"], &first["to"]), (&json!("done"), &json!("caching")), "{first}");
    assert_ne!(first["reason"], "an operator's wish");
    assert!(!said["plan"]["advice"].as_array().unwrap().is_empty());
    assert!(house.gearshift.scrape().await.sum("gearshift_controller_plans_total", &[]) > 0.0);
}

#[tokio::test]
async fn an_engine_that_does_not_start_is_put_back() {
    if !linux() {
        return;
    }
    let house = House::open("keep").await;
    assert_eq!(house.shift("broken").await.status, 200);
    let last = house.ends().await;
    assert_eq!(last["outcome"], "rolled_back", "{last}");
    // Where its last words are, and not what they were: engines log prompts.
    let problem = last["problem"].as_str().unwrap();
    assert!(problem.contains("left.log") && !problem.contains("no room for the KV cache"), "{last}");
    house.is_sound("plain").await;
}

#[tokio::test]
async fn an_engine_that_dies_is_started_again_in_its_profile() {
    if !linux() {
        return;
    }
    let house = House::open("keep").await;
    assert_eq!(house.shift("caching").await.status, 200);
    house.ends().await;
    let before = house.journal()["engine"]["pid"].clone();
    house.kill_engine();
    within("another engine", async {
        while house.journal()["engine"]["pid"] == before {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    house.is_sound("caching").await;
}

#[tokio::test]
async fn engines_outlive_gearshift_and_are_taken_over() {
    if !linux() {
        return;
    }
    let mut house = House::open("keep").await;
    let before = house.engines();
    house.gearshift.signal(Signal::TERM);
    assert!(house.gearshift.ended().await.success());
    assert_eq!(house.engines(), before);
    let house = house.crash().await;
    house.is_sound("plain").await;
    assert_eq!(house.engines(), before, "not one was started anew");
}

#[tokio::test]
async fn engines_end_with_gearshift_where_that_is_wanted() {
    if !linux() {
        return;
    }
    let mut house = House::open("stop").await;
    house.gearshift.signal(Signal::TERM);
    assert!(house.gearshift.ended().await.success());
    assert!(house.engines().is_empty());
}

/// Nobody asks them anything, and nobody sees their tokens: Gearshift's own question ends their probation.
#[tokio::test]
async fn idle_engines_without_metrics_become_ready() {
    if !linux() {
        return;
    }
    let house = House::open_early("keep", "mode: advisory", &[(fake::NO_METRICS, "")]).await;
    house.is_ready().await;
    assert_eq!(house.engines().len(), 2);
}

#[tokio::test]
async fn idle_engines_that_were_taken_over_while_they_started_become_ready() {
    if !linux() {
        return;
    }
    let house = House::open_early("keep", "mode: advisory", &[(fake::START_MS, "3000")]).await;
    patiently("both engines to start", async {
        while house.engines().len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let before = house.engines();
    let house = house.crash().await;
    house.is_ready().await;
    assert_eq!(house.engines(), before, "not one was started anew");
}
