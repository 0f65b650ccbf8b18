//! One attempt in flight: what it holds of the ledger, and what its outcome teaches.

use std::sync::Arc;

use crate::{
    Moment,
    affinity::Tag,
    calibration::{At, Sample},
    choose::RoutePolicy,
    decision::{Decision, Prediction},
    features::{RequestFacts, Usage, Work},
    gate::Gate,
    group::BackendSpec,
    hindsight::{Hindsight, Rival},
    ledger::InFlight,
    num,
    outputs::OutputLengths,
    relearned::Learnt,
    state::BackendState,
    tokens::ModelState,
};

/// Output tokens of one sequence from which a time per token is measured well enough to learn from.
const MEASURABLE_TOKENS: f64 = 8.0;
/// Where the engine's own count of cached tokens is off the predicted one by more than this share of the prompt, TTFT
/// tells of the cache and not of the engine's speed.
const CACHE_SURPRISE: f64 = 0.25;
/// Outcomes up to which a late first token teaches when it comes, not when the answer ends: an engine that is many times slower than it
/// claims would get many more requests before its first answer has ended, and none of its answers may: clients give up.
const YOUNG_OUTCOMES: u32 = 8;
/// Times the prediction from which a first token is late.
const LATE: f64 = 2.0;
/// Share of its time that an answer of unknown prediction is taken to spend in prefill.
const PREFILL_SHARE: f64 = 0.2;

/// Share of a time that counts as the engine's at least, however long the round trip seems.
const LEAST_AT_ENGINE: f64 = 0.1;

/// One attempt in flight: holds its share of the backend's ledger until dropped.
///
/// Dropped without [`finish`](Self::finish) it was cancelled or failed: the ledger is released, nothing more is learned.
#[derive(Debug)]
pub struct Flight {
    state: Arc<BackendState>,
    model_state: Arc<ModelState>,
    output_lengths: Arc<OutputLengths>,
    share: InFlight,
    request: Sent,
    prediction: Option<Prediction>,
    rival: Option<Rival>,
    started: Moment,
    first_token: Option<Moment>,
    /// Whether its time to first token has taught already.
    taught_early: bool,
    last_token: Moment,
    /// Tokens reported by [`progress`](Self::progress), over all sequences.
    tokens: u64,
}

/// What of the request an outcome is compared with.
#[derive(Debug, Clone, Copy)]
struct Sent {
    work: Work,
    stream: bool,
    sequences: u32,
    max_tokens: Option<u32>,
    /// 0 where the client sent token ids: these say nothing of bytes per token.
    prompt_bytes: u64,
    prompt_tokens: u32,
    cached_tokens: u32,
}

impl Flight {
    /// Enters the ledger and the prefix index.
    pub fn begin(
        backend: &BackendSpec,
        policy: &RoutePolicy,
        facts: &RequestFacts,
        decision: &Decision,
        now: Moment,
    ) -> Self {
        let chosen = &decision.chosen;
        let share = share(facts, decision);
        backend.state.record_sent();
        if backend.state.ledger.enter(&share) {
            backend.state.record_progress(now);
        }
        if facts.work == Work::Generate {
            let prompt_tokens = f64::from(decision.prompt_tokens);
            backend
                .model_state
                .observe_prompt(prompt_tokens, (prompt_tokens - f64::from(chosen.cached_tokens)).max(1.0));
            if backend.caches_prefixes() {
                // At once, not when the prefill is done: a burst of one prefix should stay together.
                backend.state.index.insert(&facts.prefix.0);
                backend.model_state.affinity.insert(&facts.prefix.0, Tag::of(&backend.id));
            }
        }
        Self {
            state: Arc::clone(&backend.state),
            model_state: Arc::clone(&backend.model_state),
            output_lengths: Arc::clone(&policy.output_lengths),
            share,
            request: Sent {
                work: facts.work,
                stream: facts.stream,
                sequences: facts.counted_sequences(),
                max_tokens: facts.max_tokens,
                prompt_bytes: if facts.prompt_tokens_exact.is_some() { 0 } else { facts.prompt_bytes },
                prompt_tokens: decision.prompt_tokens,
                cached_tokens: chosen.cached_tokens,
            },
            prediction: chosen.prediction,
            rival: decision.rival,
            started: now,
            first_token: None,
            taught_early: false,
            last_token: now,
            tokens: 0,
        }
    }

    /// The first output arrived: prefill tokens leave the ledger, decoding begins. Later calls change nothing.
    pub fn first_token(&mut self, now: Moment) {
        self.state.record_output(now);
        if self.first_token.is_none() {
            self.first_token = Some(now);
            self.last_token = now;
            self.state.ledger.start_decoding(&mut self.share);
            self.teach_early(now);
        }
    }

    /// `tokens` more output tokens arrived. None is a sign of life, not the first token: the events that open a stream
    /// of responses come before the prefill.
    pub fn progress(&mut self, tokens: u32, now: Moment) {
        if tokens == 0 {
            self.state.record_output(now);
            return;
        }
        self.first_token(now);
        self.last_token = self.last_token.max(now);
        self.tokens += u64::from(tokens);
        self.state.ledger.progress(&mut self.share, tokens);
    }

    /// What was predicted for this attempt, its end for the output that came: `tokens` over all sequences. `None`
    /// where nothing was predicted.
    pub fn predicted(&self, tokens: u32) -> Option<Prediction> {
        let further = self.further(tokens);
        self.prediction
            .map(|predicted| Prediction { e2e_s: predicted.ttft_s + further * predicted.tpot_s, ..predicted })
    }

    /// The choice against the best of the others, when an answer of `tokens` over all sequences ends `now`; `None` where the
    /// decision has nobody to hold it against.
    pub fn hindsight(&self, tokens: u32, now: Moment) -> Option<Hindsight> {
        let further = self.further(tokens);
        self.rival.map(|rival| rival.hindsight(now.seconds_since(self.started), further))
    }

    /// Output tokens of each sequence after the first.
    fn further(&self, tokens: u32) -> f64 {
        match self.request.work {
            Work::Generate => (f64::from(tokens) / f64::from(self.request.sequences) - 1.0).max(0.0),
            Work::Encode | Work::Utility | Work::Audio => 0.0,
        }
    }

    /// When the attempt was chosen.
    pub fn started(&self) -> Moment {
        self.started
    }

    /// The response ended as it should: calibration, token ratio, output length and peak-EWMA learn from it.
    pub fn finish(self, usage: Option<Usage>, now: Moment) {
        self.state.record_output(now);
        if let Some(usage) = usage.filter(|usage| usage.prompt_tokens > 0) {
            self.model_state.observe_usage(self.request.prompt_bytes, &usage);
        }
        let tokens = usage.map_or(self.tokens as f64, |usage| f64::from(usage.completion_tokens));
        let total_s = now.seconds_since(self.started);
        let per_sequence = tokens / f64::from(self.request.sequences);
        match self.request.work {
            Work::Generate if tokens > 0.0 => {
                let cut = self.request.max_tokens.is_some_and(|cap| per_sequence >= f64::from(cap));
                self.model_state.observe_output(&self.output_lengths, per_sequence, cut);
                self.state.pace.observe(total_s / per_sequence, now);
                self.calibrate(per_sequence, usage, total_s, now);
            }
            Work::Encode => {
                self.state.pace.observe(total_s, now);
                self.calibrate(1.0, usage, total_s, now);
            }
            Work::Audio => self.state.pace.observe(total_s, now),
            Work::Generate | Work::Utility => {}
        }
    }

    /// Learns how far the engine is from the prediction this attempt was chosen by.
    fn calibrate(&self, tokens: f64, usage: Option<Usage>, total_s: f64, now: Moment) {
        let Some(prediction) = self.prediction else { return };
        if self.cache_surprise(usage) {
            return;
        }
        let outcome = match (self.request.work, self.first_token) {
            (Work::Generate, Some(first)) if self.request.stream => {
                let tpot_s = self.last_token.seconds_since(first) / (tokens - 1.0);
                let ttft_s = self.at_engine(first.seconds_since(self.started));
                Outcome::Parts {
                    ttft_s: (!self.taught_early).then_some(ttft_s),
                    tpot_s: (tokens >= MEASURABLE_TOKENS).then_some(tpot_s),
                }
            }
            (Work::Encode, _) => Outcome::Parts { ttft_s: Some(self.at_engine(total_s)), tpot_s: None },
            _ => Outcome::Whole { seconds: self.at_engine(total_s), tokens },
        };
        self.teach(&prediction, outcome, now);
    }

    /// Of a backend that is hardly known yet, learns at once that the first token was late. Not where much was predicted to be cached: only
    /// the end tells whether it was.
    fn teach_early(&mut self, now: Moment) {
        let Some(prediction) = self.prediction else { return };
        let Sent { work, stream, prompt_tokens, cached_tokens, .. } = self.request;
        let cold = f64::from(cached_tokens) <= CACHE_SURPRISE * f64::from(prompt_tokens);
        let young = self.state.calibration.outcomes().0 < YOUNG_OUTCOMES;
        let ttft_s = now.seconds_since(self.started);
        if work == Work::Generate && stream && cold && young && ttft_s > LATE * prediction.ttft_s {
            let ttft_s = Some(self.at_engine(ttft_s));
            self.teach(&prediction, Outcome::Parts { ttft_s, tpot_s: None }, now);
            self.taught_early = true;
        }
    }

    /// The round trip is an estimate from other exchanges, and may exceed a quick answer's whole time.
    fn at_engine(&self, seconds: f64) -> f64 {
        (seconds - self.state.round_trip_s()).max(LEAST_AT_ENGINE * seconds)
    }

    fn teach(&self, prediction: &Prediction, outcome: Outcome, now: Moment) {
        let prior = (prediction.prior_ttft_s, prediction.prior_tpot_s);
        let at = At::new(prior.0, prediction.concurrency);
        let calibration = &self.state.calibration;
        if let Some(learned) = prediction.learned {
            let learnt = self.state.relearned.of_or_new(learned.generation);
            let base = (prior.0 * learned.ttft_factor, prior.1 * learned.tpot_factor);
            // Both forecasts are judged before either learns.
            outcome.judge(prior, calibration.factors(&at), base, learnt, &at);
            let sample = outcome.sample(base, learnt.calibration.factors(&at));
            learnt.calibration.learn(sample, &at, self.started, now);
        }
        calibration.learn(outcome.sample(prior, calibration.factors(&at)), &at, self.started, now);
        self.state.contradicted.judge(calibration);
    }

    fn cache_surprise(&self, usage: Option<Usage>) -> bool {
        usage.and_then(|usage| Some((usage.cached_tokens?, usage.prompt_tokens))).is_some_and(
            |(cached, prompt)| {
                f64::from(cached.abs_diff(self.request.cached_tokens)) > CACHE_SURPRISE * f64::from(prompt)
            },
        )
    }
}

/// What was seen of an attempt's times at the engine.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// A stream: both parts, as far as they are seen and have not taught yet. TPOT only where enough tokens came to measure it.
    Parts { ttft_s: Option<f64>, tpot_s: Option<f64> },
    /// Only the end.
    Whole { seconds: f64, tokens: f64 },
}

impl Outcome {
    /// Tells the gates how the prior's calibrated forecast did, and the learner's. Answers that come whole tell nothing of the parts.
    fn judge(self, prior: (f64, f64), calibration: (f64, f64), base: (f64, f64), learnt: &Learnt, at: &At) {
        let Self::Parts { ttft_s, tpot_s } = self else { return };
        let (again, outcomes) = (learnt.calibration.factors(at), learnt.calibration.outcomes());
        let judge = |gate: &Gate, outcomes: u32, actual: f64, prior: f64, learned: f64| {
            gate.learn(outcomes, (actual / prior).ln(), (learned / prior).ln());
        };
        if let Some(ttft_s) = ttft_s {
            judge(&learnt.ttft, outcomes.0, ttft_s, prior.0 * calibration.0, base.0 * again.0);
        }
        if let Some(tpot_s) = tpot_s {
            judge(&learnt.tpot, outcomes.1, tpot_s, prior.1 * calibration.1, base.1 * again.1);
        }
    }

    /// Against TTFT and TPOT as predicted before calibration, and the calibration's factors.
    fn sample(self, (ttft_s, tpot_s): (f64, f64), (ttft_factor, tpot_factor): (f64, f64)) -> Sample {
        match self {
            Self::Parts { ttft_s: ttft, tpot_s: tpot } => {
                Sample::Parts { ttft: ttft.map(|ttft| ttft / ttft_s), tpot: tpot.map(|tpot| tpot / tpot_s) }
            }
            Self::Whole { seconds, tokens } => {
                let ttft_s = ttft_s * ttft_factor;
                let predicted_s = ttft_s + (tokens - 1.0) * tpot_s * tpot_factor;
                Sample::Whole { ratio: seconds / predicted_s, ttft_share: ttft_s / predicted_s }
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.state.ledger.leave(&self.share);
    }
}

/// What an attempt holds of the ledger at its start.
///
/// A stream reports its phases. Of an answer that comes whole nothing is seen until its end, so what it holds is its
/// mean over its life: the prefill for the predicted share of the time, decoding from the start, half of its output.
fn share(facts: &RequestFacts, decision: &Decision) -> InFlight {
    let sequences = facts.counted_sequences();
    let chosen = &decision.chosen;
    let uncached = u64::from(decision.prompt_tokens.saturating_sub(chosen.cached_tokens));
    let output = match facts.work {
        Work::Generate => u64::from(decision.expected_output_tokens) * u64::from(sequences),
        Work::Encode | Work::Utility | Work::Audio => 0,
    };
    let share = InFlight {
        requests: 1,
        sequences,
        prefill_tokens: if facts.work.has_prior() { uncached } else { 0 },
        decoding: 0,
        decode_tokens: output,
        context_tokens: u64::from(decision.prompt_tokens) * u64::from(sequences),
    };
    if facts.stream || facts.work != Work::Generate {
        return share;
    }
    let prefill_share = chosen.prediction.map_or(PREFILL_SHARE, |p| (p.ttft_s / p.e2e_s).clamp(0.0, 1.0));
    InFlight {
        prefill_tokens: num::to_u64(uncached as f64 * prefill_share),
        decoding: sequences,
        decode_tokens: output.div_ceil(2),
        context_tokens: share.context_tokens + output / 2,
        ..share
    }
}
