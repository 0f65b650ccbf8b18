//! What all requests of a run add up to.

use std::collections::BTreeMap;

use super::{Outcome, Slo};
use crate::{Error, report::Latencies, workload::Class};

/// Counts and latencies of a run.
#[derive(Debug, Clone)]
pub struct Results {
    /// What makes a request good.
    pub slo: Slo,
    /// When the last request ended, seconds of the workload's clock since its start; of several runs, their sum.
    pub elapsed_s: f64,
    /// How late the driver sent. Much against the other latencies: it could not keep up, and they are partly its own.
    pub lateness: Latencies,
    classes: BTreeMap<Class, Totals>,
}

/// Counts and latencies of one class, or of all.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Failures by name.
    pub failures: BTreeMap<String, u64>,
    /// Requests within the limits.
    pub good: u64,
    /// Prompt tokens of those that succeeded.
    pub prompt_tokens: u64,
    /// Those of them that were found in the prefix cache.
    pub cached_tokens: u64,
    /// Output tokens of those that succeeded.
    pub output_tokens: u64,
    /// Time to first token, of those that succeeded; as are all that follow.
    pub ttft: Latencies,
    /// Time between two chunks with text.
    pub itl: Latencies,
    /// Time per output token after the first, one value for each request.
    pub tpot: Latencies,
    /// Time to the end.
    pub e2e: Latencies,
}

impl Totals {
    /// Of nothing.
    ///
    /// # Errors
    /// Never with the histograms' bounds.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            requests: 0,
            failures: BTreeMap::new(),
            good: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
            ttft: Latencies::new()?,
            itl: Latencies::new()?,
            tpot: Latencies::new()?,
            e2e: Latencies::new()?,
        })
    }

    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Share of requests within the limits, 0–1; NaN of nothing.
    pub fn good_share(&self) -> f64 {
        self.good as f64 / self.requests as f64
    }

    /// Share of prompt tokens that came from the prefix cache, 0–1; NaN of nothing.
    pub fn cached_share(&self) -> f64 {
        self.cached_tokens as f64 / self.prompt_tokens as f64
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        for (name, count) in &other.failures {
            *self.failures.entry(name.clone()).or_default() += count;
        }
        self.good += other.good;
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
        self.ttft.merge(&other.ttft);
        self.itl.merge(&other.itl);
        self.tpot.merge(&other.tpot);
        self.e2e.merge(&other.e2e);
    }

    fn record(&mut self, outcome: &Outcome, gaps_s: &[f32], slo: &Slo) {
        self.requests += 1;
        if let Some(failure) = outcome.failure {
            *self.failures.entry(failure.name().into_owned()).or_default() += 1;
            return;
        }
        self.good += u64::from(outcome.is_within(slo));
        self.prompt_tokens += outcome.prompt_tokens;
        self.cached_tokens += outcome.cached_tokens.unwrap_or_default();
        self.output_tokens += outcome.output_tokens;
        outcome.ttft_s().into_iter().for_each(|ttft| self.ttft.record_seconds(ttft));
        outcome.tpot_s().into_iter().for_each(|tpot| self.tpot.record_seconds(tpot));
        gaps_s.iter().for_each(|&gap| self.itl.record_seconds(f64::from(gap)));
        self.e2e.record_seconds(outcome.e2e_s());
    }
}

impl Results {
    /// Of nothing.
    ///
    /// # Errors
    /// Never with the histograms' bounds.
    pub fn new(slo: Slo) -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self { slo, elapsed_s: 0.0, lateness: Latencies::new()?, classes: BTreeMap::new() })
    }

    /// Counts a request that ended; `gaps_s` are the times between its chunks, seconds.
    pub(super) fn record(&mut self, outcome: &Outcome, gaps_s: &[f32]) -> Result<(), Error> {
        self.elapsed_s = self.elapsed_s.max(outcome.end_s);
        self.lateness.record_seconds(outcome.sent_s - outcome.due_s);
        let totals = match self.classes.entry(outcome.class) {
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Totals::new()?),
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        };
        totals.record(outcome, gaps_s, &self.slo);
        Ok(())
    }

    /// Each class that had requests.
    pub fn classes(&self) -> impl Iterator<Item = (Class, &Totals)> {
        self.classes.iter().map(|(&class, totals)| (class, totals))
    }

    /// All classes together.
    ///
    /// # Errors
    /// Never with the histograms' bounds.
    pub fn total(&self) -> Result<Totals, hdrhistogram::CreationError> {
        let mut total = Totals::new()?;
        self.classes.values().for_each(|totals| total.merge(totals));
        Ok(total)
    }

    /// Adds another run of the same workload: counts and latencies together, and the time that both took.
    pub fn merge(&mut self, other: &Self) {
        self.elapsed_s += other.elapsed_s;
        self.lateness.merge(&other.lateness);
        for (class, totals) in &other.classes {
            match self.classes.get_mut(class) {
                Some(known) => known.merge(totals),
                None => drop(self.classes.insert(*class, totals.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::replay::{Failure, outcome::tests::outcome};

    #[test]
    fn only_successes_have_latencies_and_tokens() {
        let slo = Slo { ttft_s: Some(0.1), ..Slo::default() };
        let mut results = Results::new(slo).unwrap();
        results.record(&outcome(), &[0.1; 9]).unwrap();
        results.record(&Outcome { class: Class::Rag, first_token_s: Some(1.05), ..outcome() }, &[]).unwrap();
        let failed = Outcome { failure: Some(Failure::Status(503)), end_s: 9.0, ..outcome() };
        results.record(&failed, &[]).unwrap();
        let total = results.total().unwrap();
        assert_eq!((total.requests, total.good, total.failed()), (3, 1, 1));
        assert_eq!(total.failures["status 503"], 1);
        assert_eq!((total.output_tokens, total.ttft.count(), total.itl.count()), (20, 2, 9));
        assert!((total.cached_share() - 0.4).abs() < 1e-9);
        assert!((results.elapsed_s - 9.0).abs() < 1e-9);
        assert_eq!(results.classes().map(|(class, _)| class).collect::<Vec<_>>(), [Class::Chat, Class::Rag]);

        let mut both = results.clone();
        both.merge(&results);
        assert_eq!(both.total().unwrap().requests, 6);
        assert!((both.elapsed_s - 18.0).abs() < 1e-9);
    }
}
