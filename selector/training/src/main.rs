//! `gearshift-train`: import, fit, evaluate, bundle.

mod commands;

use std::process::ExitCode;

use clap::Parser;

/// Gearshift's offline side: rows in, a learner out.
#[derive(Debug, Parser)]
#[command(name = "gearshift-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

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
    /// Check a bundle as the server does.
    Bundle(commands::bundle::Args),
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the binary's edge")]
fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Import(args) => commands::import::run(&args),
        Command::Inputs(args) => commands::inputs::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Fit(args) => commands::fit::run(&args),
        Command::Bundle(args) => commands::bundle::run(&args),
    };
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gearshift-train: {error}");
            ExitCode::FAILURE
        }
    }
}
