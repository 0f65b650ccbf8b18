//! When requests come.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::random::Random;

/// How the gaps between requests are spread around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Arrivals {
    /// All gaps alike.
    Constant,
    /// Independent arrivals: exponential gaps.
    Poisson,
    /// Bursts: gamma-distributed gaps; a coefficient of variation of 1 is Poisson, more is burstier.
    Gamma {
        /// Standard deviation of the gaps over their mean; positive.
        cv: f64,
    },
    /// As recorded in a trace, faster or slower to meet a rate.
    Trace,
}

/// Why text names no [`Arrivals`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected constant, poisson, gamma:CV (CV > 0) or trace")]
pub struct ArrivalsError(String);

impl FromStr for Arrivals {
    type Err = ArrivalsError;

    fn from_str(text: &str) -> Result<Self, ArrivalsError> {
        let error = || ArrivalsError(text.to_owned());
        match text.split_once(':') {
            None => match text {
                "constant" => Ok(Self::Constant),
                "poisson" => Ok(Self::Poisson),
                "trace" => Ok(Self::Trace),
                _ => Err(error()),
            },
            Some(("gamma", cv)) => {
                let cv: f64 = cv.parse().map_err(|_| error())?;
                // Beyond 100 most gaps round to nothing.
                if cv > 0.0 && cv <= 100.0 { Ok(Self::Gamma { cv }) } else { Err(error()) }
            }
            Some(_) => Err(error()),
        }
    }
}

impl std::fmt::Display for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Poisson => f.write_str("poisson"),
            Self::Gamma { cv } => write!(f, "gamma:{cv}"),
            Self::Trace => f.write_str("trace"),
        }
    }
}

impl TryFrom<String> for Arrivals {
    type Error = ArrivalsError;

    fn try_from(text: String) -> Result<Self, ArrivalsError> {
        text.parse()
    }
}

impl From<Arrivals> for String {
    fn from(arrivals: Arrivals) -> Self {
        arrivals.to_string()
    }
}

impl Arrivals {
    /// Arrival times at `rate` requests per second on average, without end; `rate` is positive.
    /// [`Self::Trace`] has no times of its own and is drawn as Poisson: [`super::Workload`] asks its trace instead.
    pub fn times(self, rate: f64, seed: u64) -> ArrivalTimes {
        ArrivalTimes { arrivals: self, rate, random: Random::new(seed, ARRIVALS_STREAM), at: 0.0 }
    }
}

/// Arrivals draw from a stream of their own: they are the same whatever the requests are.
const ARRIVALS_STREAM: u64 = 0xA221;

/// Arrival times, from the start of the workload.
#[derive(Debug, Clone)]
pub struct ArrivalTimes {
    arrivals: Arrivals,
    rate: f64,
    random: Random,
    /// Seconds; the sum of all gaps so far.
    at: f64,
}

impl Iterator for ArrivalTimes {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let gap = match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson | Arrivals::Trace => self.random.exponential(),
            Arrivals::Gamma { cv } => self.random.gamma(cv.powi(-2)) * cv * cv,
        };
        self.at += gap / self.rate;
        Duration::try_from_secs_f64(self.at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gaps(arrivals: Arrivals, seed: u64) -> Vec<f64> {
        let times: Vec<Duration> = arrivals.times(100.0, seed).take(30_001).collect();
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
    }

    fn variation(gaps: &[f64]) -> f64 {
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        variance.sqrt() / mean
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn gaps_have_the_rate_and_the_variation(cv in 0.2..3.0_f64, seed in any::<u64>()) {
            let gaps = gaps(Arrivals::Gamma { cv }, seed);
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            prop_assert!((mean * 100.0 - 1.0).abs() < 0.12, "{mean}");
            prop_assert!((variation(&gaps) / cv - 1.0).abs() < 0.15);
        }

        #[test]
        fn text_says_the_same_both_ways(cv in 0.01..100.0_f64) {
            for arrivals in [Arrivals::Constant, Arrivals::Poisson, Arrivals::Gamma { cv }, Arrivals::Trace] {
                prop_assert_eq!(arrivals.to_string().parse::<Arrivals>(), Ok(arrivals));
            }
        }
    }

    #[test]
    fn constant_and_poisson_are_what_they_say() {
        assert!(variation(&gaps(Arrivals::Constant, 1)) < 1e-4);
        assert!((0.97..1.03).contains(&variation(&gaps(Arrivals::Poisson, 1))));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "gamma", "gamma:", "gamma:0", "gamma:-1", "gamma:nan", "gamma:inf", "poisson:2", "Poisson"]
        {
            assert!(text.parse::<Arrivals>().is_err(), "{text}");
        }
    }
}
