//! What rows of source `live` have beyond the others.

use gearshift_selector::Typical;

use super::{BadCell, Cells, flag, number, number_or, numbers, text, text_or, texts, whole, whole_or, word};
use crate::{Candidates, Live, Prediction};

/// `None` where the row names no backend: it is none of a request that Gearshift served.
pub(super) fn live(cells: &impl Cells) -> Result<Option<Live>, BadCell> {
    let Some(backend) = text_or(cells, "backend")? else { return Ok(None) };
    Ok(Some(Live {
        backend,
        route: text(cells, "route")?,
        stream: flag(cells, "stream")?,
        attempt: whole(cells, "attempt")?,
        objective: word(cells, "objective")?,
        limit_ttft_s: number_or(cells, "limit_ttft_s")?,
        limit_tpot_s: number_or(cells, "limit_tpot_s")?,
        limit_e2e_s: number_or(cells, "limit_e2e_s")?,
        bundle: text_or(cells, "bundle")?,
        fallback: text_or(cells, "fallback")?,
        considered: whole(cells, "considered")?,
        sequences: whole_or(cells, "sequences")?,
        round_trip_s: number_or(cells, "round_trip_s")?,
        typical: typical(cells)?,
        propensity: number(cells, "propensity")?,
        explored: flag(cells, "explored")?,
        prediction: prediction(cells)?,
        candidates: candidates(cells)?,
        ended: word(cells, "ended")?,
        ended_after_s: number_or(cells, "ended_after_s")?,
        status: whole_or(cells, "status")?,
        prompt_tokens: number_or(cells, "engine_prompt_tokens")?,
        output_tokens: number_or(cells, "engine_output_tokens")?,
    }))
}

/// `None` in rows of earlier versions.
fn typical(cells: &impl Cells) -> Result<Option<Typical>, BadCell> {
    let Some(prompt_tokens) = number_or(cells, "typical_prompt_tokens")? else { return Ok(None) };
    Ok(Some(Typical {
        prompt_tokens,
        uncached_tokens: number(cells, "typical_uncached_tokens")?,
        output_tokens: number(cells, "typical_output_tokens")?,
    }))
}

fn prediction(cells: &impl Cells) -> Result<Option<Prediction>, BadCell> {
    let Some(ttft_s) = number_or(cells, "predicted_ttft_s")? else { return Ok(None) };
    Ok(Some(Prediction {
        ttft_s,
        tpot_s: number(cells, "predicted_tpot_s")?,
        e2e_s: number(cells, "predicted_e2e_s")?,
        prior_ttft_s: number(cells, "prior_ttft_s")?,
        prior_tpot_s: number(cells, "prior_tpot_s")?,
        prior_e2e_s: number(cells, "prior_e2e_s")?,
        learned_ttft_factor: number_or(cells, "learned_ttft_factor")?,
        learned_tpot_factor: number_or(cells, "learned_tpot_factor")?,
        learned_confidence: number_or(cells, "learned_confidence")?,
    }))
}

fn candidates(cells: &impl Cells) -> Result<Candidates, BadCell> {
    Ok(Candidates {
        backends: texts(cells, "candidates")?,
        scores: numbers(cells, "candidate_scores")?,
        meets: numbers(cells, "candidate_meets")?,
        ttft_s: numbers(cells, "candidate_ttft_s")?,
        tpot_s: numbers(cells, "candidate_tpot_s")?,
        e2e_s: numbers(cells, "candidate_e2e_s")?,
        cached_tokens: numbers(cells, "candidate_cached_tokens")?,
        sequences: numbers(cells, "candidate_sequences")?,
        decoding: numbers(cells, "candidate_decoding")?,
        prefill_tokens: numbers(cells, "candidate_prefill_tokens")?,
        decode_tokens: numbers(cells, "candidate_decode_tokens")?,
        context_tokens: numbers(cells, "candidate_context_tokens")?,
        full_at: numbers(cells, "candidate_full_at_sequences")?,
    })
}
