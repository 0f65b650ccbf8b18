//! Sections of independent numbers: limits, timeouts, retries, how the fleet is watched, paths.

use std::time::Duration;

use super::Check;
use crate::{
    Fleet, Learner, Limits, Observations, Paths, Retries, Timeouts,
    raw::{RawFleet, RawLearner, RawLimits, RawObservations, RawPaths, RawRetries, RawTimeouts, SizeText},
    yaml::Path,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

pub(super) fn limits(check: &mut Check<'_>, at: &Path, raw: &RawLimits) -> Limits {
    let default = Limits::default();
    let size = |value: Option<SizeText>, default: usize| value.map_or(default, |SizeText(bytes)| bytes);
    let max_body_bytes = size(raw.max_body, default.max_body_bytes);
    let max_buffered_bytes = size(raw.max_buffered, default.max_buffered_bytes.max(max_body_bytes));
    let max_header_bytes = size(raw.max_header, default.max_header_bytes);
    check.within(&at.key("max_body"), max_body_bytes, KIB..=GIB);
    // 8 KiB is the least the HTTP/1 reader takes.
    check.within(&at.key("max_header"), max_header_bytes, 8 * KIB..=MIB);
    if max_buffered_bytes < max_body_bytes {
        let what = format!("{max_buffered_bytes} bytes are less than one largest body");
        check.wrong(&at.key("max_buffered"), what, format!("write at least {max_body_bytes}"));
    }
    let mut count = |key: &str, value: Option<u32>, default: usize, most: usize| {
        let value = value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX));
        check.within(&at.key(key), value, 1..=most)
    };
    Limits {
        max_body_bytes,
        max_buffered_bytes,
        max_header_bytes,
        max_headers: count("max_headers", raw.max_headers, default.max_headers, 10_000),
        max_in_flight: count("max_in_flight", raw.max_in_flight, default.max_in_flight, 1 << 20),
        max_connections: count("max_connections", raw.max_connections, default.max_connections, 1 << 20),
    }
}

pub(super) fn timeouts(check: &mut Check<'_>, at: &Path, raw: &RawTimeouts) -> Timeouts {
    let default = Timeouts::default();
    let mut duration = |key: &str, value, default| check.duration(&at.key(key), value, default);
    Timeouts {
        header: duration("header", raw.header, default.header),
        body_idle: duration("body_idle", raw.body_idle, default.body_idle),
        body: duration("body", raw.body, default.body),
        connect: duration("connect", raw.connect, default.connect),
        response_head: duration("response_head", raw.response_head, default.response_head),
        response_idle: duration("response_idle", raw.response_idle, default.response_idle),
        pool_idle: duration("pool_idle", raw.pool_idle, default.pool_idle),
        client_idle: raw.client_idle.map_or(default.client_idle, |idle| idle.0),
        drain: raw.drain.map_or(default.drain, |drain| drain.0),
    }
}

pub(super) fn retries(check: &mut Check<'_>, at: &Path, raw: &RawRetries) -> Retries {
    let default = Retries::default();
    Retries {
        attempts: check.within(&at.key("attempts"), raw.attempts.unwrap_or(default.attempts), 0..=10),
        budget: check.within(&at.key("budget"), raw.budget.unwrap_or(default.budget), 0.0..=1.0),
    }
}

pub(super) fn fleet(check: &mut Check<'_>, at: &Path, raw: &RawFleet) -> Fleet {
    let default = Fleet::default();
    let failures = raw.unhealthy_after.unwrap_or(default.unhealthy_after);
    let unhealthy_after = check.within(&at.key("unhealthy_after"), failures, 1..=1000);
    let mut duration = |key: &str, value, default| check.duration(&at.key(key), value, default);
    Fleet {
        health_interval: duration("health_interval", raw.health_interval, default.health_interval),
        health_timeout: duration("health_timeout", raw.health_timeout, default.health_timeout),
        unhealthy_after,
        scrape_interval: duration("scrape_interval", raw.scrape_interval, default.scrape_interval),
        hang_after: duration("hang_after", raw.hang_after, default.hang_after),
        detect_interval: duration("detect_interval", raw.detect_interval, default.detect_interval),
    }
}

/// Less leaves no time for a single candidate, more would be felt by clients.
const BUDGETS: std::ops::RangeInclusive<Duration> = Duration::from_micros(20)..=Duration::from_millis(100);

pub(super) fn learner(check: &mut Check<'_>, at: &Path, raw: &RawLearner) -> Learner {
    let default = Learner::default();
    let budget = check.duration(&at.key("budget"), raw.budget, default.budget);
    if !BUDGETS.contains(&budget) {
        let what = format!("{budget:?} is no time for a decision");
        check.wrong(&at.key("budget"), what, "write a time from 20us to 100ms".to_owned());
    }
    let shadow = raw.shadow_requests.unwrap_or(default.shadow_requests);
    Learner {
        enabled: raw.enabled.unwrap_or(default.enabled),
        budget,
        shadow_requests: check.within(&at.key("shadow_requests"), shadow, 0..=10_000_000),
    }
}

/// Rows a file may have: fewer make files of nothing but footers.
const ROWS: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Half-lives below say nothing, above they never forget.
const HALF_LIVES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

pub(super) fn observations(check: &mut Check<'_>, at: &Path, raw: &RawObservations) -> Observations {
    let default = Observations::default();
    let url = raw.url.as_deref().and_then(|url| store(check, &at.key("url"), url));
    let explore = if url.is_some() { Observations::EXPLORE } else { default.explore };
    let mut share = |key: &str, value: Option<f64>, default: f64, most: f64| {
        check.within(&at.key(key), value.unwrap_or(default), 0.0..=most)
    };
    let sample = share("sample", raw.sample, default.sample, 1.0);
    let explore = share("explore", raw.explore, explore, 0.5);
    let explore_max_loss = share("explore_max_loss", raw.explore_max_loss, default.explore_max_loss, 10.0);
    let flush_rows = check.within(&at.key("flush_rows"), raw.flush_rows.unwrap_or(default.flush_rows), ROWS);
    // What is stated has to hold one file; what is not follows.
    let pending = raw.max_pending.unwrap_or(default.max_pending.max(flush_rows));
    let max_pending = check.within(&at.key("max_pending"), pending, flush_rows..=10_000_000);
    let half_life = check.duration(&at.key("half_life"), raw.half_life, default.half_life);
    if !HALF_LIVES.contains(&half_life) {
        check.wrong(
            &at.key("half_life"),
            format!("{half_life:?} is no time to look back on"),
            "write 1s to 168h".to_owned(),
        );
    }
    let flush_every = check.duration(&at.key("flush_every"), raw.flush_every, default.flush_every);
    Observations { url, sample, flush_every, flush_rows, max_pending, explore, explore_max_loss, half_life }
}

/// A folder, relative to the file's, or a bucket.
fn store(check: &mut Check<'_>, at: &Path, text: &str) -> Option<String> {
    let url = check.expand(at, text)?;
    let Some((scheme, _)) = url.split_once("://") else {
        return check.file(at, &url).to_str().map(str::to_owned);
    };
    if !["file", "memory", "s3", "s3a", "gs", "az", "abfs", "abfss", "azure"].contains(&scheme) {
        let what = format!("{scheme}:// is no kind of store");
        check.wrong(
            at,
            what,
            "write a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix".to_owned(),
        );
    }
    Some(url)
}

pub(super) fn paths(check: &mut Check<'_>, at: &Path, raw: &RawPaths) -> Paths {
    let models = raw.models.as_deref().unwrap_or("models");
    Paths {
        models: check.file(&at.key("models"), models),
        onnxruntime: raw.onnxruntime.as_deref().map(|file| check.file(&at.key("onnxruntime"), file)),
    }
}
