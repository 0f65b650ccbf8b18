//! Orders to the operator's own system: signed JSON, which it accepts by any 2xx. What operators may rely on is written down in
//! `config/webhook.md`, which a test follows.

use std::{fmt::Write as _, time::Duration};

use gearshift_config::{Actuator as Settings, Backend, BackendUrl, Declared, Secret, WebhookActuator};
use hmac::{Hmac, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::{Actuator, Ask, ask, profile};
use crate::{clock::unix_seconds, controller::machine::Switch};

/// How often an order is given.
const TRIES: u32 = 3;
/// Between two of them, longer each time.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the operator's system.
#[derive(Debug)]
pub(in crate::controller) struct WebhookHand {
    tasks: TaskTracker,
}

impl WebhookHand {
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { tasks }
    }

    async fn post(&self, settings: &WebhookActuator, body: &str) -> Result<(), String> {
        let time = unix_seconds();
        let headers = [
            ("x-gearshift-timestamp", time.to_string()),
            ("x-gearshift-signature", format!("sha256={}", signature(&settings.secret, time, body))),
        ];
        let path = if settings.url.path.is_empty() { "/" } else { "" };
        let order = Ask { method: Method::POST, path, body: body.to_owned().into(), headers: &headers };
        let answer = ask(&self.tasks, &receiver(&settings.url), &order, settings.timeout).await?;
        if answer.status.is_success() { Ok(()) } else { Err(format!("answers {}", answer.status)) }
    }
}

impl Actuator for WebhookHand {
    /// Nothing: the order says it all.
    async fn stop(&mut self, _backend: &Backend, _leaving: &str) -> Result<(), String> {
        Ok(())
    }

    async fn release(&mut self, _backend: &Backend) -> Result<(), String> {
        Ok(())
    }

    async fn start(&mut self, backend: &Backend, switch: &Switch) -> Result<(), String> {
        let settings = settings(backend)?;
        let body = order(backend, switch)?.to_string();
        let mut tries = 1;
        loop {
            let Err(why) = self.post(settings, &body).await else { return Ok(()) };
            tracing::warn!(backend = %backend.id, tries, why, "the order was not accepted");
            if tries == TRIES {
                return Err(format!("{}: {why}", settings.url.origin()));
            }
            sleep(PAUSE * tries).await;
            tries += 1;
        }
    }

    fn ended(&mut self, _backend: &Backend) -> Option<String> {
        None
    }
}

fn order(backend: &Backend, switch: &Switch) -> Result<Value, String> {
    let model = match &backend.model {
        Declared::Is(model) => Some(model),
        Declared::Detect => None,
    };
    let described = |name: &str| {
        let profile = profile(backend, name)?;
        Ok::<_, String>(json!({"name": name, "knobs": profile.knobs, "arguments": profile.knobs.vllm_args()}))
    };
    Ok(json!({
        // The way back is another order: who knows the first one by its id must not take it for that.
        "id": if switch.back.is_some() { format!("{}-back", switch.id) } else { switch.id.clone() },
        "backend": backend.id,
        "url": backend.url,
        "model": model,
        "from": described(switch.leaving())?,
        "to": described(switch.target())?,
        "rolling_back": switch.back.is_some(),
        "reason": switch.back.as_ref().unwrap_or(&switch.reason),
    }))
}

/// Hexadecimal.
fn signature(secret: &Secret, time: u64, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{time}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        // Text takes everything.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The operator's system, reached as backends are.
fn receiver(url: &BackendUrl) -> Backend {
    Backend {
        id: gearshift_config::BackendId::new("webhook"),
        url: url.clone(),
        hardware: None,
        model: Declared::Detect,
        profile: Declared::Detect,
        profiles: Vec::new(),
        actuator: None,
        price_usd_per_hour: None,
        api_key: None,
        protocol: gearshift_config::UpstreamProtocol::Http1,
        ca_file: None,
    }
}

fn settings(backend: &Backend) -> Result<&WebhookActuator, String> {
    match &backend.actuator {
        Some(Settings::Webhook(settings)) => Ok(settings),
        Some(Settings::Process(_) | Settings::Sleep(_)) | None => {
            Err("the configuration has no `webhook` actuator here any more".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn signatures_are_openssls() {
        let signed = signature(&Secret::new("secret"), 1_700_000_000, "{\"a\":1}");
        assert_eq!(signed, "49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686");
    }
}
