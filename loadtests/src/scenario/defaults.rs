//! What a configuration does not say of an engine.

use gearshift_config::HardwareFacts;

use crate::sim::Times;

/// Tokens of a KV block on accelerators: vLLM's default.
pub const ACCELERATOR_BLOCK_TOKENS: u32 = 16;
/// Tokens of a KV block on CPUs: vLLM's default there.
pub const CPU_BLOCK_TOKENS: u32 = 128;

/// Start of a vLLM process to its first answer, seconds: the middle of the 60–140 s measured with vLLM 0.32 on CPU. For
/// accelerators vLLM's authors give 30–100 s and more, by size of the model (their article on sleep mode, October 2025).
const START_S: f64 = 100.0;
/// How much faster waking up is than starting: the cautious end of the 18–200 that the same article measured.
const WAKE_SPEEDUP: f64 = 18.0;

/// Start, sleep and wake times of an engine of which none were measured. Falling asleep moves as many bytes as waking
/// up and is taken to last as long.
pub fn times() -> Times {
    let wake_s = START_S / WAKE_SPEEDUP;
    Times { start_s: START_S, sleep_s: wake_s, wake_s }
}

/// Tokens of a KV block, as vLLM chooses where nobody tells it.
pub fn block_tokens(hardware: &HardwareFacts) -> u32 {
    if hardware.is_cpu() { CPU_BLOCK_TOKENS } else { ACCELERATOR_BLOCK_TOKENS }
}
