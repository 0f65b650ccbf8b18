//! Finds vLLM and the model, or has them installed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use super::{cpu::vllm::Installation, options::ValidateOptions, progress::Progress};
use crate::{
    Error,
    bench::process::{self, Process},
};

/// What installs both, from the repository's root.
const SCRIPT: &str = "e2e/run.py";
const POLL: Duration = Duration::from_millis(200);

/// Where the options say, or where the end-to-end tests install them.
///
/// # Errors
/// Where a path is missing or the installation fails.
pub(super) async fn find(options: &ValidateOptions, progress: &Progress) -> Result<Installation, Error> {
    match (options.vllm.as_str(), options.model.clone()) {
        ("auto", None) => install(&options.kept, progress).await,
        ("auto", Some(model)) => Ok(Installation { model, ..install(&options.kept, progress).await? }),
        (environment, Some(model)) => Ok(Installation { environment: environment.into(), model }),
        (_, None) => Err(Error::Failed("--vllm VENV needs --model DIR as well".into())),
    }
}

/// Installs both where they are not yet; a first time takes minutes and 6 GB.
async fn install(folder: &Path, progress: &Progress) -> Result<Installation, Error> {
    if !Path::new(SCRIPT).exists() {
        let hint = "run from the repository's root, or name --vllm VENV and --model DIR";
        return Err(Error::Failed(format!("{SCRIPT} is not here: {hint}")));
    }
    std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let log = folder.join("install.log");
    progress.say(format!("vLLM and its model are set up ({})", log.display()));
    let mut command = process::command(Path::new("python3"), None);
    command.args([SCRIPT, "--prepare"]);
    let mut process = Process::spawn(command, &log)?;
    while process.is_running()? {
        sleep(POLL).await;
    }
    let printed = std::fs::read_to_string(&log).map_err(Error::file(&log))?;
    let found = printed.lines().last().and_then(|last| serde_json::from_str::<Found>(last).ok());
    let Found { vllm, model } =
        found.ok_or_else(|| Error::Failed(format!("{SCRIPT} --prepare:\n{}", process.last_words())))?;
    Ok(Installation { environment: vllm, model })
}

/// The last line that the script prints.
#[derive(serde::Deserialize)]
struct Found {
    vllm: PathBuf,
    model: PathBuf,
}
