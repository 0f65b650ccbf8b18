//! What operators ask for, and what they may not.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use super::{
    house::{House, operate, patiently, tell},
    linux,
};
use crate::common::{CHAT, Client, Gearshift, beside, post, within};

#[tokio::test]
async fn wishes_that_cannot_be_met_are_refused_with_the_reason() {
    if !linux() {
        return;
    }
    let house = House::open("stop").await;
    let admin = house.gearshift.admin;
    for (wish, status, expected) in [
        (json!({"backend": "middle", "profile": "caching"}), 409, "no backend is called"),
        (json!({"backend": "left", "profile": "fast"}), 409, "but into: plain, caching, broken"),
        (json!({"backend": "left", "profile": "plain"}), 409, "in profile plain already"),
        (json!({"backend": "left"}), 400, "missing field `profile`"),
        (json!({"backend": "left", "profile": "caching", "how": "now"}), 400, "unknown field"),
    ] {
        let answer = operate(admin, "/controller/shift", &wish).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["error"].as_str().unwrap().contains(expected), "{answer:?}");
    }
    assert_eq!(house.shift("caching").await.status, 200);
    let busy = house.shift("caching").await;
    assert!(busy.text().contains("being shifted already"), "{busy:?}");
    let other = json!({"backend": "right", "profile": "caching"});
    let answer = operate(admin, "/controller/shift", &other).await;
    assert!(answer.text().contains("max_unavailable"), "{answer:?}");
    assert_eq!(tell(admin, "/controller/elsewhere").await.status, 404);
    house.ends().await;
}

#[tokio::test]
async fn the_last_one_that_serves_is_shifted_only_by_force() {
    if !linux() {
        return;
    }
    let house = House::open("stop").await;
    let right = house.gearshift.fleet().await["backends"][1]["url"].as_str().unwrap().to_owned();
    // Its engine cannot come back while a stranger has its port.
    let engine = house.controller().await["backends"][1]["engine_pid"].as_i64().unwrap();
    let address = right.trim_start_matches("http://").to_owned();
    let pid = rustix::process::Pid::from_raw(i32::try_from(engine).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let stranger = within("the port", async {
        loop {
            if let Ok(listener) = std::net::TcpListener::bind(&address) {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    within("right to be out", async {
        while house.gearshift.fleet().await["backends"][1]["availability"] == "ready" {}
    })
    .await;
    let refused = house.shift("caching").await;
    assert!(refused.text().contains("no other backend would serve"), "{refused:?}");
    let wish = json!({"backend": "left", "profile": "caching", "force": true});
    assert_eq!(operate(house.gearshift.admin, "/controller/shift", &wish).await.status, 200);
    drop(stranger);
    assert_eq!(house.ends().await["outcome"], "done");
}

#[tokio::test]
async fn a_pause_outlives_gearshift() {
    if !linux() {
        return;
    }
    let house = House::open("keep").await;
    assert_eq!(tell(house.gearshift.admin, "/controller/pause").await.json(), json!({"paused": true}));
    let house = house.crash().await;
    within("the controller", async { while house.controller().await["backends"] == json!([]) {} }).await;
    assert_eq!(house.controller().await["paused"], true);
    assert_eq!(house.gearshift.scrape().await.sum("gearshift_controller_paused", &[]), 1.0);
    assert_eq!(tell(house.gearshift.admin, "/controller/resume").await.json(), json!({"paused": false}));
}

#[tokio::test]
async fn without_anything_to_shift_the_controller_says_so() {
    let config =
        "listen: 127.0.0.1:0\nadmin: {address: '127.0.0.1:0'}\nbackends: [{url: 'http://127.0.0.1:9'}]\n";
    let proxy = Gearshift::launch(config).await;
    within("it to say so", async {
        while proxy.operate("/controller").await.json()["off"].as_str().is_none() {}
    })
    .await;
    let answer = tell(proxy.admin, "/controller/pause").await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("no backend lists `profiles`"), "{answer:?}");
}

/// While it waits for the last answers.
#[tokio::test]
async fn one_that_ends_begins_no_switch() {
    if !linux() {
        return;
    }
    let mut house = House::open("keep").await;
    let address = house.gearshift.address;
    let long =
        beside(async move { Client::http1(address).await.ask(post(CHAT, House::taking(5_000))).await });
    patiently("the request to be under way", async {
        while !house.gearshift.fleet().await["backends"]
            .as_array()
            .unwrap()
            .iter()
            .any(|backend| backend["in_flight"]["requests"] == 1)
        {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    house.gearshift.signal(Signal::TERM);
    house.gearshift.logged("shutting down").await;
    let answer = house.shift("caching").await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("Gearshift is ending"), "{answer:?}");
    assert_eq!(long.await.unwrap().status, 200);
    assert!(house.gearshift.ended().await.success());
    assert_eq!(house.journal()["switch"], json!(null));
}

/// Whoever takes the actuator out of the file takes the engine over, wherever its switch stands.
#[tokio::test]
async fn a_switch_without_its_actuator_is_over() {
    if !linux() {
        return;
    }
    let mut house = House::open_at_length("keep").await;
    assert_eq!(house.shift("caching").await.status, 200);
    house.comes_to("slow_start").await;
    house.take_actuators_out().await;
    let last = house.ends().await;
    assert_eq!(last["outcome"], "failed", "{last}");
    assert!(last["problem"].as_str().unwrap().contains("actuator was taken out"), "{last}");
    assert_eq!(house.journal()["profile"], "caching", "as far as it came");
    let scrape = house.gearshift.scrape().await;
    assert_eq!(
        scrape.sum("gearshift_controller_engine_starts_total", &[]),
        0.0,
        "nobody starts them any more"
    );
    house.is_sound("caching").await;
}

/// It would be ended for nothing: the profile that it should go into is not there.
#[tokio::test]
async fn an_engine_is_not_ended_for_a_profile_that_was_taken_out_meanwhile() {
    if !linux() {
        return;
    }
    let mut house = House::open("keep").await;
    let engines = house.engines();
    let address = house.gearshift.address;
    let long = [(); 4].map(|()| {
        beside(async move { Client::http1(address).await.ask(post(CHAT, House::taking(5_000))).await })
    });
    patiently("left to be busy", async {
        while house.gearshift.fleet().await["backends"][0]["in_flight"]["requests"] == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(house.shift("caching").await.status, 200);
    house.comes_to("draining").await;
    house.unlist("caching").await;
    let last = house.ends().await;
    assert_eq!(last["outcome"], "rolled_back", "{last}");
    assert!(last["problem"].as_str().unwrap().contains("does not list profile"), "{last}");
    assert_eq!(house.engines(), engines, "the same ones run");
    for answer in long {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    house.is_sound("plain").await;
}
