//! Engines' own metrics on Gearshift's page, summed up.

use super::known;
use crate::common::{Engine, Gearshift, within};

fn page(running: u32, tokens: u32) -> String {
    format!(
        "# TYPE vllm:num_requests_running gauge\n\
         vllm:num_requests_running{{engine=\"0\",model_name=\"stub\"}} {running}.0\n\
         vllm:num_requests_waiting{{engine=\"0\",model_name=\"stub\"}} 0.0\n\
         vllm:kv_cache_usage_perc{{engine=\"0\",model_name=\"stub\"}} 0.5\n\
         vllm:generation_tokens_total{{engine=\"0\",model_name=\"stub\"}} {tokens}.0\n"
    )
}

#[tokio::test]
async fn chosen_families_are_summed_up_by_model_and_profile() {
    let engines = [Engine::start().await, Engine::start().await];
    engines.iter().for_each(|engine| engine.set_metrics(&page(2, 1000)));
    let chosen = "engine_metrics: [vllm:num_requests_running, vllm:generation_tokens_total]";
    let yaml = known(&[&engines[0], &engines[1]], chosen).with("fleet: {scrape_interval: 20ms}");
    let proxy = Gearshift::start(&yaml).await;
    let labels = ["model_name=\"stub\"", "profile=\"fast\""];
    let is = async |family: &str, value: f64| {
        let reached = async || proxy.scrape().await.sum(family, &labels) == value;
        within(family, async { while !reached().await {} }).await;
    };
    is("vllm:num_requests_running", 4.0).await;
    engines[0].set_metrics(&page(5, 1010));
    is("vllm:num_requests_running", 7.0).await;
    is("vllm:generation_tokens_total", 10.0).await;
    // One restarts: its count begins anew, and the sum does not.
    engines[0].set_metrics(&page(0, 3));
    is("vllm:generation_tokens_total", 13.0).await;
    let scrape = proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_engine_metrics_left_out_total", &[]), 0.0);
    // The other one answers, but says nothing of it any more.
    engines[1].set_metrics("# no engine\n");
    is("vllm:num_requests_running", 0.0).await;
    is("vllm:generation_tokens_total", 13.0).await;
    assert!(scrape.has("vllm:generation_tokens_total") && !scrape.has("vllm:num_requests_waiting"));
}
