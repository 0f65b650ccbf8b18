//! A candidate's load: the router's own ledger, instant, plus what the engine's gauges say of everybody else.

use crate::{Moment, features::Typical, ledger::InFlight, state::BackendState};

/// What a scrape of vLLM's metrics says, with when it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScrapedLoad {
    /// When it was read.
    pub at: Moment,
    /// `vllm:num_requests_running`.
    pub running: u32,
    /// `vllm:num_requests_waiting`.
    pub waiting: u32,
    /// `vllm:kv_cache_usage_perc`, 0–1.
    pub kv_usage: f64,
}

/// A reading counts in full this long, seconds: two scrapes at the default interval.
const FRESH_S: f64 = 2.0;
/// After that, what it says of others halves every so many seconds. A dead scraper fades to the ledger alone: it
/// neither blocks dispatch nor freezes an old burst in place.
const HALF_LIFE_S: f64 = 5.0;
/// KV usage from which waiting requests mean that the cache, not the step budget, is what they wait for.
const KV_FULL: f64 = 0.9;

/// Load of one engine, this router's and others' together. Estimates, hence not integers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Sequences at the engine, running or waiting.
    pub sequences: f64,
    /// Of these, past their first token.
    pub decoding: f64,
    /// Prompt tokens queued for prefill, cached ones left out.
    pub prefill_tokens: f64,
    /// Output tokens outstanding.
    pub decode_tokens: f64,
    /// Tokens in the KV cache of these sequences.
    pub context_tokens: f64,
    /// Sequences the engine runs when it reported itself full: its slots as they are now.
    pub full_at: Option<f64>,
}

impl Load {
    /// The load of a backend at `now`.
    pub(crate) fn of(state: &BackendState, typical: &Typical, now: Moment) -> Self {
        let own = Self::own(&state.in_flight());
        match state.scrape_and_own() {
            Some((scrape, own_sequences)) => own.with_others(&scrape, own_sequences, typical, now),
            None => own,
        }
    }

    fn own(ledger: &InFlight) -> Self {
        Self {
            sequences: f64::from(ledger.sequences),
            decoding: f64::from(ledger.decoding),
            prefill_tokens: ledger.prefill_tokens as f64,
            decode_tokens: ledger.decode_tokens as f64,
            context_tokens: ledger.context_tokens as f64,
            full_at: None,
        }
    }

    /// Adds others' share: what the engine counted beyond what this router had there at that time.
    fn with_others(self, scrape: &ScrapedLoad, own_then: u32, typical: &Typical, now: Moment) -> Self {
        let stale_s = now.seconds_since(scrape.at) - FRESH_S;
        let trust = if stale_s > 0.0 { (-stale_s / HALF_LIFE_S).exp2() } else { 1.0 };
        let counted = scrape.running.saturating_add(scrape.waiting);
        let others = f64::from(counted.saturating_sub(own_then)) * trust;
        // Who waits is not told apart by owner: split in proportion.
        let waiting = others * f64::from(scrape.waiting) / f64::from(counted.max(1));
        let running = others - waiting;
        let full = scrape.waiting > 0 && scrape.kv_usage >= KV_FULL && stale_s <= 0.0;
        // A sequence seen at a random moment is half done.
        let half_output = typical.output_tokens / 2.0;
        Self {
            sequences: self.sequences + others,
            decoding: self.decoding + running,
            prefill_tokens: self.prefill_tokens + waiting * typical.uncached_tokens,
            decode_tokens: self.decode_tokens + running * half_output + waiting * typical.output_tokens,
            context_tokens: self.context_tokens + running * (typical.prompt_tokens + half_output),
            full_at: full.then(|| f64::from(scrape.running.max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPICAL: Typical = Typical { prompt_tokens: 1000.0, uncached_tokens: 800.0, output_tokens: 200.0 };

    fn scrape(running: u32, waiting: u32, kv_usage: f64) -> ScrapedLoad {
        ScrapedLoad { at: Moment(0), running, waiting, kv_usage }
    }

    fn at(scrape: ScrapedLoad, own: u32, seconds: f64) -> Load {
        let own_load = Load { sequences: f64::from(own), decoding: f64::from(own), ..Load::default() };
        own_load.with_others(&scrape, own, &TYPICAL, Moment::default().after_seconds(seconds))
    }

    #[test]
    fn own_requests_are_not_counted_twice() {
        assert_eq!(at(scrape(5, 0, 0.1), 5, 0.0).sequences, 5.0);
        assert_eq!(at(scrape(8, 0, 0.1), 5, 0.0).sequences, 8.0);
        assert_eq!(at(scrape(3, 0, 0.1), 5, 0.0).sequences, 5.0, "gauges lag behind the ledger");
    }

    #[test]
    fn others_fade_with_the_age_of_the_reading() {
        assert_eq!(at(scrape(8, 0, 0.1), 0, 1.9).sequences, 8.0);
        assert!((at(scrape(8, 0, 0.1), 0, 7.0).sequences - 4.0).abs() < 1e-6);
        assert!(at(scrape(8, 0, 0.1), 0, 3600.0).sequences < 1e-6);
    }

    #[test]
    fn waiting_others_queue_their_prefill() {
        let load = at(scrape(6, 2, 0.5), 0, 0.0);
        assert_eq!((load.decoding, load.prefill_tokens), (6.0, 1600.0));
        assert_eq!(load.full_at, None);
    }

    #[test]
    fn an_engine_out_of_cache_has_no_more_slots_than_it_runs() {
        assert_eq!(at(scrape(6, 2, 0.97), 0, 0.0).full_at, Some(6.0));
        assert_eq!(at(scrape(6, 2, 0.97), 0, 3.0).full_at, None, "an old reading says nothing of now");
    }
}
