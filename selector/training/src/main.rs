//! `gearshift-train`: import, fit, evaluate, bundle.

mod commands;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser};
use gearshift_loadtests::manual;

use self::commands::{Said, examples};

/// The exit code of a question whose answer is no; 1 is an error, and 2 a wrong argument.
const NO: u8 = 3;

/// Gearshift's offline side: rows in, a learner out.
#[derive(Debug, Parser)]
#[command(name = "gearshift-train", version, after_help = examples::ALL)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Turn tables and benchmark results into rows of the performance database.
    #[command(after_help = examples::IMPORT)]
    Import(commands::import::Args),
    /// Write rows as a table for training with other tools.
    #[command(after_help = examples::INPUTS)]
    Inputs(commands::inputs::Args),
    /// Measure how well each selector chooses where it has not been.
    Eval(commands::eval::Args),
    /// Train the meta-learner and write a bundle.
    Fit(commands::fit::Args),
    /// Retrain by itself: wait for live rows, train, judge, offer, look on, take back.
    Watch(commands::watch::Args),
    /// The whole of retraining in virtual time, with simulated engines.
    #[command(after_help = examples::STUDY)]
    Study(commands::study::Args),
    /// Check a bundle as the server does.
    #[command(after_help = examples::BUNDLE)]
    Bundle(commands::bundle::Args),
    /// Print what a shell needs to complete this command line.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: manual::Shell,
    },
    /// Print the manual page, or write one for every subcommand.
    #[command(after_help = examples::MAN)]
    Man {
        /// A folder for all pages, in place of one on standard output.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the binary's edge")]
fn main() -> ExitCode {
    // Where that fails ONNX Runtime is not loaded, and whoever wants it is told why.
    let _ = gearshift_selector::without_telemetry();
    let result = match Cli::parse().command {
        Command::Import(args) => commands::import::run(&args).map(Said::from),
        Command::Inputs(args) => commands::inputs::run(&args).map(Said::from),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Fit(args) => commands::fit::run(&args).map(Said::from),
        Command::Watch(args) => commands::watch::run(&args, log).map(Said::from),
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

/// A line of what runs for months: it goes on where nobody reads that any more.
fn log(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
