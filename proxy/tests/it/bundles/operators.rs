//! Operators say which bundle decides, and a new one may have to prove itself first.

use std::fs;

use http::{Method, header};

use serde_json::Value;

use super::{PATIENT, Stage, make::Made};
use crate::common::{Client, request, within};

#[tokio::test]
async fn wishes_are_met_and_outlive_a_restart() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    assert_eq!(stage.wish("/bundles/rollback").await.json()["error"], "no bundle was active before this one");
    fs::create_dir(stage.models()).unwrap();
    for (day, name) in [(1, "one"), (2, "two")] {
        Made::whole(day).drop_into(&stage.models(), name);
        stage.decides(name).await;
    }
    Made::nan(3).drop_into(&stage.models(), "nan");
    stage.stands("nan", "refused").await;

    let back = stage.wish("/bundles/rollback").await;
    assert_eq!((back.status.as_u16(), back.json()["active"].as_str()), (200, Some("one")));
    assert_eq!((stage.active().await, stage.ask().await), ("one".into(), "none".to_owned()));
    // The newest waits, and so does a newer one yet.
    Made::whole(4).drop_into(&stage.models(), "four");
    stage.stands("four", "available").await;
    assert_eq!(stage.active().await, "one");

    for (wish, why) in
        [("nobody", "there is no bundle \"nobody\""), ("nan", "\"nan\" was refused: regressor.onnx")]
    {
        let answer = stage.wish(&format!("/bundles/{wish}/activate")).await;
        assert_eq!(answer.status, 409);
        assert!(answer.text().contains(&why.replace('"', "\\\"")), "{}", answer.text());
    }
    assert_eq!(stage.bundles().await["pinned"], "one", "a wish that cannot be met leaves the one before");

    let stage = Stage::set_in(stage.end().await, PATIENT, "").await.unwrap();
    stage.decides("one").await;
    assert_eq!(stage.wish("/bundles/newest").await.json()["active"], "four");
    assert!(stage.bundles().await["pinned"].is_null());
    assert_eq!(stage.wish("/bundles/two/activate").await.json()["active"], "two");
    assert_eq!(stage.wish("/bundles/newest").await.json()["active"], "four");
    let stage = Stage::set_in(stage.end().await, PATIENT, "").await.unwrap();
    stage.decides("four").await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_keeps_a_wish_until_the_end() {
    let Some(mut stage) = Stage::set(PATIENT).await else { return };
    // Root may write anywhere, but no file over a directory.
    fs::create_dir_all(stage.models().join(".pinned/x")).unwrap();
    for (day, name) in [(1, "one"), (2, "two")] {
        Made::whole(day).drop_into(&stage.models(), name);
        stage.decides(name).await;
    }
    assert_eq!(stage.wish("/bundles/one/activate").await.json()["active"], "one");
    stage.proxy.logged("until Gearshift ends, not longer").await;
    assert_eq!((stage.active().await, stage.ask().await), ("one".into(), "none".to_owned()));
    let stage = Stage::set_in(stage.end().await, PATIENT, "").await.unwrap();
    stage.decides("two").await;
}

#[tokio::test]
async fn a_new_one_is_compared_before_it_decides() {
    let Some(stage) = Stage::set("{budget: 50ms, shadow_requests: 3}").await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::whole(1).drop_into(&stage.models(), "one");
    // There is nothing to compare the first with.
    stage.decides("one").await;
    Made::split(2).drop_into(&stage.models(), "two");
    let on_trial = async || stage.bundles().await["shadow"].clone();
    within("a trial", async { while on_trial().await.is_null() {} }).await;
    for compared in 1..=2 {
        assert_eq!(stage.ask().await, "none");
        let shadow = on_trial().await;
        assert_eq!(
            (&shadow["id"], &shadow["decisions"]["compared"]),
            (&"two".into(), &compared.into()),
            "{shadow}"
        );
        assert_eq!(stage.active().await, "one");
    }
    stage.ask().await;
    stage.decides("two").await;
    assert_eq!(stage.count("gearshift_bundle_shadow_decisions_total", &[]).await, 3.0);
    assert!(on_trial().await.is_null());

    // Without traffic a trial does not end; a word of an operator ends it, and so does a rollback.
    Made::whole(3).drop_into(&stage.models(), "three");
    within("a trial", async { while on_trial().await.is_null() {} }).await;
    assert_eq!(stage.wish("/bundles/three/activate").await.json()["active"], "three");
    assert!(on_trial().await.is_null());
    stage.wish("/bundles/newest").await;
    Made::whole(4).drop_into(&stage.models(), "four");
    within("a trial", async { while on_trial().await.is_null() {} }).await;
    assert_eq!(stage.wish("/bundles/rollback").await.json()["active"], "two");
    assert!(on_trial().await.is_null());
    assert_eq!(stage.wish("/bundles/newest").await.json()["active"], "four");

    // One that is taken away while it is on trial is forgotten.
    Made::whole(5).drop_into(&stage.models(), "five");
    within("a trial", async { while on_trial().await.is_null() {} }).await;
    fs::rename(stage.models().join("five"), stage.models().join(".five")).unwrap();
    within("its end", async { while !on_trial().await.is_null() {} }).await;
    assert_eq!((stage.active().await, stage.ask().await), ("four".into(), "none".to_owned()));
}

#[tokio::test]
async fn only_operators_have_wishes() {
    let folder = tempfile::tempdir().unwrap();
    let admin = "admin: {address: \"127.0.0.1:0\", token: open-sesame}";
    let Some(stage) = Stage::set_in(folder, PATIENT, admin).await else { return };
    let wish = async |headers: &[(header::HeaderName, &str)], path: &str| {
        let mut wish = request(Method::POST, path, "");
        for (name, value) in headers {
            wish.headers_mut().insert(name, value.parse().unwrap());
        }
        Client::http1(stage.proxy.admin).await.ask(wish).await.status.as_u16()
    };
    let token = (header::AUTHORIZATION, "Bearer open-sesame");
    assert_eq!(wish(&[], "/bundles/newest").await, 401);
    assert_eq!(wish(&[(header::AUTHORIZATION, "Bearer open")], "/bundles/newest").await, 401);
    assert_eq!(wish(&[token.clone(), (header::ORIGIN, "https://a.test")], "/bundles/newest").await, 403);
    assert_eq!(wish(std::slice::from_ref(&token), "/bundles/newest").await, 409, "there is none");
    assert_eq!(wish(std::slice::from_ref(&token), "/bundles/one/delete").await, 404);
    assert_eq!(wish(&[token], "/fleet").await, 405);
}

#[tokio::test]
async fn switched_off_means_off() {
    let folder = tempfile::tempdir().unwrap();
    Made::whole(1).write(&folder.path().join("models/one"));
    let Some(stage) = Stage::set_in(folder, "{enabled: false}", "").await else { return };
    assert_eq!(stage.ask().await, "no_bundle");
    assert_eq!(stage.bundles().await["off"], "`learner.enabled` is false");
    let answer = stage.wish("/bundles/one/activate").await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("`learner.enabled` is false"), "{}", answer.text());
}

#[tokio::test]
async fn what_decided_is_known_after_a_restart() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    for (day, name) in [(1, "one"), (2, "two")] {
        Made::whole(day).drop_into(&stage.models(), name);
        stage.decides(name).await;
    }
    let history = async |stage: &Stage| {
        let history = stage.bundles().await["history"].as_array().unwrap().clone();
        let turn = |turn: &Value| match turn["started"].as_bool() {
            Some(true) => "started".to_owned(),
            _ => turn["bundle"].as_str().unwrap_or("none").to_owned(),
        };
        history.iter().map(turn).collect::<Vec<_>>()
    };
    assert_eq!(history(&stage).await, ["one", "two"]);
    let folder = stage.end().await;
    // A crash in the middle of a line costs that line.
    let file = folder.path().join("models/.history");
    let kept = fs::read_to_string(&file).unwrap();
    fs::write(&file, kept + "{\"at\":17,\"bun").unwrap();
    let stage = Stage::set_in(folder, PATIENT, "").await.unwrap();
    stage.decides("two").await;
    assert_eq!(history(&stage).await, ["one", "two", "started", "two"]);
}
