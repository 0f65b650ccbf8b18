//! Requests that ended, as the profile controller's planner learns from them.

use gearshift_config::{ModelId, ProfileId};
use gearshift_selector::controller::{RequestClass, Served, speculates_unmodelled};

use super::{Ended, rows};

/// Answers of fewer tokens say little of the time per token.
const LEAST_TOKENS: f64 = 8.0;

impl Ended {
    /// How it was served, against what the prior said; `None` where its decision was not kept, it is no whole answer, or its
    /// engine's hardware or model is not known.
    pub fn served(&self) -> Option<Served> {
        let decided = self.decided.as_deref()?;
        let engine = self.engine()?;
        let prediction = decided.decision.chosen.prediction.as_ref()?;
        let output_tokens = self.end.output_tokens()?;
        let outcome = rows::outcome(self, decided);
        let ratio =
            |actual: Option<f64>, prior: f64| actual.filter(|_| prior > 0.0).map(|actual| actual / prior);
        let sequences = f64::from(decided.sequences.max(1));
        let steady = outcome.tpot_s.filter(|_| output_tokens / sequences >= LEAST_TOKENS);
        Some(Served {
            model: ModelId::new(self.subject.model.as_str()),
            backend: engine.backend.clone(),
            profile: ProfileId::new(engine.profile.as_str()),
            speculates: speculates_unmodelled(&engine.facts.as_ref()?.knobs),
            class: RequestClass {
                share: 1.0,
                prompt_tokens: self.prompt_tokens,
                shared_tokens: self.repeated_tokens,
                output_tokens,
            },
            ttft_ratio: ratio(outcome.ttft_s, prediction.prior_ttft_s),
            tpot_ratio: ratio(steady, prediction.prior_tpot_s),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use gearshift_config::{BackendId, Catalog, Knobs, Objective, RouteId, Slo, Speculative};
    use gearshift_perfdb::Facts;
    use gearshift_selector::{Decision, ModelState, Moment, Prediction, Ranked, Software, Upper, Usage};
    use http::HeaderValue;

    use super::*;
    use crate::{
        live::{Decided, End, Engine, Subject},
        metrics::Outcome,
    };

    fn at(milliseconds: u64) -> Moment {
        Moment(1_000_000_000).after(Duration::from_millis(milliseconds))
    }

    fn engine(knobs: Knobs) -> Arc<Engine> {
        let catalog = Catalog::shipped();
        let facts = Facts {
            model: "qwen3-8b".into(),
            family: "qwen3".into(),
            model_facts: catalog.model("qwen3-8b").unwrap().as_ref().clone(),
            hardware: "h100_sxm".into(),
            hardware_facts: catalog.hardware("h100_sxm").unwrap().as_ref().clone(),
            count: 1,
            lossless: true,
            knobs,
            software: Software::default(),
            engine_version: None,
            kv_tokens: None,
        };
        Arc::new(Engine { backend: BackendId::new("x"), profile: "p".into(), facts: Some(facts) })
    }

    fn decision() -> Decision {
        let upper = Upper { ttft_s: 1.0, tpot_s: 1.0, e2e_s: 1.0 };
        let prediction = Prediction {
            ttft_s: 9.0,
            tpot_s: 9.0,
            e2e_s: 9.0,
            cost_usd: None,
            energy_j: None,
            prior_ttft_s: 0.1,
            prior_tpot_s: 0.005,
            concurrency: 1.0,
            upper,
            learned: None,
        };
        let chosen =
            Ranked { index: 0, prediction: Some(prediction), cached_tokens: 0, score: 1.0, meets_slo: true };
        Decision {
            chosen,
            considered: 1,
            fallback: None,
            prompt_tokens: 100,
            expected_output_tokens: 10,
            propensity: 1.0,
            explored: false,
            even_e2e_s: None,
            rival: None,
        }
    }

    /// Decided at 0, first output after 200 ms, the last of so many tokens 100 ms later.
    fn ended(engine: Arc<Engine>, tokens: u32) -> Ended {
        let decided = Decided {
            request: HeaderValue::from_static("1"),
            at: at(0),
            decision: decision(),
            field: Box::default(),
            engines: [engine].into_iter().collect(),
            bundle: None,
            load_age_s: None,
            round_trip_s: 0.0,
            typical: ModelState::new().typical(),
            stream: true,
            sequences: 1,
            attempt: 1,
        };
        let subject = Subject {
            model: "chat".into(),
            route: RouteId::new("default"),
            objective: Objective::Latency,
            slo: Slo::default(),
            seen: Arc::default(),
        };
        let end = End {
            arrived: at(0),
            first: Some(at(200)),
            last: at(300),
            at: at(300),
            outcome: Outcome::Ok,
            status: Some(200),
            counted_tokens: tokens,
            usage: Some(Usage { prompt_tokens: 100, completion_tokens: tokens, cached_tokens: None }),
        };
        Ended {
            subject: Arc::new(subject),
            prompt_tokens: 100.0,
            repeated_tokens: 60.0,
            end,
            decided: Some(Box::new(decided)),
        }
    }

    #[test]
    fn times_are_held_against_the_prior_not_against_what_was_predicted() {
        let served = ended(engine(Knobs::default()), 11).served().unwrap();
        assert_eq!(
            (served.backend.as_str(), served.profile.as_str(), served.model.as_str()),
            ("x", "p", "chat")
        );
        assert!((served.ttft_ratio.unwrap() - 2.0).abs() < 1e-9, "{served:?}");
        assert!((served.tpot_ratio.unwrap() - 2.0).abs() < 1e-9, "{served:?}");
        assert_eq!((served.class.prompt_tokens, served.class.shared_tokens), (100.0, 60.0));
        assert!(!served.speculates);
        let lookup = Speculative { method: "ngram".into(), num_speculative_tokens: 3, model: None };
        let lookup = Knobs { speculative: Some(lookup), ..Knobs::default() };
        assert!(ended(engine(lookup), 11).served().unwrap().speculates);
    }

    #[test]
    fn what_says_nothing_teaches_nothing() {
        let plain = || engine(Knobs::default());
        assert_eq!(ended(plain(), 7).served().unwrap().tpot_ratio, None, "a few tokens");
        let mut cut = ended(plain(), 11);
        cut.end.outcome = Outcome::Cancelled;
        assert_eq!(cut.served(), None);
        let unknown = Engine { backend: BackendId::new("x"), profile: "p".into(), facts: None };
        assert_eq!(ended(Arc::new(unknown), 11).served(), None);
        let mut unsampled = ended(plain(), 11);
        unsampled.decided = None;
        assert_eq!(unsampled.served(), None);
    }
}
