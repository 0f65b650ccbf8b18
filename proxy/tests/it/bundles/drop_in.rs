//! A bundle is dropped in, in every way in which files come.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::{EVENTS, PATIENT, Stage, make::Made};
use crate::common::{CHAT, COMPLETION, Client, QUESTION, STREAMED, beside, post, within};

const SWAPS: u8 = 100;

#[tokio::test]
async fn a_bundle_decides_once_it_is_there_and_a_newer_one_after_it() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    assert_eq!(stage.ask().await, "no_bundle");
    assert!(stage.bundles().await["active"].is_null());
    // The folder was not there when it started.
    fs::create_dir(stage.models()).unwrap();
    Made::whole(1).drop_into(&stage.models(), "one");
    stage.decides("one").await;
    assert_eq!(stage.ask().await, "none");
    Made::split(2).drop_into(&stage.models(), "two");
    stage.decides("two").await;
    assert_eq!(stage.ask().await, "none");
    stage.stands("one", "previous").await;

    // An older one waits, and one whose directory is gone decides on.
    Made::whole(1).drop_into(&stage.models(), "older");
    stage.stands("older", "available").await;
    fs::remove_dir_all(stage.models()).unwrap();
    within("an empty list", async { while stage.bundles().await["bundles"] != serde_json::json!([]) {} })
        .await;
    assert_eq!((stage.active().await, stage.ask().await), ("two".into(), "none".to_owned()));
    fs::create_dir(stage.models()).unwrap();
    Made::whole(3).drop_into(&stage.models(), "three");
    stage.decides("three").await;
    assert_eq!(stage.count("gearshift_bundle_info", &["bundle=\"three\""]).await, 1.0);
    assert_eq!(stage.count("gearshift_bundle_info", &[]).await, 1.0);
    assert_eq!(stage.count("gearshift_bundle_loads_total", &["result=\"activated\""]).await, 3.0);
    assert_eq!(stage.count("gearshift_bundle_loads_total", &["result=\"refused\""]).await, 0.0);
    assert!(stage.count("gearshift_bundle_candidates", &[]).await >= 4.0);
}

#[tokio::test]
async fn a_copy_under_way_is_waited_for_and_not_held_against_it() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    let made = Made::split(1);
    let directory = stage.models().join("slowly");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("manifest.json"), made.manifest.to_string()).unwrap();
    assert!(stage.stands("slowly", "incomplete").await.contains("copied completely?"));
    let cut = &made.files["regressor.onnx"];
    fs::write(directory.join("regressor.onnx"), &cut[..cut.len() / 2]).unwrap();
    for (name, bytes) in &made.files {
        fs::write(directory.join(name), bytes).unwrap();
    }
    stage.decides("slowly").await;
    assert_eq!(stage.ask().await, "none");
    assert_eq!(stage.count("gearshift_bundle_loads_total", &["result=\"refused\""]).await, 0.0);
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_taken_over() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    let at = |name: &str| stage.models().join(name);
    Made::whole(1).write(&at("..v1"));
    Made::split(2).write(&at("..v2"));
    symlink("..v1", at("..data")).unwrap();
    for file in ["manifest.json", "golden.json", "regressor.onnx", "context.onnx"] {
        symlink(format!("..data/{file}"), at(file)).unwrap();
    }
    stage.decides("models").await;
    let made = async || stage.bundles().await["active"]["created"].clone();
    assert_eq!(made().await, "2026-11-01T00:00:00Z");
    symlink("..v2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    within("the other version", async { while made().await != "2026-11-02T00:00:00Z" {} }).await;
    assert_eq!(stage.ask().await, "none");
}

#[tokio::test]
async fn a_folder_that_is_a_swapped_symlink_is_followed() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    let at = |name: &str| stage.folder.path().join(name);
    Made::whole(1).write(&at("rev-1/one"));
    Made::whole(2).write(&at("rev-2/two"));
    symlink("rev-1", at("models")).unwrap();
    stage.decides("one").await;
    symlink("rev-2", at("models.new")).unwrap();
    fs::rename(at("models.new"), at("models")).unwrap();
    stage.decides("two").await;
}

#[tokio::test]
async fn a_hundred_swaps_fail_no_request() {
    let Some(stage) = Stage::set(PATIENT).await else { return };
    let (going, address) = (Arc::new(AtomicBool::new(true)), stage.proxy.address);
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let going = going.clone();
            let (question, expected) =
                if number % 2 == 0 { (STREAMED, EVENTS.concat()) } else { (QUESTION, COMPLETION.to_owned()) };
            beside(async move {
                let mut client = Client::http1(address).await;
                let mut asked = 0_u32;
                while going.load(Relaxed) {
                    let answer = client.ask(post(CHAT, question)).await;
                    assert_eq!((answer.status.as_u16(), answer.text()), (200, expected.as_str()));
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    let (whole, split) = (Made::whole(1), Made::split(1));
    fs::create_dir(stage.models()).unwrap();
    for swap in 0..SWAPS {
        let mut made = if swap % 2 == 0 { whole.clone() } else { split.clone() };
        made.manifest["created"] = format!("2026-11-01T00:{:02}:{:02}Z", swap / 60, swap % 60).into();
        let name = format!("swap-{swap}");
        made.drop_into(&stage.models(), &name);
        stage.decides(&name).await;
        if swap > 0 {
            fs::remove_dir_all(stage.models().join(format!("swap-{}", swap - 1))).unwrap();
        }
    }
    going.store(false, Relaxed);
    let mut asked = 0;
    for client in clients {
        asked += within("a client to end", client).await.unwrap();
    }
    assert!(asked > u32::from(SWAPS), "{asked}");
    let scrape = stage.proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_requests_total", &["outcome=\"ok\""]), f64::from(asked));
    for (family, labels) in [
        ("gearshift_errors_total", &[][..]),
        ("gearshift_retries_total", &[]),
        ("gearshift_decisions_total", &["fallback=\"learner_failed\""]),
        ("gearshift_decisions_total", &["fallback=\"over_budget\""]),
        ("gearshift_bundle_loads_total", &["result=\"refused\""]),
    ] {
        assert_eq!(scrape.sum(family, labels), 0.0, "{family} {labels:?}");
    }
    assert!(scrape.sum("gearshift_decisions_total", &["fallback=\"none\""]) > 0.0);
}
