//! The three questions that a backend's watcher asks: each takes the connection it goes over along, and gives it back.

use std::time::Duration;

use super::{
    detect::{DetectError, Detected, Unsaid, detect, is_sleeping},
    member::Member,
    probe::{Answer, Probe, ProbeError},
    scrape::CacheConfig,
};

/// Bytes of a `/health` answer read at most.
const HEALTH_LIMIT: usize = 64 << 10;
/// Bytes of a metrics page read at most; vLLM's is 60 kB, more with many adapters.
const METRICS_LIMIT: usize = 4 << 20;

/// Asks whether it is well, after `delay` or as soon as a look is due.
pub(super) async fn check_health(
    member: &Member,
    mut probe: Probe,
    delay: Duration,
) -> (Probe, Result<Answer, ProbeError>) {
    member.until_next_check(delay).await;
    let assignment = member.assignment();
    let timeout = assignment.settings.health_timeout;
    let answer = probe.get(&assignment.target, "/health", timeout, HEALTH_LIMIT).await;
    (probe, answer)
}

/// Reads its metrics page after `delay`.
pub(super) async fn scrape(
    member: &Member,
    mut probe: Probe,
    delay: Duration,
) -> (Probe, Result<Answer, ProbeError>) {
    tokio::time::sleep(delay).await;
    let assignment = member.assignment();
    let timeout = assignment.settings.health_timeout;
    let answer = probe.get(&assignment.target, "/metrics", timeout, METRICS_LIMIT).await;
    (probe, answer)
}

/// What it says of itself.
pub(super) struct Detection {
    pub(super) detected: Detected,
    pub(super) unsaid: Unsaid,
    /// Whether it sleeps, where it tells.
    pub(super) asleep: Option<bool>,
}

/// Asks what it serves and how it is set up, after `delay`; `cache` is what its metrics page says.
pub(super) async fn detection(
    member: &Member,
    mut probe: Probe,
    cache: Option<CacheConfig>,
    delay: Duration,
) -> (Probe, Result<Detection, DetectError>) {
    tokio::time::sleep(delay).await;
    let assignment = member.assignment();
    let (target, timeout) = (&assignment.target, assignment.settings.health_timeout);
    let answer = match detect(&mut probe, target, timeout, cache.as_ref()).await {
        Ok((detected, unsaid)) => {
            // Dev mode opens both; an engine run without statistics tells of its sleep only here.
            let asleep =
                if detected.server_info { is_sleeping(&mut probe, target, timeout).await } else { None };
            Ok(Detection { detected, unsaid, asleep })
        }
        Err(error) => Err(error),
    };
    (probe, answer)
}
