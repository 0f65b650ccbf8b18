//! Requests as samples to learn from, grouped so that choices made under like circumstances are compared.

use std::collections::BTreeMap;

use gearshift_perfdb::Observation;

use super::Journey;
use crate::dataset::{Dataset, Protocol};

/// What is compared with each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grouping {
    /// Requests that were sent within the same so many seconds.
    pub window_s: f64,
    /// So many of them at most: those with prompts of like length.
    pub most: usize,
}

impl Default for Grouping {
    /// A minute: calibration follows an engine that changes within some tens of requests.
    fn default() -> Self {
        Self { window_s: 60.0, most: 16 }
    }
}

/// Samples of the requests that [teach](Journey::teaches); a context is of one model within one window of time. Each request
/// is a sample of its own, with the times at the engine.
pub fn dataset(journeys: &[Journey], grouping: &Grouping) -> Dataset {
    let mut windows: BTreeMap<(&str, i64), Vec<&Journey>> = BTreeMap::new();
    for journey in journeys.iter().filter(|journey| journey.teaches()) {
        #[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
        let window = (journey.sent_s / grouping.window_s).floor() as i64;
        windows.entry((&journey.row.facts.model, window)).or_default().push(journey);
    }
    let mut rows = Vec::new();
    for ((model, window), mut all) in windows {
        let tokens = |journey: &Journey| journey.row.workload.prompt_tokens;
        all.sort_by(|a, b| tokens(a).total_cmp(&tokens(b)));
        for (part, together) in all.chunks(grouping.most.max(1)).enumerate() {
            let context = format!("{model}/{window}/{part:03}");
            rows.extend(together.iter().enumerate().map(|(at, journey)| row(journey, &context, at)));
        }
    }
    Dataset::new(rows, Protocol::Clean)
}

fn row(journey: &Journey, context: &str, at: usize) -> Observation {
    let mut row = Observation::clone(&journey.row);
    context.clone_into(&mut row.context);
    // Requests are no repetitions of each other.
    row.action = format!("{}/{at:03}", journey.live().backend);
    (row.outcome.ttft_s, row.outcome.tpot_s, row.outcome.e2e_s) = (journey.ttft_s, journey.tpot_s, None);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{journeys, made};

    #[test]
    fn a_context_is_of_one_window_and_every_request_a_sample() {
        let (all, _) = journeys(made::rows(300, 1));
        let grouping = Grouping { window_s: 60.0, most: 16 };
        let dataset = dataset(&all, &grouping);
        assert_eq!(dataset.samples.len(), all.iter().filter(|journey| journey.teaches()).count());
        for context in &dataset.contexts {
            assert!(context.samples.len() <= 16);
            let sent = |row: &Observation| row.at_unix_s.unwrap() as f64 - row.outcome.e2e_s.unwrap_or(0.0);
            let times: Vec<f64> = dataset.of(context).map(|sample| sent(&sample.row)).collect();
            let spread = times.iter().fold(0.0_f64, |most, time| most.max((time - times[0]).abs()));
            assert!(spread <= 70.0, "{spread}");
            let backends: std::collections::BTreeSet<&str> = dataset
                .of(context)
                .map(|sample| sample.row.live.as_ref().unwrap().backend.as_str())
                .collect();
            assert!(context.samples.len() < 6 || backends.len() > 1, "choices are compared");
        }
    }

    #[test]
    fn what_is_learned_from_is_the_engines_time() {
        let (all, _) = journeys(made::rows(20, 1));
        let dataset = dataset(&all, &Grouping::default());
        let sample = &dataset.samples[0];
        let live = sample.row.live.as_ref().unwrap();
        let whole = all.iter().find(|journey| journey.row.provenance == sample.row.provenance).unwrap();
        let measured = whole.row.outcome.ttft_s.unwrap();
        assert!((sample.ttft_ms - (measured - live.round_trip_s.unwrap()) * 1e3).abs() < 1e-6);
    }
}
