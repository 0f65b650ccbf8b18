//! Gearshift, or the engine, is killed at every step of a switch. Afterwards there is one engine, its profile is known,
//! and requests flow.

use super::{
    house::{House, patiently},
    linux,
};

/// Kills Gearshift at a step: the next one goes on, and the switch is done.
async fn gearshift_dies_while(step: &str) {
    if !linux() {
        return;
    }
    let house = House::open("keep").await;
    let before = house.engines();
    assert_eq!(house.shift("caching").await.status, 200);
    // Wherever it is killed, the outcome is the same.
    house.comes_as_far_as(false, step).await;
    let house = house.crash().await;
    let last = house.ends().await;
    assert_eq!((&last["outcome"], &last["to"]), (&"done".into(), &"caching".into()), "{last}");
    house.is_sound("caching").await;
    assert!(house.engines().iter().any(|engine| before.contains(engine)), "right was never touched");
}

/// Kills the engine at a step.
async fn the_engine_dies_while(step: &str, outcome: &str) {
    if !linux() {
        return;
    }
    let house = match step {
        "slow_start" => House::open_at_length("keep").await,
        _ => House::open("keep").await,
    };
    let before = house.journal()["engine"]["pid"].clone();
    assert_eq!(house.shift("caching").await.status, 200);
    house.comes_to(step).await;
    if step == "starting" {
        // The journal has the step before it has the engine.
        patiently("the new engine", async {
            while house.journal()["engine"]["pid"] == before || house.journal()["engine"]["pid"].is_null() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await;
    }
    house.kill_engine();
    let last = house.ends().await;
    assert_eq!(last["outcome"], outcome, "{last}");
    house.is_sound(if outcome == "done" { "caching" } else { "plain" }).await;
}

macro_rules! at_steps {
    ($($gearshift:ident, $engine:ident: $step:literal, $outcome:literal;)*) => {
        $(
            #[tokio::test]
            async fn $gearshift() {
                gearshift_dies_while($step).await;
            }

            #[tokio::test]
            async fn $engine() {
                the_engine_dies_while($step, $outcome).await;
            }
        )*
    };
}

at_steps! {
    gearshift_dies_while_draining, the_engine_dies_while_draining: "draining", "done";
    gearshift_dies_while_stopping, the_engine_dies_while_stopping: "stopping", "done";
    gearshift_dies_while_releasing, no_engine_dies_while_releasing: "releasing", "done";
    gearshift_dies_while_starting, the_engine_dies_while_starting: "starting", "rolled_back";
    gearshift_dies_while_verifying, the_engine_dies_while_verifying: "verifying", "rolled_back";
    gearshift_dies_while_warming, the_engine_dies_while_warming: "warming", "rolled_back";
    gearshift_dies_in_the_slow_start, the_engine_dies_in_the_slow_start: "slow_start", "rolled_back";
}

/// A crash at each step of one and the same switch, and on the way back too.
#[tokio::test]
async fn gearshift_dies_again_and_again() {
    if !linux() {
        return;
    }
    let mut house = House::open("keep").await;
    assert_eq!(house.shift("broken").await.status, 200);
    let there = ["draining", "stopping", "releasing", "starting"].map(|step| (false, step));
    let back = ["stopping", "starting", "warming"].map(|step| (true, step));
    for (back, step) in there.into_iter().chain(back) {
        house.comes_as_far_as(back, step).await;
        house = house.crash().await;
    }
    let last = house.ends().await;
    assert_eq!(last["outcome"], "rolled_back", "{last}");
    house.is_sound("plain").await;
}
