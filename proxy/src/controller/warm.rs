//! Requests of Gearshift's own to an engine that just started: kernels are compiled and graphs captured before a client waits.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::actuate::ask_target;
use crate::{
    clock,
    fleet::{Member, probe::Ask},
};

/// The first request may compile for minutes.
const PATIENCE: Duration = Duration::from_secs(180);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// Enough words for a prefill that is worth the name.
const WORDS: usize = 200;

/// Has the engine answer so many requests. What comes back ends its probation: where nobody else asks, and where its metrics are
/// missing or were first read afterwards, that is the only sign that tokens flow. An engine that completes no text is asked for
/// embeddings; one that does neither needs no warmth.
pub(super) async fn warm_up(tasks: &TaskTracker, member: &Member, requests: u32) -> Result<(), String> {
    let model = member.detected().and_then(|said| said.models().next().map(|served| served.id.clone()));
    let Some(model) = model else { return Ok(()) };
    for number in 0..requests {
        let text = format!("{number} {}", "warm ".repeat(WORDS));
        let completion = json!({"model": model, "prompt": text, "max_tokens": 8}).to_string();
        let embedding = json!({"model": model, "input": text}).to_string();
        if !asked(tasks, member, &Ask::post("/v1/completions", completion)).await?
            && !asked(tasks, member, &Ask::post("/v1/embeddings", embedding)).await?
        {
            return Ok(());
        }
        member.state().record_output(clock::now());
        member.check_now();
    }
    Ok(())
}

/// Whether the engine answered; `false` where it says that it is not for that.
async fn asked(tasks: &TaskTracker, member: &Member, ask: &Ask<'_>) -> Result<bool, String> {
    let mut tries = 1;
    loop {
        let why = match ask_target(tasks, &member.target(), ask, PATIENCE).await {
            Ok(answer) if answer.status.is_client_error() => return Ok(false),
            Ok(answer) if answer.status.is_success() => return Ok(true),
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
