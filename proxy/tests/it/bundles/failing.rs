//! A bundle that was right when it was tried, and fails where it decides.

use std::fs;

use super::{PATIENT, Stage, long, make::Made};
use crate::common::within;

/// Of more tokens than some graphs bear.
const WORDS: usize = 3000;
/// Failures that are borne among the first decisions.
const BORNE: usize = 10;

async fn fail(stage: &Stage, times: usize) {
    for _ in 0..times {
        assert_eq!(stage.ask_this(&long(WORDS)).await, "learner_failed");
    }
}

#[tokio::test]
async fn what_is_no_number_leaves_a_decision_to_the_prior() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::nan_of_long_prompts(1).drop_into(&stage.models(), "one");
    stage.decides("one").await;
    assert_eq!(stage.ask().await, "none");
    fail(&stage, BORNE).await;
    assert_eq!(stage.ask().await, "none", "a few failures are borne");
    assert_eq!(stage.active().await, "one");
}

#[tokio::test]
async fn one_that_keeps_failing_is_dropped_for_the_one_before() {
    let Some(mut stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::whole(1).drop_into(&stage.models(), "good");
    stage.decides("good").await;
    Made::nan_of_long_prompts(2).drop_into(&stage.models(), "bad");
    stage.decides("bad").await;
    fail(&stage, BORNE + 1).await;
    stage.proxy.logged("bundle dropped").await;
    let why = stage.stands("bad", "refused").await;
    assert_eq!(why, "while it decided, it failed in 11 of 11 decisions");
    stage.decides("good").await;
    assert_eq!(stage.ask_this(&long(WORDS)).await, "none");
    assert_eq!(stage.count("gearshift_bundle_loads_total", &["result=\"dropped\""]).await, 1.0);
    assert_eq!(stage.count("gearshift_bundle_info", &["bundle=\"good\""]).await, 1.0);
    assert_eq!(stage.count("gearshift_bundle_info", &[]).await, 1.0);
    let created = "gearshift_bundle_created_timestamp_seconds";
    assert_eq!(stage.count(created, &["bundle=\"bad\""]).await, 0.0, "it left the metrics");
    assert_eq!(stage.count("gearshift_errors_total", &[]).await, 0.0, "no request failed");
    let back = stage.wish("/bundles/rollback").await;
    assert_eq!(back.json()["error"], "no bundle was active before this one");

    // What is mended is taken over.
    Made::whole(3).write(&stage.models().join("bad"));
    stage.decides("bad").await;
}

#[tokio::test]
async fn against_a_wish_no_other_one_decides() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::whole(1).drop_into(&stage.models(), "good");
    Made::nan_of_long_prompts(2).drop_into(&stage.models(), "bad");
    stage.decides("bad").await;
    assert_eq!(stage.wish("/bundles/bad/activate").await.json()["active"], "bad");
    fail(&stage, BORNE + 1).await;
    within("no bundle", async { while !stage.active().await.is_null() {} }).await;
    assert_eq!(stage.ask().await, "no_bundle");
    assert_eq!(
        (stage.active().await.is_null(), stage.bundles().await["pinned"].as_str()),
        (true, Some("bad"))
    );
    assert_eq!(stage.count("gearshift_bundle_candidates", &[]).await, 0.0);
    assert_eq!(stage.wish("/bundles/newest").await.json()["active"], "good");
}

#[tokio::test]
async fn one_that_takes_too_long_is_left_out_for_a_while() {
    const BUDGET: &str = "{budget: 500us}";
    /// As many decisions are looked at.
    const WINDOW: usize = 256;
    let Some(mut stage) = Stage::set(BUDGET).await else { return };
    fs::create_dir(stage.models()).unwrap();
    Made::slow_with_long_prompts(1).drop_into(&stage.models(), "slow");
    stage.decides("slow").await;
    assert_eq!(stage.ask().await, "none");
    let long = long(WORDS);
    let mut asked = 0;
    while stage.ask_this(&long).await == "none" {
        asked += 1;
        assert!(asked <= WINDOW + 1, "it is still asked after {asked} slow decisions");
    }
    assert!(asked >= WINDOW / 2, "{asked} decisions say little");
    stage.proxy.logged("decisions take too long").await;
    assert_eq!(stage.ask().await, "over_budget");
    assert_eq!(stage.active().await, "slow", "it stays, and is asked again later");
}
