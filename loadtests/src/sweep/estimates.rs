//! AIConfigurator's estimates as rows.
//!
//! An estimate is put together from measured kernels and knows no host: what vLLM's own process takes is added with
//! the simulator's round figures, which are fitted to nothing ([`Factors::default`]): the front once for each request,
//! the step's overhead for each step. Hit rates are in what was asked for; see `tools/aiconfigurator_sweep.py`.

use std::{path::Path, sync::Arc};

use gearshift_config::{Catalog, Knobs, KvCacheDtype, Quantization, Speculative};
use gearshift_perfdb::{Grain, Observation, Outcome, Source, Workload};
use gearshift_selector::Situation;
use serde::Deserialize;

use super::{
    grid::HardwareLimits,
    profile::Action,
    row::{coarse, description, facts, load},
    site::{Served, Site},
};
use crate::{Error, sim::Factors, workload::Class};

/// The rows' file.
pub(super) const FILE: &str = "aiconfigurator-0.parquet";
/// Collection that the rows belong to.
const DATASET: &str = "aiconfigurator";
/// Sequences of a step at most; more than any estimate has in flight.
const SEQUENCES: u32 = 256;

/// A line of the table.
#[derive(Debug, Clone, Deserialize)]
struct Line {
    context: u64,
    system: String,
    model: String,
    workload: Class,
    prompt: u32,
    output: u32,
    cached: u32,
    concurrency: u32,
    action: String,
    prefix_caching: u8,
    step_tokens: Option<u32>,
    kv: String,
    weights: String,
    drafts: u32,
    count: u32,
    tp: u32,
    dp: u32,
    ep: u32,
    version: String,
    ttft_ms: f64,
    tpot_ms: f64,
}

/// Tokens that a step gives with so many drafts: what the estimates were asked with.
fn tokens_per_step(drafts: u32) -> f64 {
    match drafts {
        0 => 1.0,
        1 => 1.7,
        _ => 2.5,
    }
}

/// Rows of a table; lines about what the catalog does not have are left out.
pub(super) fn rows(path: &Path) -> Result<Vec<Observation>, Error> {
    let file = std::fs::File::open(path).map_err(Error::file(path))?;
    let mut rows = Vec::new();
    for line in csv::Reader::from_reader(file).deserialize::<Line>() {
        let line = line.map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        rows.extend(observation(&line));
    }
    Ok(rows)
}

fn observation(line: &Line) -> Option<Observation> {
    let catalog = Catalog::shipped();
    let site = Site {
        name: line.system.clone(),
        facts: Arc::clone(catalog.hardware(&line.system)?),
        limits: HardwareLimits { most: 8, largest_active_b: None },
    };
    let model =
        Served { name: line.model.clone(), facts: Arc::clone(catalog.model(&line.model)?), drafter: None };
    let action = Action { name: line.action.clone(), count: line.count, knobs: knobs(line) };
    let [concurrency, prompt, cached, output] =
        [line.concurrency, line.prompt, line.cached, line.output].map(f64::from);
    let situation = Situation::closed_loop(concurrency, prompt, cached, output);
    let mut facts = facts(&site, &model, &action, None);
    facts.engine_version = Some(line.version.clone());
    let outcome = outcome(line);
    outcome.e2e_s.filter(|e2e| e2e.is_finite() && *e2e > 0.0)?;
    Some(Observation {
        source: Source::SimulatedKernel,
        grain: Grain::Window,
        dataset: DATASET.to_owned(),
        provenance: "aiconfigurator 0.12.0, estimate of vLLM, with host overheads".to_owned(),
        context: format!("aiconfigurator/{}", line.context),
        action: action.name,
        repeat: 0,
        at_unix_s: None,
        facts,
        workload: Workload {
            name: line.workload.name().to_owned(),
            description: description(line.workload).to_owned(),
            prompt_tokens: prompt,
            cached_tokens: cached,
            output_tokens: output,
            concurrency,
            prompt_spread: 0.0,
            output_spread: 0.0,
        },
        load: load(&situation, None),
        outcome,
        live: None,
    })
}

fn knobs(line: &Line) -> Knobs {
    let speculative = (line.drafts > 0).then(|| Speculative {
        method: "eagle3".to_owned(),
        num_speculative_tokens: line.drafts,
        model: None,
    });
    let whole = line.prompt + line.output;
    Knobs {
        prefix_caching: Some(line.prefix_caching == 1),
        chunked_prefill: Some(line.step_tokens.is_some()),
        max_num_batched_tokens: Some(line.step_tokens.unwrap_or(whole)),
        max_num_seqs: Some(SEQUENCES),
        max_model_len: Some(whole),
        speculative,
        kv_cache_dtype: (line.kv == "fp8").then_some(KvCacheDtype::Fp8),
        quantization: (line.weights == "fp8").then_some(Quantization::Fp8),
        tensor_parallel: Some(line.tp),
        data_parallel: Some(line.dp),
        expert_parallel: Some(line.ep > 1),
        ..Knobs::default()
    }
}

fn outcome(line: &Line) -> Outcome {
    let host = Factors::default();
    let sequences = f64::from(line.concurrency / line.dp.max(1)).max(1.0);
    let step_s = host.step_s + sequences * host.sequence_s;
    let uncached = line.prompt.saturating_sub(line.cached).max(1);
    let chunks = f64::from(uncached.div_ceil(line.step_tokens.unwrap_or(uncached).max(1)));
    let ttft_s = line.ttft_ms * 1e-3 + host.front_s + host.prompt_s + chunks * step_s;
    let tpot_s = line.tpot_ms * 1e-3 + step_s / tokens_per_step(line.drafts);
    let after = f64::from(line.output.saturating_sub(1));
    let e2e_s = ttft_s + after * tpot_s;
    Outcome {
        requests: 0,
        ttft_s: Some(coarse(ttft_s)),
        tpot_s: Some(coarse(tpot_s)),
        e2e_s: Some(coarse(e2e_s)),
        output_tokens_per_s: Some(coarse(f64::from(line.concurrency) * f64::from(line.output) / e2e_s)),
        cached_tokens: Some(f64::from(line.cached)),
        reference_e2e_s: Some(coarse((line.ttft_ms + after * line.tpot_ms) * 1e-3)),
        reference_tpot_s: Some(coarse(line.tpot_ms * 1e-3)),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
context,system,model,workload,prompt,output,cached,concurrency,action,prefix_caching,step_tokens,kv,weights,drafts,count,tp,dp,ep,version,ttft_ms,tpot_ms
1,b200_sxm,gpt-oss-20b,chat,903,165,0,64,plain,0,,auto,published,0,1,1,1,1,0.24.0,56.7,8.3
1,b200_sxm,gpt-oss-20b,chat,903,165,304,64,cache,1,256,fp8,published,3,2,1,2,2,0.24.0,88.0,3.5
1,unknown,gpt-oss-20b,chat,903,165,304,64,cache,1,256,auto,published,3,2,1,2,2,0.24.0,88.0,3.5
";

    #[test]
    fn lines_become_rows_with_the_host_added() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), TABLE).unwrap();
        let rows = rows(file.path()).unwrap();
        assert_eq!(rows.len(), 2, "what the catalog does not have is left out");
        let [plain, cache] = &rows[..] else { panic!() };
        assert_eq!(plain.facts.knobs.max_num_batched_tokens, Some(903 + 165));
        assert_eq!((cache.facts.knobs.expert_parallel, cache.facts.lossless), (Some(true), false));
        for row in &rows {
            let (e2e, reference) = (row.outcome.e2e_s.unwrap(), row.outcome.reference_e2e_s.unwrap());
            assert!(e2e > reference && e2e < 2.0 * reference);
        }
    }
}
