//! `gearshift-train`: import, fit, evaluate, bundle.

mod commands;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser};
use gearshift_loadtests::manual;

use self::commands::Said;

/// The exit code of a question whose answer is no; 1 is an error, and 2 a wrong argument.
const NO: u8 = 3;

/// Gearshift's offline side: rows in, a learner out.
#[derive(Debug, Parser)]
#[command(name = "gearshift-train", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  gearshift-train import files --mapping selector/training/examples/mapping.yaml --into rows.parquet results.csv
  gearshift-train fit --out models/mine
  gearshift-train eval --quick --only unseen_gpu
  gearshift-train completions bash > /etc/bash_completion.d/gearshift-train

Exit codes: 0 done, 1 it failed, 2 wrong usage. Progress is for terminals alone.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Turn tables and benchmark results into rows of the performance database.
    Import(commands::import::Args),
    /// Write rows as a table for training with other tools.
    Inputs(commands::inputs::Args),
    /// Measure how well each selector chooses where it has not been.
    Eval(commands::eval::Args),
    /// Train the meta-learner and write a bundle.
    Fit(commands::fit::Args),
    /// Retrain by itself: wait for live rows, train, judge, offer, look on, take back.
    Watch(commands::watch::Args),
    /// The whole of retraining in virtual time, with simulated engines.
    Study(commands::study::Args),
    /// Check a bundle as the server does.
    Bundle(commands::bundle::Args),
    /// Print what a shell needs to complete this command line.
    Completions {
        /// The shell.
        shell: manual::Shell,
    },
    /// Print the manual page, or write one for every subcommand.
    Man {
        /// A folder for all pages, in place of one on standard output.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the binary's edge")]
fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Import(args) => commands::import::run(&args).map(Said::from),
        Command::Inputs(args) => commands::inputs::run(&args).map(Said::from),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Fit(args) => commands::fit::run(&args).map(Said::from),
        Command::Watch(args) => commands::watch::run(&args, |line| println!("{line}")).map(Said::from),
        Command::Study(args) => commands::study::run(&args).map(Said::from),
        Command::Bundle(args) => commands::bundle::run(&args).map(Said::from),
        Command::Completions { shell } => Ok(manual::completions(Cli::command(), shell).into()),
        Command::Man { out } => manual::pages(Cli::command(), out.as_deref())
            .map(Said::from)
            .map_err(|error| gearshift_training::Error::Failed(error.to_string())),
    };
    match result {
        Ok(Said { text, yes }) => {
            if !text.is_empty() {
                println!("{text}");
            }
            if yes { ExitCode::SUCCESS } else { ExitCode::from(NO) }
        }
        Err(error) => {
            eprintln!("gearshift-train: {error}");
            ExitCode::FAILURE
        }
    }
}
