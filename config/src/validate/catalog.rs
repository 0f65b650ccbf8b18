//! Hardware and models in numbers, from the shipped catalog and from users alike.

use super::Check;
use crate::{
    Experts, HardwareFacts, ModelFacts, SlidingWindow,
    raw::{RawExperts, RawHardware, RawModelNumbers, RawSlidingWindow},
    yaml::Path,
};

/// Numbers of one accelerator; what `raw` leaves out comes from `base`.
pub(crate) fn hardware_facts(
    check: &mut Check<'_>,
    at: &Path,
    name: &str,
    raw: &RawHardware,
    base: Option<&HardwareFacts>,
) -> HardwareFacts {
    let mut number = |key: &str, value: Option<f64>, from: fn(&HardwareFacts) -> f64, most: f64| {
        let at = at.key(key);
        let stated = value.or(base.map(from));
        let value = check.required(&at, stated, &format!("{key}: …` or `like: h100_sxm")).unwrap_or(1.0);
        if !(value > 0.0 && value <= most) {
            check.wrong(
                &at,
                format!("{value} is out of range"),
                format!("write a number above 0 and up to {most}"),
            );
        }
        value
    };
    let facts = HardwareFacts {
        description: stated(&raw.description, base.map(|base| &base.description), name),
        vendor: stated(&raw.vendor, base.map(|base| &base.vendor), "unknown").to_lowercase(),
        architecture: stated(&raw.architecture, base.map(|base| &base.architecture), "unknown")
            .to_lowercase(),
        bf16_tflops: number("bf16_tflops", raw.bf16_tflops, |base| base.bf16_tflops, 1e6),
        fp8_tflops: raw.fp8_tflops.or(base.and_then(|base| base.fp8_tflops)),
        fp4_tflops: raw.fp4_tflops.or(base.and_then(|base| base.fp4_tflops)),
        memory_gb_per_s: number("memory_gb_per_s", raw.memory_gb_per_s, |base| base.memory_gb_per_s, 1e6),
        memory_gib: number("memory_gib", raw.memory_gib, |base| base.memory_gib, 1e5),
        interconnect_gb_per_s: number(
            "interconnect_gb_per_s",
            raw.interconnect_gb_per_s,
            |base| base.interconnect_gb_per_s,
            1e5,
        ),
        price_usd_per_hour: number(
            "price_usd_per_hour",
            raw.price_usd_per_hour,
            |base| base.price_usd_per_hour,
            1e4,
        ),
        tdp_w: number("tdp_w", raw.tdp_w, |base| base.tdp_w, 1e5),
        idle_w: number("idle_w", raw.idle_w, |base| base.idle_w, 1e5),
    };
    for (key, value) in [("fp8_tflops", facts.fp8_tflops), ("fp4_tflops", facts.fp4_tflops)] {
        if value.is_some_and(|value| !(value > 0.0 && value <= 1e6)) {
            check.wrong(
                &at.key(key),
                "is out of range",
                "write a number above 0, or leave it out".to_owned(),
            );
        }
    }
    if facts.idle_w > facts.tdp_w {
        let what = format!("idle power of {} W is above the limit of {} W", facts.idle_w, facts.tdp_w);
        check.wrong(&at.key("idle_w"), what, "swap them?".to_owned());
    }
    facts
}

/// Numbers of one model.
pub(crate) fn model_facts(check: &mut Check<'_>, at: &Path, name: &str, raw: &RawModelNumbers) -> ModelFacts {
    let parameters_at = at.key("parameters_b");
    let parameters_b = check.required(&parameters_at, raw.parameters_b, "parameters_b: 8.03").unwrap_or(1.0);
    if !(parameters_b > 0.0 && parameters_b <= 1e5) {
        let fix = "write billions, such as 8.03".to_owned();
        check.wrong(&parameters_at, format!("{parameters_b} is out of range"), fix);
    }
    let active_parameters_b = raw.active_parameters_b.unwrap_or(parameters_b);
    if !(active_parameters_b > 0.0 && active_parameters_b <= parameters_b) {
        let fix = format!("write billions, above 0 and at most {parameters_b}");
        check.wrong(&at.key("active_parameters_b"), format!("{active_parameters_b} is out of range"), fix);
    }
    let mut size = |key: &str, value: Option<u32>, example: &str, most: u32| {
        let at = at.key(key);
        let value = check.required(&at, value, &format!("{key}: {example}"))?;
        check.within(&at, value, 1..=most);
        Some(value.max(1))
    };
    let layers = size("layers", raw.layers, "32", 10_000).unwrap_or(1);
    let hidden = size("hidden", raw.hidden, "4096", 1 << 20).unwrap_or(1);
    let heads = size("heads", raw.heads, "32", 1 << 16).unwrap_or(1);
    let context = size("context", raw.context, "131072", 1 << 27).unwrap_or(1);
    let kv_heads = size("kv_heads", Some(raw.kv_heads.unwrap_or(heads)), "8", heads.max(1)).unwrap_or(1);
    let head_dim =
        size("head_dim", Some(raw.head_dim.unwrap_or((hidden / heads).max(1))), "128", 1 << 16).unwrap_or(1);
    if let Some(width) = raw.mla_kv_width {
        check.within(&at.key("mla_kv_width"), width, 1..=1 << 16);
    }
    let weight_bytes = raw.weight_bytes.unwrap_or(2.0);
    check.within(&at.key("weight_bytes"), weight_bytes, 0.1..=8.0);
    ModelFacts {
        description: stated(&raw.description, None, name),
        parameters_b,
        active_parameters_b,
        layers,
        hidden,
        heads,
        kv_heads,
        head_dim,
        mla_kv_width: raw.mla_kv_width,
        sliding_window: raw
            .sliding_window
            .as_ref()
            .map(|raw| sliding_window(check, &at.key("sliding_window"), raw, layers)),
        weight_bytes,
        context,
        experts: raw.experts.as_ref().map(|raw| experts(check, &at.key("experts"), raw, parameters_b)),
    }
}

fn sliding_window(
    check: &mut Check<'_>,
    at: &Path,
    raw: &RawSlidingWindow,
    model_layers: u32,
) -> SlidingWindow {
    let layers = check.required(&at.key("layers"), raw.layers, "layers: 18").unwrap_or(1);
    let tokens = check.required(&at.key("tokens"), raw.tokens, "tokens: 128").unwrap_or(1);
    check.within(&at.key("layers"), layers, 1..=model_layers);
    check.within(&at.key("tokens"), tokens, 1..=1 << 27);
    SlidingWindow { layers, tokens }
}

fn experts(check: &mut Check<'_>, at: &Path, raw: &RawExperts, model_parameters_b: f64) -> Experts {
    let total = check.required(&at.key("total"), raw.total, "total: 128").unwrap_or(1);
    let active = check.required(&at.key("active"), raw.active, "active: 8").unwrap_or(1);
    let parameters_at = at.key("parameters_b");
    let parameters_b = check.required(&parameters_at, raw.parameters_b, "parameters_b: 29").unwrap_or(1.0);
    check.within(&at.key("total"), total, 1..=1 << 16);
    check.within(&at.key("active"), active, 1..=total.max(1));
    if !(parameters_b > 0.0 && parameters_b <= model_parameters_b) {
        let fix = format!("write billions, above 0 and at most {model_parameters_b}");
        check.wrong(&parameters_at, format!("{parameters_b} is out of range"), fix);
    }
    Experts { total, active, parameters_b }
}

fn stated(value: &Option<String>, base: Option<&String>, default: &str) -> String {
    value.as_ref().or(base).map_or(default, String::as_str).to_owned()
}
