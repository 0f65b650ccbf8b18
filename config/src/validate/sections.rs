//! Sections of independent numbers: limits, timeouts, retries, how the fleet is watched, paths.

use std::time::Duration;

use super::Check;
use crate::{
    Fleet, Learner, Limits, Paths, Retries, Timeouts,
    raw::{RawFleet, RawLearner, RawLimits, RawPaths, RawRetries, RawTimeouts, SizeText},
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

pub(super) fn paths(check: &mut Check<'_>, at: &Path, raw: &RawPaths) -> Paths {
    let models = raw.models.as_deref().unwrap_or("models");
    Paths {
        models: check.file(&at.key("models"), models),
        onnxruntime: raw.onnxruntime.as_deref().map(|file| check.file(&at.key("onnxruntime"), file)),
    }
}
