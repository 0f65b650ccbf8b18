use super::*;

fn shipped() -> Catalog {
    Catalog::read(HARDWARE, MODELS).unwrap_or_else(|errors| panic!("{errors}"))
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.'))
}

#[test]
fn the_data_files_are_sound_and_large_enough() {
    let catalog = shipped();
    assert!(catalog.hardware.len() >= 24, "{}", catalog.hardware.len());
    assert!(catalog.models.len() >= 16, "{}", catalog.models.len());
    for name in catalog.hardware_names().chain(catalog.model_names()) {
        assert!(is_name(name), "{name}");
        assert!(catalog.source(name).is_some_and(|source| source.len() > 15), "{name} names no source");
    }
}

#[test]
fn what_the_issue_asks_for_is_there() {
    let catalog = shipped();
    for name in [
        "t4",
        "v100_sxm_32gb",
        "l4",
        "a10",
        "a10g",
        "l40s",
        "rtx_4090",
        "rtx_pro_6000",
        "a100_pcie_40gb",
        "a100_pcie_80gb",
        "a100_sxm_40gb",
        "a100_sxm_80gb",
        "h100_pcie",
        "h100_sxm",
        "h200_sxm",
        "gh200_96gb",
        "b200_sxm",
        "b300_sxm",
        "mi250",
        "mi300x",
        "mi325x",
        "gaudi2",
        "gaudi3",
        "tpu_v5e",
        "tpu_v6e",
        "xeon_8480",
        "epyc_9654",
    ] {
        assert!(catalog.hardware(name).is_some(), "{name}");
    }
    assert!(catalog.models.values().any(|model| model.facts.parameters_b < 0.2));
    assert!(
        catalog
            .models
            .values()
            .any(|model| model.facts.parameters_b > 600.0 && model.facts.experts.is_some())
    );
}

#[test]
fn hardware_numbers_are_plausible() {
    for (name, Entry { facts, .. }) in &shipped().hardware {
        assert!(["nvidia", "amd", "intel", "google"].contains(&facts.vendor.as_str()), "{name}");
        assert!(facts.description.len() > 20, "{name}");
        assert!((10.0..=3000.0).contains(&facts.bf16_tflops), "{name}");
        // A dense eight-bit unit runs at once or twice the 16-bit rate, a four-bit one at two to four times the 8-bit.
        if let Some(fp8) = facts.fp8_tflops {
            assert!((0.99..=2.03).contains(&(fp8 / facts.bf16_tflops)), "{name}: {fp8}");
            if let Some(fp4) = facts.fp4_tflops {
                assert!((1.99..=4.01).contains(&(fp4 / fp8)), "{name}: {fp4}");
            }
        }
        assert!((300.0..=8000.0).contains(&facts.memory_gb_per_s), "{name}");
        assert!((15.0..=768.0).contains(&facts.memory_gib), "{name}");
        assert!((16.0..=900.0).contains(&facts.interconnect_gb_per_s), "{name}");
        assert!((0.3..=12.0).contains(&facts.price_usd_per_hour), "{name}");
        assert!((70.0..=1400.0).contains(&facts.tdp_w), "{name}");
        assert!((0.1..=0.45).contains(&(facts.idle_w / facts.tdp_w)), "{name}");
    }
}

/// Layers of width h hold about 12 h² parameters, whatever the architecture; embeddings come on top.
#[test]
fn dense_parameters_agree_with_the_shape() {
    for (name, Entry { facts, .. }) in &shipped().models {
        assert!(facts.active_parameters_b <= facts.parameters_b, "{name}");
        assert!(facts.heads.is_multiple_of(facts.kv_heads), "{name}");
        if facts.experts.is_none() {
            assert_eq!(facts.active_parameters_b.to_bits(), facts.parameters_b.to_bits(), "{name}");
            let estimate = 12.0 * f64::from(facts.layers) * f64::from(facts.hidden).powi(2) / 1e9;
            assert!((0.7..=2.2).contains(&(facts.parameters_b / estimate)), "{name}: {estimate}");
        }
    }
}

/// A token passes through all that is not routed, and through its share of what is. Publishers differ in whether they
/// count embeddings, so the published figure may be a seventh lower.
#[test]
fn active_parameters_agree_with_the_experts() {
    let mut sparse = 0;
    for (name, Entry { facts, .. }) in &shipped().models {
        let Some(experts) = facts.experts else { continue };
        sparse += 1;
        let share = f64::from(experts.active) / f64::from(experts.total);
        let expected = facts.parameters_b - experts.parameters_b * (1.0 - share);
        assert!((0.84..=1.02).contains(&(facts.active_parameters_b / expected)), "{name}: {expected}");
    }
    assert!(sparse >= 8, "{sparse}");
}

#[test]
fn models_are_found_under_their_hugging_face_names() {
    let catalog = shipped();
    let by_id = catalog.model("llama-3.1-8b").unwrap();
    assert!(Arc::ptr_eq(by_id, catalog.model("meta-llama/Llama-3.1-8B-Instruct").unwrap()));
    assert!(Arc::ptr_eq(by_id, catalog.model("META-LLAMA/llama-3.1-8b-instruct").unwrap()));
    assert!(catalog.model("llama").is_none());
    let named: usize = catalog.hugging_face.len();
    let listed = MODELS.lines().filter(|line| line.contains("hugging_face:"));
    let listed: usize = listed.map(|line| line.split(',').count()).sum();
    assert_eq!(named, listed, "two models claim one name");
}

/// vLLM's own figures: 128 KiB a token for Llama 3.1 8B at 16 bits, 68.6 KiB for DeepSeek-V3.
#[test]
fn kv_bytes_per_token_are_the_known_ones() {
    let catalog = shipped();
    let bytes = |name: &str| catalog.model(name).unwrap().kv_bytes_per_token(2.0);
    assert_eq!(bytes("llama-3.1-8b").to_bits(), (128.0 * 1024.0_f64).to_bits());
    assert_eq!(bytes("deepseek-v3").to_bits(), (576.0 * 61.0 * 2.0_f64).to_bits());
}
