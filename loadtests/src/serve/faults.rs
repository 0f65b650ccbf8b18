//! Which faults an engine has, and whom they strike.

use crate::sim::{Engine, Fault, Moment};

/// Active faults, of each kind one.
#[derive(Debug)]
pub(super) struct Faults {
    active: Vec<Active>,
    dice: fastrand::Rng,
    /// Steps take this many times as long even without a fault.
    slow: f64,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    fault: Fault,
    /// When it lifts itself.
    until: Option<Moment>,
}

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mischief {
    /// It is answered with this status.
    Status(u16),
    /// Its connection is reset before the answer.
    ResetBefore,
    /// Its connection is reset in the middle of its stream.
    ResetMid,
    /// Its stream ends in the middle of an event.
    Truncate,
    /// One event of its stream is no JSON.
    Malform,
}

/// The name of a fault's kind, as in its JSON.
pub fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Crash => "crash",
        Fault::Hang => "hang",
        Fault::Slow { .. } => "slow",
        Fault::ResetBeforeFirstByte { .. } => "reset_before_first_byte",
        Fault::ResetMidStream { .. } => "reset_mid_stream",
        Fault::TruncatedStream { .. } => "truncated_stream",
        Fault::MalformedStream { .. } => "malformed_stream",
        Fault::Status { .. } => "status",
        Fault::HealthFails => "health_fails",
        Fault::StaleMetrics => "stale_metrics",
        Fault::NanMetrics => "nan_metrics",
        Fault::SlowStart { .. } => "slow_start",
    }
}

impl Faults {
    /// None, on an engine whose steps take `slow` times as long as its specification says.
    pub(super) fn new(seed: u64, slow: f64) -> Self {
        Self { active: Vec::new(), dice: fastrand::Rng::with_seed(seed), slow }
    }

    /// Adds a fault in place of one of its kind.
    pub(super) fn add(&mut self, fault: Fault, until: Option<Moment>) {
        self.active.retain(|active| !active.fault.same_kind(&fault));
        self.active.push(Active { fault, until });
    }

    /// Lifts the fault of a kind, by its name, or all; gives back what was lifted.
    pub(super) fn remove(&mut self, name: Option<&str>) -> Vec<Fault> {
        let named = |active: &mut Active| name.is_none_or(|name| name == kind(&active.fault));
        self.active.extract_if(.., named).map(|active| active.fault).collect()
    }

    /// Lifts those whose time has come; gives them back.
    pub(super) fn expire(&mut self, now: Moment) -> Vec<Fault> {
        let over = |active: &mut Active| active.until.is_some_and(|until| until <= now);
        self.active.extract_if(.., over).map(|active| active.fault).collect()
    }

    /// When the next one lifts itself.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        self.active.iter().filter_map(|active| active.until).min()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.active.iter().map(|active| &active.fault)
    }

    /// Whether there is one like `fault`, whatever its figures.
    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.iter().any(|active| active.same_kind(fault))
    }

    /// Lets the engine's steps take as long as its own slowness and the fault together make them.
    pub(super) fn apply_pace(&self, engine: &mut Engine, now: Moment) {
        let fault = self
            .iter()
            .find_map(|fault| if let Fault::Slow { factor } = fault { Some(*factor) } else { None });
        engine.set_fault(Fault::Slow { factor: self.slow * fault.unwrap_or(1.0) }, now);
    }

    /// What befalls the next request; `stream` says whether its answer is one.
    pub(super) fn strike(&mut self, stream: bool) -> Option<Mischief> {
        let dice = &mut self.dice;
        let strikes = self.active.iter().filter_map(|active| mischief(&active.fault));
        let mut possible = strikes.filter(|(_, mischief)| stream || !mischief.breaks_streams());
        possible.find_map(|(share, mischief)| (dice.f64() < share).then_some(mischief))
    }
}

impl Mischief {
    /// Whether it needs a stream.
    fn breaks_streams(self) -> bool {
        matches!(self, Self::ResetMid | Self::Truncate | Self::Malform)
    }
}

/// What a fault does to requests, and to which share of them.
fn mischief(fault: &Fault) -> Option<(f64, Mischief)> {
    Some(match *fault {
        Fault::Status { code, share } => (share, Mischief::Status(code)),
        Fault::ResetBeforeFirstByte { share } => (share, Mischief::ResetBefore),
        Fault::ResetMidStream { share } => (share, Mischief::ResetMid),
        Fault::TruncatedStream { share } => (share, Mischief::Truncate),
        Fault::MalformedStream { share } => (share, Mischief::Malform),
        Fault::Crash
        | Fault::Hang
        | Fault::Slow { .. }
        | Fault::HealthFails
        | Fault::StaleMetrics
        | Fault::NanMetrics
        | Fault::SlowStart { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kinds_name_is_that_of_its_json() {
        let all = [
            Fault::Crash,
            Fault::Hang,
            Fault::Slow { factor: 2.0 },
            Fault::ResetBeforeFirstByte { share: 1.0 },
            Fault::ResetMidStream { share: 1.0 },
            Fault::TruncatedStream { share: 1.0 },
            Fault::MalformedStream { share: 1.0 },
            Fault::Status { code: 503, share: 1.0 },
            Fault::HealthFails,
            Fault::StaleMetrics,
            Fault::NanMetrics,
            Fault::SlowStart { seconds: 1.0 },
        ];
        for fault in all {
            assert_eq!(serde_json::to_value(fault).unwrap()["kind"], kind(&fault));
        }
    }

    #[test]
    fn of_each_kind_there_is_one_until_its_time() {
        let mut faults = Faults::new(1, 1.0);
        faults.add(Fault::Slow { factor: 2.0 }, None);
        faults.add(Fault::Slow { factor: 4.0 }, Some(Moment(50)));
        faults.add(Fault::HealthFails, None);
        assert_eq!((faults.iter().count(), faults.next_expiry()), (2, Some(Moment(50))));
        assert!(faults.expire(Moment(49)).is_empty());
        assert_eq!(faults.expire(Moment(50)), [Fault::Slow { factor: 4.0 }]);
        assert_eq!(faults.remove(Some("hang")), []);
        assert_eq!(faults.remove(None), [Fault::HealthFails]);
        assert!(!faults.has(&Fault::HealthFails));
    }

    #[test]
    fn shares_are_kept_and_streams_alone_break_in_the_middle() {
        let mut faults = Faults::new(2, 1.0);
        faults.add(Fault::Status { code: 429, share: 0.25 }, None);
        faults.add(Fault::TruncatedStream { share: 1.0 }, None);
        let struck = (0..1000).filter(|_| faults.strike(true) == Some(Mischief::Status(429))).count();
        assert!((200..300).contains(&struck), "{struck}");
        assert!((0..100).all(|_| faults.strike(false) != Some(Mischief::Truncate)));
    }
}
