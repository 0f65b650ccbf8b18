//! What can go wrong with an engine, in both clocks.

/// A fault, until it is lifted. Of each kind one at a time; several kinds together.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The process dies: connections are reset and refused, everything in it is lost, until it is lifted and has
    /// started again.
    Crash,
    /// No step ends any more; `/health` still says 200.
    Hang,
    /// Every step takes `factor` times as long (thermal throttling, a noisy neighbour).
    Slow {
        /// Above 1: slower.
        factor: f64,
    },
    /// The connection is reset before the first byte of an answer, with this probability.
    ResetBeforeFirstByte {
        /// 0 to 1.
        share: f64,
    },
    /// The connection is reset in the middle of a stream, with this probability.
    ResetMidStream {
        /// 0 to 1.
        share: f64,
    },
    /// The stream ends in order, but in the middle of an event and without `[DONE]`, with this probability.
    TruncatedStream {
        /// 0 to 1.
        share: f64,
    },
    /// An event of the stream is no JSON, with this probability.
    MalformedStream {
        /// 0 to 1.
        share: f64,
    },
    /// Requests are answered with an error, with this probability: 429, 500, 502, 503.
    Status {
        /// The status.
        code: u16,
        /// 0 to 1.
        share: f64,
    },
    /// `/health` says 503 though the engine works.
    HealthFails,
    /// The metrics stay as they were when this began.
    StaleMetrics,
    /// The gauges read NaN.
    NanMetrics,
    /// The next start takes this much longer, seconds.
    SlowStart {
        /// Seconds on top.
        seconds: f64,
    },
}

/// Most that [`Fault::Slow`] stretches a step.
const MAX_SLOW: f64 = 10_000.0;
/// Most seconds of [`Fault::SlowStart`]: a day.
const MAX_START_S: f64 = 86_400.0;

impl Fault {
    /// Whether its figures are ones that an engine can have.
    ///
    /// # Errors
    /// Says which figure is out of which range.
    pub fn check(&self) -> Result<(), String> {
        let within = |valid: bool, reason: String| if valid { Ok(()) } else { Err(reason) };
        let probability =
            |share: f64| within((0.0..=1.0).contains(&share), format!("share must be 0 to 1, not {share}"));
        match *self {
            Self::Slow { factor } => within(
                factor > 0.0 && factor <= MAX_SLOW,
                format!("factor must be above 0 and at most {MAX_SLOW}, not {factor}"),
            ),
            Self::Status { code, share } => {
                within((400..=599).contains(&code), format!("code must be 400 to 599, not {code}"))?;
                probability(share)
            }
            Self::ResetBeforeFirstByte { share }
            | Self::ResetMidStream { share }
            | Self::TruncatedStream { share }
            | Self::MalformedStream { share } => probability(share),
            Self::SlowStart { seconds } => within(
                (0.0..=MAX_START_S).contains(&seconds),
                format!("seconds must be 0 to {MAX_START_S}, not {seconds}"),
            ),
            Self::Crash | Self::Hang | Self::HealthFails | Self::StaleMetrics | Self::NanMetrics => Ok(()),
        }
    }

    /// Whether `other` is of the same kind, whatever the figures of either.
    pub fn same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn figures_have_their_ranges() {
        for fault in [
            Fault::Crash,
            Fault::Slow { factor: 1e-3 },
            Fault::Slow { factor: 10_000.0 },
            Fault::ResetMidStream { share: 0.0 },
            Fault::Status { code: 400, share: 1.0 },
            Fault::Status { code: 599, share: 0.5 },
            Fault::SlowStart { seconds: 0.0 },
            Fault::SlowStart { seconds: 86_400.0 },
        ] {
            assert_eq!(fault.check(), Ok(()), "{fault:?}");
        }
        for (fault, figure) in [
            (Fault::Slow { factor: 0.0 }, "factor"),
            (Fault::Slow { factor: 10_000.1 }, "factor"),
            (Fault::Slow { factor: f64::NAN }, "factor"),
            (Fault::ResetBeforeFirstByte { share: -0.1 }, "share"),
            (Fault::ResetMidStream { share: 1.1 }, "share"),
            (Fault::TruncatedStream { share: f64::NAN }, "share"),
            (Fault::MalformedStream { share: 2.0 }, "share"),
            (Fault::Status { code: 503, share: 1.5 }, "share"),
            (Fault::Status { code: 399, share: 1.0 }, "code"),
            (Fault::Status { code: 600, share: 1.0 }, "code"),
            (Fault::SlowStart { seconds: -1.0 }, "seconds"),
            (Fault::SlowStart { seconds: f64::INFINITY }, "seconds"),
        ] {
            assert!(fault.check().is_err_and(|reason| reason.starts_with(figure)), "{fault:?}");
        }
    }
}
