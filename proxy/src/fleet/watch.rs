//! Watching one backend: its health, its metrics, and what it says of itself.
//!
//! One task per backend runs three probes side by side, each with its own connection and timeouts, and draws one
//! conclusion after each answer. Nothing here waits for another backend, and nothing here touches the ledger.

use std::{pin::pin, sync::Arc, time::Duration};

use gearshift_selector::Availability;
use http::StatusCode;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ask::{self, Detection},
    condition::{Change, Check, Condition},
    detect::{DetectError, Detected, LONGEST_NAME, MOST_NAMES, Unsaid},
    engines::{Group, Seen},
    hang::{EngineWork, Own},
    member::{Failure, Member, PrefixCache, Report, ScrapeResult, availability_name},
    mismatch::{Mismatch, mismatches},
    probe::{Answer, Probe, ProbeError},
    round_trip::RoundTrip,
    scrape::{CacheConfig, Scrape},
};
use crate::clock;

/// Of the names that an engine serves, so many are logged.
const NAMED: usize = 8;

/// Watches `member` until `stop`, and leaves it draining.
pub(super) async fn watch(
    member: Arc<Member>,
    seen: Seen,
    tasks: TaskTracker,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let watcher = Watcher::new(member.clone(), seen, changes);
    stop.run_until_cancelled(Box::pin(watcher.run(&tasks))).await;
    member.drain(clock::now());
}

struct Watcher {
    member: Arc<Member>,
    /// Counts what changed in the fleet.
    changes: watch::Sender<u64>,
    condition: Condition,
    round_trip: RoundTrip,
    /// What the last good metrics page said.
    page: Option<Scrape>,
    /// What of its own metrics has been summed up.
    seen: Seen,
    /// Whether the last answer to a scrape had no vLLM metrics.
    no_metrics: bool,
    /// The first detection waits for the first scrape, which tells the cache's size.
    scraped_once: bool,
    /// Something happened after which the engine may be another.
    detect_again: bool,
    /// It may still be: nothing of what was said before is taken over.
    another: bool,
    last_error: Option<Failure>,
}

impl Watcher {
    fn new(member: Arc<Member>, seen: Seen, changes: watch::Sender<u64>) -> Self {
        let condition = Condition::new(clock::now());
        Self {
            member,
            changes,
            condition,
            round_trip: RoundTrip::default(),
            page: None,
            seen,
            no_metrics: false,
            scraped_once: false,
            detect_again: false,
            another: true,
            last_error: None,
        }
    }

    async fn run(mut self, tasks: &TaskTracker) {
        let member = self.member.clone();
        let probe = || Probe::new(tasks.clone());
        let mut health = pin!(ask::check_health(&member, probe(), Duration::ZERO));
        let mut scrape = pin!(ask::scrape(&member, probe(), Duration::ZERO));
        let mut detection = pin!(ask::detection(&member, probe(), None, self.delay(Probed::Engine)));
        loop {
            tokio::select! {
                (probe, answer) = &mut health => {
                    self.checked(&answer);
                    health.set(ask::check_health(&member, probe, self.delay(Probed::Health)));
                }
                (probe, answer) = &mut scrape => {
                    self.scraped(answer);
                    scrape.set(ask::scrape(&member, probe, self.delay(Probed::Metrics)));
                }
                (probe, answer) = &mut detection => {
                    self.detected(answer);
                    detection.set(ask::detection(&member, probe, self.cache(), self.delay(Probed::Engine)));
                }
            }
            self.conclude();
            if std::mem::take(&mut self.detect_again) {
                self.another = true;
                detection.set(ask::detection(&member, probe(), self.cache(), Duration::ZERO));
            }
        }
    }

    /// How long to wait before the next probe: longer for what is down or has nothing to tell, and never in step
    /// with the rest of the fleet.
    fn delay(&self, probed: Probed) -> Duration {
        let settings = &self.member.assignment().settings;
        let down = self.condition.availability().0 == Availability::Down;
        let interval = match probed {
            Probed::Engine if self.member.detected().is_some() => settings.detect_interval,
            _ if down => {
                settings.health_interval * 2_u32.pow(self.condition.failures().saturating_sub(1).min(2))
            }
            Probed::Engine => settings.health_interval,
            Probed::Metrics if self.no_metrics => settings.detect_interval,
            Probed::Health => settings.health_interval,
            Probed::Metrics => settings.scrape_interval,
        };
        let spread = if down { 0.25 } else { 0.1 };
        interval.mul_f64(1.0 + spread * (2.0 * fastrand::f64() - 1.0))
    }

    fn cache(&self) -> Option<CacheConfig> {
        self.page.as_ref()?.cache.clone()
    }

    fn checked(&mut self, answer: &Result<Answer, ProbeError>) {
        let check = match answer {
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => Check::Dead,
            Ok(answer) if answer.status.is_server_error() => Check::Failed,
            Ok(_) => Check::Alive,
            Err(error) if error.is_refused() => Check::Refused,
            Err(ProbeError::Timeout(_)) => Check::Timeout,
            Err(_) => Check::Failed,
        };
        match answer {
            Ok(answer) if check != Check::Alive => self.failed(format!("/health answers {}", answer.status)),
            Ok(answer) => {
                if let Some(round_trip) = answer.round_trip.map(|took| self.round_trip.take(took)) {
                    self.member.state().record_round_trip(round_trip);
                }
            }
            Err(error) => self.failed(format!("/health: {error}")),
        }
        self.member.counters.checked(check);
        let settings = &self.member.assignment().settings;
        self.condition.checked(clock::now(), check, self.own(), settings);
    }

    fn scraped(&mut self, answer: Result<Answer, ProbeError>) {
        let result = match answer {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => ScrapeResult::Absent,
            Ok(answer) if answer.status.is_success() => {
                let text = String::from_utf8_lossy(&answer.body);
                match Scrape::parse(&text) {
                    Some(page) => {
                        if let Some(group) = self.group() {
                            self.seen.page(&text, group);
                        }
                        self.take_page(page)
                    }
                    None => ScrapeResult::Absent,
                }
            }
            Ok(answer) => {
                self.failed(format!("/metrics answers {}", answer.status));
                ScrapeResult::Failed
            }
            Err(error) => {
                self.failed(format!("/metrics: {error}"));
                match error {
                    ProbeError::Timeout(_) => ScrapeResult::Timeout,
                    ProbeError::Connect(_) => ScrapeResult::Unreachable,
                    ProbeError::Broken(_) | ProbeError::TooLarge(_) | ProbeError::Request(_) => {
                        ScrapeResult::Failed
                    }
                }
            }
        };
        if !matches!(result, ScrapeResult::Ok | ScrapeResult::Incomplete) {
            self.seen.gone();
        }
        self.no_metrics = result == ScrapeResult::Absent;
        self.detect_again |= !std::mem::replace(&mut self.scraped_once, true);
        self.member.counters.scraped(result);
    }

    /// What the engine's own metrics are summed up by: the configuration's names, not those on its page. `None` while nobody
    /// knows what it serves.
    fn group(&self) -> Option<Group> {
        let assignment = self.member.assignment();
        let detected = || Some(self.member.detected()?.served.first()?.id.clone());
        let model = assignment.served_name.clone().or_else(detected)?;
        Some(Group { model, profile: assignment.backend.profile_name().to_owned() })
    }

    fn take_page(&mut self, page: Scrape) -> ScrapeResult {
        let now = clock::now();
        if let Some(asleep) = page.asleep {
            self.condition.sleeping(now, asleep);
        }
        if let Some(tokens) = page.tokens() {
            let kv_usage = page.kv_usage.unwrap_or_default();
            self.condition.working(now, EngineWork { busy: page.busy(), tokens, kv_usage });
        }
        if let Some(before) = &self.page {
            if page.tokens() < before.tokens() && page.tokens().is_some() {
                tracing::info!(backend = %self.member.id(), "the engine restarted: its counters began anew");
                self.member.state().forget_prefixes();
                self.detect_again = true;
            }
            self.detect_again |= page.cache.is_some() && page.cache != before.cache;
        }
        let load = page.load(now);
        self.page = Some(page);
        let Some(load) = load else { return ScrapeResult::Incomplete };
        self.member.state().record_scrape(load);
        ScrapeResult::Ok
    }

    fn detected(&mut self, answer: Result<Detection, DetectError>) {
        self.member.counters.detected(answer.is_ok());
        let Detection { mut detected, unsaid, asleep } = match answer {
            Ok(detection) => detection,
            // What it last said stands until it says something else.
            Err(error) => return self.failed(error.to_string()),
        };
        if let Some(asleep) = asleep.filter(|_| self.page.as_ref().is_none_or(|page| page.asleep.is_none())) {
            self.condition.sleeping(clock::now(), asleep);
        }
        let before = self.member.detected();
        let another = std::mem::replace(&mut self.another, false);
        let same = before.as_deref().filter(|_| !another);
        self.unsaid(&unsaid, same);
        if let Some(before) = same {
            detected.keep(before, &unsaid);
        }
        if before.as_deref() != Some(&detected) {
            let first = detected.served.iter().take(NAMED).map(|served| &*served.id);
            tracing::info!(
                backend = %self.member.id(), served = ?first.collect::<Vec<_>>(), names = detected.served.len(),
                version = detected.version, kv_tokens = detected.kv_tokens, "the engine says what it serves"
            );
            if detected.left_out > 0 && before.is_none_or(|before| before.left_out == 0) {
                tracing::warn!(
                    backend = %self.member.id(), left_out = detected.left_out,
                    "the engine lists more names than are taken in of one ({MOST_NAMES}), or longer ones \
                     ({LONGEST_NAME} bytes): the others are not served"
                );
            }
            self.member.state().set_kv_tokens(detected.kv_tokens);
            self.member.set_detected(detected);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// A busy engine may fail to answer for once; one that never answered is told of.
    fn unsaid(&mut self, unsaid: &Unsaid, before: Option<&Detected>) {
        if let Some(problem) = &unsaid.server_info {
            if before.is_none() {
                tracing::warn!(
                    backend = %self.member.id(), problem, "the engine fails to say how it is set up (/server_info): \
                     its knobs are taken for what is declared, but for those on its metrics page"
                );
            }
            self.failed(format!("/server_info: {problem}"));
        }
        if let Some(problem) = &unsaid.version {
            self.failed(format!("/version: {problem}"));
        }
    }

    /// Compares with the declaration, which a reload may have changed; each difference is told once.
    fn compare(&self) -> Vec<Mismatch> {
        let Some(detected) = self.member.detected() else { return Vec::new() };
        let found = mismatches(self.member.assignment().declaration(), &detected);
        let known = self.member.mismatches();
        for mismatch in found.iter().filter(|mismatch| !known.contains(mismatch)) {
            tracing::warn!(
                backend = %self.member.id(), what = mismatch.what, declared = mismatch.declared,
                detected = mismatch.detected, "the configuration declares what the engine does not confirm"
            );
        }
        found
    }

    fn failed(&mut self, what: String) {
        self.last_error = Some(Failure { at: clock::now(), what });
    }

    fn own(&self) -> Own {
        let state = self.member.state();
        Own { requests: state.in_flight().requests, last_output: state.last_output() }
    }

    /// Draws the conclusion from all readings and publishes it.
    fn conclude(&mut self) {
        let now = clock::now();
        let change = self.condition.conclude(now, self.own(), &self.member.assignment().settings);
        if let Some(change) = change {
            self.changed(change);
        }
        let (availability, since) = self.condition.availability();
        let prefix = self
            .page
            .as_ref()
            .and_then(|page| Some(PrefixCache { queries: page.prefix_queries?, hits: page.prefix_hits? }));
        self.member.publish(Report {
            availability,
            since,
            failures: self.condition.failures(),
            last_error: self.last_error.clone(),
            mismatches: self.compare(),
            prefix,
        });
    }

    fn changed(&mut self, Change { from, to }: Change) {
        self.member.found_to_be(to);
        if to == Availability::Down {
            self.seen.gone();
        }
        // After an outage or a sleep another engine may stand there.
        let back = matches!(from, Availability::Down | Availability::Asleep);
        self.detect_again |= back;
        if from == Availability::Down {
            self.member.state().forget_prefixes();
        }
        let backend = self.member.id();
        let (from, to_name) = (availability_name(from), availability_name(to));
        let last_error = self.last_error.as_ref().map(|failure| failure.what.as_str());
        match to {
            Availability::Ready
            | Availability::Probation
            | Availability::Unknown
            | Availability::Draining
            | Availability::Shifting => {
                tracing::info!(%backend, from, to = to_name, "the backend's availability changed");
            }
            Availability::Asleep | Availability::Down | Availability::Hung => {
                tracing::warn!(%backend, from, to = to_name, last_error, "the backend's availability changed");
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Probed {
    Health,
    Metrics,
    Engine,
}
