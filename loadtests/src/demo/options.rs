//! What the demo can be asked for.

use std::path::PathBuf;

use clap::Args;

use crate::options::{Format, positive};

/// Options of `gearshift-loadtest demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoOptions {
    /// The gearshift binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/gearshift")]
    pub gearshift: PathBuf,
    /// The fleet, as a Gearshift configuration that states hardware and model of every backend; one that ships with
    /// this program where none is given.
    #[arg(long, value_name = "FILE", conflicts_with = "backends")]
    pub config: Option<PathBuf>,
    /// How long requests come, seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub duration: u64,
    /// Requests per second, on average.
    #[arg(long, default_value_t = 8.0, value_parser = positive)]
    pub rate: f64,
    /// Longest prompt and answer together, tokens.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(64..))]
    pub context: u32,
    /// Decides which requests come, and when.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Real engines instead of simulated ones: their URLs, separated by commas.
    #[arg(long, value_name = "URL,…", value_delimiter = ',', requires = "model")]
    pub backends: Vec<String>,
    /// The model that real engines are asked for.
    #[arg(long, value_name = "NAME", requires = "backends")]
    pub model: Option<String>,
    /// What is printed at the end.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Lines instead of the live view, as without a terminal.
    #[arg(long)]
    pub plain: bool,
    /// Where the report goes: demo.json, demo.md and demo.svg.
    #[arg(long, value_name = "FOLDER", default_value = "target/reports")]
    pub out: PathBuf,
}
