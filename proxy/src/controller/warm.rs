//! Requests of Gearshift's own to an engine that just started: kernels are compiled and graphs captured before a client waits.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::actuate::ask_target;
use crate::fleet::{Member, probe::Ask};

/// The first request may compile for minutes.
const PATIENCE: Duration = Duration::from_secs(180);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// Enough words for a prefill that is worth the name.
const WORDS: usize = 200;

/// Has the engine answer so many requests. One that does not complete text (an embedder) needs none.
pub(super) async fn warm_up(tasks: &TaskTracker, member: &Member, requests: u32) -> Result<(), String> {
    let model = member.detected().and_then(|said| said.models().next().map(|served| served.id.clone()));
    let Some(model) = model else { return Ok(()) };
    let target = member.target();
    for number in 0..requests {
        let prompt = format!("{number} {}", "warm ".repeat(WORDS));
        let body = json!({"model": model, "prompt": prompt, "max_tokens": 8}).to_string();
        let mut tries = 1;
        loop {
            let answer =
                ask_target(tasks, &target, &Ask::post("/v1/completions", body.clone()), PATIENCE).await;
            let why = match answer {
                // The engine says that it is not for that.
                Ok(answer) if answer.status.is_client_error() => return Ok(()),
                Ok(answer) if answer.status.is_success() => break,
                Ok(answer) => format!("answers {}", answer.status),
                Err(why) => why,
            };
            if tries == TRIES {
                return Err(format!("a warm-up request fails: {why}"));
            }
            tries += 1;
            sleep(PAUSE).await;
        }
    }
    Ok(())
}
