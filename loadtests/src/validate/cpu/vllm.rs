//! The real engine as the plan has it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    client::SERVED,
    plan::{BLOCKS, DTYPE, MODEL_LEN},
};
use crate::{
    Error,
    vllm::{self, Server},
};

/// Where vLLM and the model are.
#[derive(Debug, Clone)]
pub struct Installation {
    /// A virtual environment with vLLM for CPUs.
    pub environment: PathBuf,
    /// The model's directory, in Hugging Face's form.
    pub model: PathBuf,
}

const START: Duration = Duration::from_secs(420);

/// Starts a server with `flags` and waits until it answers; its log goes to `log`.
///
/// # Errors
/// Where it ends before that or takes more than seven minutes.
pub(super) async fn start(installed: &Installation, flags: &[String], log: &Path) -> Result<Server, Error> {
    let port = vllm::free_port()?;
    let mut command = vllm::command(&installed.environment.join("bin/vllm"));
    command.arg("serve").arg(&installed.model).args(flags).args(common_flags(port)).envs(ENVIRONMENT);
    Server::start(command, port, log, START).await
}

/// Nothing is fetched or sent; one GiB is more KV cache than the plan's blocks take; the endpoint that empties the prefix
/// cache is open.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("HF_HUB_OFFLINE", "1"),
    ("VLLM_NO_USAGE_STATS", "1"),
    ("DO_NOT_TRACK", "1"),
    ("VLLM_CPU_KVCACHE_SPACE", "1"),
    ("VLLM_SERVER_DEV_MODE", "1"),
];

fn common_flags(port: u16) -> [String; 8] {
    [
        format!("--served-model-name={SERVED}"),
        "--host=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--dtype={DTYPE}"),
        format!("--max-model-len={MODEL_LEN}"),
        format!("--num-gpu-blocks-override={BLOCKS}"),
        "--enforce-eager".to_owned(),
        "--disable-uvicorn-access-log".to_owned(),
    ]
}
