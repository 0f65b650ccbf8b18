//! Columns of requests that Gearshift served.

use gearshift_selector::Typical;

use super::{Column, optional};
use crate::{Candidates, Cell, Kind, Live, Named, Observation, Prediction};

/// All of them; NULL in rows of other sources.
pub(super) const LIVE: &[Column] = &[
    optional(
        "backend",
        Kind::Text,
        "`live`: where it went, and so below; the backend's name in the configuration",
        |row| of(row, |live| Cell::from(&live.backend)),
    ),
    optional("route", Kind::Text, "The route that took it", |row| of(row, |live| Cell::from(&live.route))),
    optional("stream", Kind::Flag, "Whether the answer was to be streamed", |row| {
        of(row, |live| Cell::from(live.stream))
    }),
    optional("attempt", Kind::Whole, "Which attempt this was, from 1", |row| {
        of(row, |live| Cell::from(live.attempt))
    }),
    optional(
        "objective",
        Kind::Text,
        "What the route makes best: `latency`, `cost`, `energy`, `throughput`",
        |row| of(row, |live| Cell::from(live.objective.word())),
    ),
    optional("limit_ttft_s", Kind::Number, "The route's limit of the time to first token, s", |row| {
        of(row, |live| Cell::from(live.limit_ttft_s))
    }),
    optional("limit_tpot_s", Kind::Number, "Of the time per output token, s", |row| {
        of(row, |live| Cell::from(live.limit_tpot_s))
    }),
    optional("limit_e2e_s", Kind::Number, "End to end, s", |row| {
        of(row, |live| Cell::from(live.limit_e2e_s))
    }),
    optional("bundle", Kind::Text, "The bundle that was active", |row| {
        of(row, |live| Cell::from(live.bundle.as_ref()))
    }),
    optional("fallback", Kind::Text, "Why less than the whole decision was made", |row| {
        of(row, |live| Cell::from(live.fallback.as_ref()))
    }),
    optional("considered", Kind::Whole, "Candidates that were ranked", |row| {
        of(row, |live| Cell::from(live.considered))
    }),
    optional("sequences", Kind::Whole, "Sequences asked for", |row| {
        of(row, |live| Cell::from(live.sequences))
    }),
    optional(
        "round_trip_s",
        Kind::Number,
        "Network round trip to the backend as measured then: the share of `ttft_s` that is not the engine's, s",
        |row| of(row, |live| Cell::from(live.round_trip_s)),
    ),
    optional(
        "typical_prompt_tokens",
        Kind::Number,
        "What a prompt of the model usually had then: the prior's idea of requests it does not see",
        |row| typical(row, |typical| typical.prompt_tokens),
    ),
    optional("typical_uncached_tokens", Kind::Number, "Of these, not expected in the cache", |row| {
        typical(row, |typical| typical.uncached_tokens)
    }),
    optional("typical_output_tokens", Kind::Number, "Output tokens of a sequence, usually", |row| {
        typical(row, |typical| typical.output_tokens)
    }),
    optional(
        "propensity",
        Kind::Number,
        "Probability with which the backend was chosen among them, ties and exploration included",
        |row| of(row, |live| Cell::from(live.propensity)),
    ),
    optional("explored", Kind::Flag, "Whether it was drawn to explore", |row| {
        of(row, |live| Cell::from(live.explored))
    }),
    optional(
        "predicted_ttft_s",
        Kind::Number,
        "Predicted time to first token, calibrated, with the network, s",
        |row| predicted(row, |prediction| Cell::from(prediction.ttft_s)),
    ),
    optional("predicted_tpot_s", Kind::Number, "Predicted time per output token, calibrated, s", |row| {
        predicted(row, |prediction| Cell::from(prediction.tpot_s))
    }),
    optional(
        "predicted_e2e_s",
        Kind::Number,
        "Predicted end to end for the expected `output_tokens`, calibrated, s",
        |row| predicted(row, |prediction| Cell::from(prediction.e2e_s)),
    ),
    optional(
        "prior_ttft_s",
        Kind::Number,
        "Time to first token at the engine by the prior alone, s",
        |row| predicted(row, |prediction| Cell::from(prediction.prior_ttft_s)),
    ),
    optional("prior_tpot_s", Kind::Number, "Time per output token by the prior alone, s", |row| {
        predicted(row, |prediction| Cell::from(prediction.prior_tpot_s))
    }),
    optional("prior_e2e_s", Kind::Number, "End to end by the prior alone, s", |row| {
        predicted(row, |prediction| Cell::from(prediction.prior_e2e_s))
    }),
    optional(
        "learned_ttft_factor",
        Kind::Number,
        "By what the bundle multiplied the prior's time to first token",
        |row| predicted(row, |prediction| Cell::from(prediction.learned_ttft_factor)),
    ),
    optional(
        "learned_tpot_factor",
        Kind::Number,
        "By what it multiplied the prior's time per output token",
        |row| predicted(row, |prediction| Cell::from(prediction.learned_tpot_factor)),
    ),
    optional("learned_confidence", Kind::Number, "How far its ensemble agreed, 0–1", |row| {
        predicted(row, |prediction| Cell::from(prediction.learned_confidence))
    }),
    optional(
        "candidates",
        Kind::Texts,
        "Whom it was chosen among, the backend itself included; of more than 16 the best",
        |row| among(row, |candidates| Cell::from(&candidates.backends)),
    ),
    optional(
        "candidate_scores",
        Kind::Numbers,
        "What each would cost by the objective, as predicted: s, US dollars or J",
        |row| among(row, |candidates| Cell::from(&candidates.scores)),
    ),
    optional(
        "candidate_meets",
        Kind::Numbers,
        "1 where it was predicted to meet all limits and had room, else 0",
        |row| among(row, |candidates| Cell::from(&candidates.meets)),
    ),
    optional("candidate_ttft_s", Kind::Numbers, "Its predicted time to first token, calibrated, s", |row| {
        among(row, |candidates| Cell::from(&candidates.ttft_s))
    }),
    optional(
        "candidate_tpot_s",
        Kind::Numbers,
        "Its predicted time per output token, calibrated, s",
        |row| among(row, |candidates| Cell::from(&candidates.tpot_s)),
    ),
    optional("candidate_e2e_s", Kind::Numbers, "Its predicted end to end, calibrated, s", |row| {
        among(row, |candidates| Cell::from(&candidates.e2e_s))
    }),
    optional("candidate_cached_tokens", Kind::Numbers, "Prompt tokens predicted to be in its cache", |row| {
        among(row, |candidates| Cell::from(&candidates.cached_tokens))
    }),
    optional("candidate_sequences", Kind::Numbers, "Sequences there", |row| {
        among(row, |candidates| Cell::from(&candidates.sequences))
    }),
    optional("candidate_decoding", Kind::Numbers, "Of these, past their prefill", |row| {
        among(row, |candidates| Cell::from(&candidates.decoding))
    }),
    optional("candidate_prefill_tokens", Kind::Numbers, "Prompt tokens not yet prefilled", |row| {
        among(row, |candidates| Cell::from(&candidates.prefill_tokens))
    }),
    optional("candidate_decode_tokens", Kind::Numbers, "Output tokens still to come", |row| {
        among(row, |candidates| Cell::from(&candidates.decode_tokens))
    }),
    optional("candidate_context_tokens", Kind::Numbers, "Tokens of context of all sequences", |row| {
        among(row, |candidates| Cell::from(&candidates.context_tokens))
    }),
    optional("candidate_full_at_sequences", Kind::Numbers, "Sequences at which it is out of cache", |row| {
        among(row, |candidates| Cell::from(&candidates.full_at))
    }),
    optional(
        "ended",
        Kind::Text,
        "`ok`, `client_error`, `upstream_error`, `cut`, `cancelled`; `ttft_s`, `tpot_s` and `e2e_s` are of `ok` alone",
        |row| of(row, |live| Cell::from(live.ended.word())),
    ),
    optional("ended_after_s", Kind::Number, "From the decision to that end, whatever it was, s", |row| {
        of(row, |live| Cell::from(live.ended_after_s))
    }),
    optional("status", Kind::Whole, "HTTP status of the backend's answer; NULL where none came", |row| {
        of(row, |live| Cell::from(live.status))
    }),
    optional("engine_prompt_tokens", Kind::Number, "Prompt tokens by the engine's count", |row| {
        of(row, |live| Cell::from(live.prompt_tokens))
    }),
    optional(
        "engine_output_tokens",
        Kind::Number,
        "Output tokens that came, by the engine's count or by counting events",
        |row| of(row, |live| Cell::from(live.output_tokens)),
    ),
];

fn of(row: &Observation, cell: impl for<'l> Fn(&'l Live) -> Cell<'l>) -> Cell<'_> {
    row.live.as_deref().map_or(Cell::Null, cell)
}

fn predicted(row: &Observation, cell: impl for<'p> Fn(&'p Prediction) -> Cell<'p>) -> Cell<'_> {
    row.live.as_deref().and_then(|live| live.prediction.as_ref()).map_or(Cell::Null, cell)
}

fn typical(row: &Observation, number: impl Fn(&Typical) -> f64) -> Cell<'_> {
    row.live
        .as_deref()
        .and_then(|live| live.typical.as_ref())
        .map_or(Cell::Null, |typical| Cell::from(number(typical)))
}

fn among(row: &Observation, cell: impl for<'c> Fn(&'c Candidates) -> Cell<'c>) -> Cell<'_> {
    row.live.as_deref().map_or(Cell::Null, |live| cell(&live.candidates))
}
