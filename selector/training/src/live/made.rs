//! Made-up live rows for tests: engines of a known pace, chosen by a known lottery.

use std::sync::Arc;

use gearshift_config::{Catalog, Knobs};
use gearshift_perfdb::{
    Candidates, Ended, Facts, Grain, Live, Load, Observation, Outcome, Prediction, Source, Workload,
};
use gearshift_selector::{Deployment, EngineKind, Prior, PriorFactors, Situation, Software, Typical};

/// Backends: name, hardware, and by how much slower than the prior says they are.
pub(crate) const FLEET: [(&str, &str, f64); 3] =
    [("a", "h100_sxm", 1.0), ("b", "h200_sxm", 2.0), ("c", "a100_sxm_80gb", 1.0)];

fn facts(hardware: &str) -> Facts {
    let catalog = Catalog::shipped();
    Facts {
        model: "llama-3.1-8b".into(),
        family: "llama-3.1-8b".into(),
        model_facts: catalog.model("llama-3.1-8b").unwrap().as_ref().clone(),
        hardware: hardware.into(),
        hardware_facts: catalog.hardware(hardware).unwrap().as_ref().clone(),
        count: 1,
        knobs: Knobs::default(),
        lossless: true,
        software: Software { engine: EngineKind::Vllm, months: None },
        engine_version: None,
        kv_tokens: Some(400_000),
    }
}

/// Rows of requests, two a second, that went to each of the three backends with equal probability.
pub(crate) fn rows(count: u32, seed: u64) -> Vec<Observation> {
    rows_by(count, seed, |_| [1.0 / 3.0; 3])
}

/// What was drawn of one request: its candidates, and who got it.
struct Drawn {
    number: u32,
    prompt_tokens: f64,
    output_tokens: f64,
    situations: [Situation; 3],
    /// By the prior, without the network.
    prior_ttft_s: [f64; 3],
    tpot_s: [f64; 3],
    chosen: usize,
    propensity: f64,
    /// By what it took longer than the prior says.
    slower: f64,
}

const ROUND_TRIP_S: f64 = 0.002;
const TYPICAL: Typical = Typical { prompt_tokens: 800.0, uncached_tokens: 800.0, output_tokens: 100.0 };

/// Has a row end as the proxy writes what was no whole answer: without times, but for when it ended.
pub(crate) fn end(row: &mut Observation, ended: Ended, after_s: f64) {
    row.outcome = Outcome { requests: 1, failed: u32::from(ended.failed()), ..Outcome::default() };
    let live = row.live.as_deref_mut().unwrap();
    (live.ended, live.ended_after_s) = (ended, Some(after_s));
    (live.status, live.prompt_tokens, live.output_tokens) = (None, None, None);
}

/// The same, chosen with the probabilities that are given by the candidates' predicted times.
pub(crate) fn rows_by(count: u32, seed: u64, lottery: impl Fn(&[f64; 3]) -> [f64; 3]) -> Vec<Observation> {
    let mut random = fastrand::Rng::with_seed(seed);
    let facts = FLEET.map(|(_, hardware, _)| facts(hardware));
    let priors = [0, 1, 2].map(|at: usize| prior(&facts[at]));
    let mut one = |number: u32| {
        let (prompt_tokens, output_tokens) = (random.f64() * 3000.0 + 50.0, random.f64() * 150.0 + 20.0);
        let situations: [Situation; 3] = std::array::from_fn(|_| {
            let others = f64::from(random.u32(0..12));
            let closed = Situation::closed_loop(1.0 + others, 800.0, 0.0, 100.0);
            Situation { prompt_tokens, output_tokens, typical: TYPICAL, ..closed }
        });
        let terms: [_; 3] = std::array::from_fn(|at| priors[at].terms(&situations[at]));
        let prior_ttft_s = std::array::from_fn(|at| terms[at].ttft_ms() * 1e-3);
        let tpot_s = std::array::from_fn(|at| terms[at].tpot_ms() * 1e-3);
        let mut drawn = Drawn {
            number,
            prompt_tokens,
            output_tokens,
            situations,
            prior_ttft_s,
            tpot_s,
            chosen: 0,
            propensity: 1.0,
            slower: 1.0,
        };
        let chances = lottery(&std::array::from_fn(|at| drawn.e2e_s(at)));
        let draw = random.f64();
        drawn.chosen = [chances[0], chances[0] + chances[1]].iter().filter(|&&below| draw >= below).count();
        drawn.propensity = chances[drawn.chosen];
        drawn.slower = FLEET[drawn.chosen].2 * (0.1 * (random.f64() + random.f64() - 1.0)).exp();
        drawn.row(&facts[drawn.chosen])
    };
    (0..count).map(&mut one).collect()
}

fn prior(facts: &Facts) -> Prior {
    let deployment = Deployment {
        hardware: Arc::new(facts.hardware_facts.clone()),
        count: 1,
        model: Arc::new(facts.model_facts.clone()),
        knobs: facts.knobs.clone(),
        software: facts.software,
        kv_tokens: facts.kv_tokens,
    };
    Prior::new(&deployment, &PriorFactors::default())
}

impl Drawn {
    fn ttft_s(&self, at: usize) -> f64 {
        self.prior_ttft_s[at] + ROUND_TRIP_S
    }

    fn e2e_s(&self, at: usize) -> f64 {
        self.ttft_s(at) + (self.output_tokens - 1.0) * self.tpot_s[at]
    }

    fn row(&self, facts: &Facts) -> Observation {
        let load: Load = self.situations[self.chosen].load.into();
        let ttft_s = self.slower * self.prior_ttft_s[self.chosen] + ROUND_TRIP_S;
        let tpot_s = self.slower * self.tpot_s[self.chosen];
        Observation {
            source: Source::Live,
            grain: Grain::Request,
            dataset: "live".into(),
            provenance: format!("made up {}", self.number),
            context: format!("made/{}", self.number),
            action: "default".into(),
            at_unix_s: Some(1_780_000_000 + i64::from(self.number) / 2),
            facts: facts.clone(),
            workload: Workload {
                name: "live".into(),
                prompt_tokens: self.prompt_tokens,
                output_tokens: self.output_tokens,
                concurrency: load.sequences + 1.0,
                ..Workload::default()
            },
            load,
            outcome: Outcome {
                requests: 1,
                ttft_s: Some(ttft_s),
                tpot_s: Some(tpot_s),
                e2e_s: Some(ttft_s + (self.output_tokens - 1.0) * tpot_s),
                ..Outcome::default()
            },
            live: Some(Box::new(Live {
                ended_after_s: Some(ttft_s + (self.output_tokens - 1.0) * tpot_s),
                ..self.live()
            })),
            ..Observation::default()
        }
    }

    fn live(&self) -> Live {
        let (chosen, load) = (self.chosen, |at: usize| self.situations[at].load);
        let each = |of: &dyn Fn(usize) -> f64| (0..3).map(of).collect::<Vec<f64>>();
        Live {
            backend: FLEET[chosen].0.into(),
            route: "default".into(),
            stream: true,
            attempt: 1,
            considered: 3,
            sequences: Some(1),
            round_trip_s: Some(ROUND_TRIP_S),
            typical: Some(TYPICAL),
            propensity: self.propensity,
            prediction: Some(Prediction {
                ttft_s: self.ttft_s(chosen),
                tpot_s: self.tpot_s[chosen],
                e2e_s: self.e2e_s(chosen),
                prior_ttft_s: self.prior_ttft_s[chosen],
                prior_tpot_s: self.tpot_s[chosen],
                prior_e2e_s: self.e2e_s(chosen),
                ..Prediction::default()
            }),
            candidates: Candidates {
                backends: FLEET.iter().map(|(name, ..)| (*name).into()).collect(),
                scores: each(&|at| self.e2e_s(at)),
                meets: vec![1.0; 3],
                ttft_s: each(&|at| self.ttft_s(at)),
                tpot_s: self.tpot_s.to_vec(),
                e2e_s: each(&|at| self.e2e_s(at)),
                cached_tokens: vec![0.0; 3],
                sequences: each(&|at| load(at).sequences),
                decoding: each(&|at| load(at).decoding),
                prefill_tokens: each(&|at| load(at).prefill_tokens),
                decode_tokens: each(&|at| load(at).decode_tokens),
                context_tokens: each(&|at| load(at).context_tokens),
                full_at: vec![f64::NAN; 3],
            },
            ended: Ended::Ok,
            status: Some(200),
            output_tokens: Some(self.output_tokens),
            ..Live::default()
        }
    }
}
