//! Measured against simulated, profile by profile, and whether both put the profiles into the same order.

use serde::Serialize;

use super::{
    load,
    outcome::{PhaseRun, ProfileRun},
    plan::{Phase, Profile},
};
use crate::report::{mean, median};

/// A figure of a profile that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Median time to first token under arrivals, seconds.
    TtftMedian,
    /// Mean time to first token under arrivals, seconds.
    TtftMean,
    /// Median time per output token after the first under arrivals, seconds.
    TpotMedian,
    /// Mean time per output token after the first under arrivals, seconds.
    TpotMean,
    /// Mean time to the last token under arrivals, seconds.
    E2eMean,
    /// Output tokens per second, all requests at once.
    Throughput,
}

impl Metric {
    /// All of them, in the order reports use.
    pub const ALL: [Self; 6] =
        [Self::TtftMedian, Self::TtftMean, Self::TpotMedian, Self::TpotMean, Self::E2eMean, Self::Throughput];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TtftMedian => "TTFT p50",
            Self::TtftMean => "TTFT mean",
            Self::TpotMedian => "TPOT p50",
            Self::TpotMean => "TPOT mean",
            Self::E2eMean => "E2E mean",
            Self::Throughput => "throughput",
        }
    }

    /// Of a run.
    pub fn of(self, run: &ProfileRun) -> f64 {
        let phase =
            |phase: Phase| run.get(&phase).map_or_else(Timings::default, |run| Timings::new(phase, run));
        match self {
            Self::TtftMedian => median(&phase(Phase::Open).ttft_s),
            Self::TtftMean => mean(&phase(Phase::Open).ttft_s),
            Self::TpotMedian => median(&phase(Phase::Open).tpot_s),
            Self::TpotMean => mean(&phase(Phase::Open).tpot_s),
            Self::E2eMean => mean(&phase(Phase::Open).e2e_s),
            Self::Throughput => phase(Phase::Burst).tokens_per_s,
        }
    }
}

/// A phase, request by request.
#[derive(Debug, Clone, Default)]
struct Timings {
    ttft_s: Vec<f64>,
    tpot_s: Vec<f64>,
    e2e_s: Vec<f64>,
    tokens_per_s: f64,
}

impl Timings {
    fn new(phase: Phase, run: &PhaseRun) -> Self {
        let requests = load::requests(&phase.load());
        let tokens = requests.iter().map(|request| f64::from(request.content.output_tokens()));
        let tpot_s = tokens
            .clone()
            .zip(run.ttft_s.iter().zip(&run.e2e_s))
            .map(|(tokens, (ttft, e2e))| (e2e - ttft) / (tokens - 1.0).max(1.0))
            .collect();
        let ends = requests.iter().zip(&run.e2e_s).map(|(request, e2e)| request.at.as_secs_f64() + e2e);
        let tokens_per_s = tokens.sum::<f64>() / ends.fold(f64::MIN_POSITIVE, f64::max);
        Self { ttft_s: run.ttft_s.clone(), tpot_s, e2e_s: run.e2e_s.clone(), tokens_per_s }
    }
}

/// One profile, both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The profile's name.
    pub profile: String,
    /// Its figures.
    pub figures: Vec<Figure>,
    /// Median over requests of |simulated / measured − 1|: time to first token, under arrivals.
    pub request_ttft_error: f64,
    /// The same of the time per output token.
    pub request_tpot_error: f64,
    /// Prompt tokens from the prefix cache over both phases: measured, simulated.
    pub prefix_hits: (u64, u64),
    /// Preemptions over both phases: measured, simulated.
    pub preemptions: (u64, u64),
    /// Share of the machine that others took while it was measured, in the worse phase.
    pub others: f64,
}

/// One figure, both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// Which.
    pub metric: Metric,
    /// On real vLLM.
    pub measured: f64,
    /// In the simulation.
    pub simulated: f64,
}

impl Figure {
    /// simulated / measured − 1.
    pub fn off(&self) -> f64 {
        self.simulated / self.measured - 1.0
    }

    /// |simulated / measured − 1|.
    pub fn error(&self) -> f64 {
        self.off().abs()
    }
}

fn relative_error(simulated: f64, measured: f64) -> f64 {
    (simulated / measured - 1.0).abs()
}

impl Compared {
    /// Both sides of a profile.
    pub fn new(profile: Profile, measured: &ProfileRun, simulated: &ProfileRun) -> Self {
        let figure = |metric: Metric| Figure {
            metric,
            measured: metric.of(measured),
            simulated: metric.of(simulated),
        };
        let timings = |run: &ProfileRun| {
            run.get(&Phase::Open).map_or_else(Timings::default, |run| Timings::new(Phase::Open, run))
        };
        let (real, virtual_) = (timings(measured), timings(simulated));
        let errors = |real: &[f64], virtual_: &[f64]| {
            let errors = virtual_.iter().zip(real).map(|(virtual_, real)| relative_error(*virtual_, *real));
            median(&errors.collect::<Vec<_>>())
        };
        let both =
            |of: fn(&PhaseRun) -> u64| (measured.values().map(of).sum(), simulated.values().map(of).sum());
        Self {
            profile: profile.name(),
            figures: Metric::ALL.map(figure).into(),
            request_ttft_error: errors(&real.ttft_s, &virtual_.ttft_s),
            request_tpot_error: errors(&real.tpot_s, &virtual_.tpot_s),
            prefix_hits: both(|run| run.prefix_hits),
            preemptions: both(|run| run.preemptions),
            others: measured.values().map(|run| run.others).fold(0.0, f64::max),
        }
    }

    /// Whether the simulation has this profile and another in the order they were measured in; `None` where they
    /// measured too close to tell.
    pub fn same_order(&self, other: &Self, metric: Metric) -> Option<bool> {
        let (one, other) = (self.figure(metric)?, other.figure(metric)?);
        let measured = (other.measured / one.measured).ln();
        let simulated = (other.simulated / one.simulated).ln();
        (measured.abs() > DIFFERENT.ln()).then_some(measured * simulated > 0.0)
    }

    /// One of its figures.
    pub fn figure(&self, metric: Metric) -> Option<Figure> {
        self.figures.iter().copied().find(|figure| figure.metric == metric)
    }
}

/// How far profiles differ before their order is held against the simulation, as a ratio.
const DIFFERENT: f64 = 1.1;

/// Whether both sides order the profiles alike, by one figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// By which.
    pub metric: Metric,
    /// Pairs of profiles that measured more than 10 % apart.
    pub pairs: usize,
    /// Of these, in the same order in the simulation.
    pub agree: usize,
    /// The others, the one that measured lower first.
    pub disagree: Vec<(String, String)>,
    /// Kendall's tau over all pairs, −1 to 1.
    pub tau: f64,
}

impl Order {
    /// Of the profiles compared.
    pub fn new(metric: Metric, compared: &[Compared]) -> Self {
        let mut order = Self { metric, pairs: 0, agree: 0, disagree: Vec::new(), tau: 0.0 };
        let (mut concordant, mut all) = (0.0, 0.0);
        for (index, one) in compared.iter().enumerate() {
            for other in &compared[index + 1..] {
                let (Some(a), Some(b)) = (one.figure(metric), other.figure(metric)) else { continue };
                all += 1.0;
                concordant += ((b.measured - a.measured) * (b.simulated - a.simulated)).signum();
                match one.same_order(other, metric) {
                    None => continue,
                    Some(true) => order.agree += 1,
                    Some(false) if a.measured < b.measured => {
                        order.disagree.push((one.profile.clone(), other.profile.clone()));
                    }
                    Some(false) => order.disagree.push((other.profile.clone(), one.profile.clone())),
                }
                order.pairs += 1;
            }
        }
        order.tau = concordant / f64::max(all, 1.0);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(name: &str, measured: f64, simulated: f64) -> Compared {
        let figure = Figure { metric: Metric::TtftMean, measured, simulated };
        Compared {
            profile: name.to_owned(),
            figures: vec![figure],
            request_ttft_error: 0.0,
            request_tpot_error: 0.0,
            prefix_hits: (0, 0),
            preemptions: (0, 0),
            others: 0.0,
        }
    }

    #[test]
    fn only_pairs_that_differ_count() {
        let profiles = [
            compared("a", 1.0, 2.0),
            compared("b", 1.05, 1.0),
            compared("c", 2.0, 1.5),
            compared("d", 4.0, 9.0),
        ];
        let order = Order::new(Metric::TtftMean, &profiles);
        // a–b differ too little; a–c is the one that the simulation has the other way round.
        assert_eq!((order.pairs, order.agree), (5, 4));
        assert_eq!(order.disagree, [("a".to_owned(), "c".to_owned())]);
        assert!((order.tau - (4.0 - 2.0) / 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_run_compared_with_itself_is_without_error() {
        let phase = |phase: Phase| {
            let count = load::requests(&phase.load()).len();
            let run = PhaseRun { ttft_s: vec![0.5; count], e2e_s: vec![2.0; count], ..PhaseRun::default() };
            (phase, run)
        };
        let run: ProfileRun = Phase::ALL.map(phase).into();
        let compared = Compared::new(Profile::FITTED, &run, &run);
        assert!(compared.figures.iter().all(|figure| figure.measured > 0.0 && figure.error() == 0.0));
        assert_eq!((compared.request_ttft_error, compared.request_tpot_error), (0.0, 0.0));
        let throughput = compared.figure(Metric::Throughput).unwrap().measured;
        let tokens: u32 =
            load::requests(&Phase::Burst.load()).iter().map(|request| request.content.output_tokens()).sum();
        assert!((throughput - f64::from(tokens) / 2.0).abs() < 1e-9);
    }
}
