//! `gearshift`: the command line.

mod commands;
mod examples;
mod log;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// A reverse proxy that routes LLM requests to the backend that serves them best.
#[derive(Debug, Parser)]
#[command(version, about, after_help = examples::ALL)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until told to end (SIGTERM); SIGHUP reads the configuration again.
    #[command(after_help = examples::SERVE)]
    Serve {
        /// The configuration file; changes to it are taken over while serving.
        #[arg(short, long, value_name = "FILE", default_value = "gearshift.yaml")]
        config: PathBuf,
        /// How log lines are written to standard error. GEARSHIFT_LOG sets what is logged (default `info`).
        #[arg(long, value_enum, default_value_t = log::Format::Text)]
        log_format: log::Format,
    },
    /// Say whether a configuration file is right, and everything that is wrong with it.
    #[command(after_help = examples::CHECK)]
    Check {
        /// The configuration file.
        file: PathBuf,
        /// How the findings are written.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Say which profile to start an engine in, for a model, a hardware and a workload.
    #[command(after_help = examples::ADVISE)]
    Advise(Box<commands::advise::Command>),
    /// Say why a request went where it went, with the candidates it was chosen among.
    #[command(after_help = examples::EXPLAIN)]
    Explain(commands::explain::Explain),
    /// Put a backend of a running Gearshift into another of its profiles, without losing a request.
    #[command(after_help = examples::SHIFT)]
    Shift(commands::controller::Shift),
    /// The profile controller of a running Gearshift: status, pause, resume.
    #[command(after_help = examples::CONTROLLER)]
    Controller(commands::controller::Command),
    /// Bundles of the meta-learner: verify, schema, list, activate, rollback, newest.
    #[command(subcommand, after_help = examples::BUNDLE)]
    Bundle(commands::bundle::Command),
    /// Print what a shell needs to complete this command line.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every subcommand.
    #[command(after_help = examples::MAN)]
    Man {
        /// A folder for all pages, in place of one on standard output.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    // Where that fails ONNX Runtime is not loaded, and whoever wants it is told why.
    let _ = gearshift_selector::without_telemetry();
    match Cli::parse().command {
        Command::Serve { config, log_format } => serve(config, log_format),
        Command::Check { file, output } => check(&file, output),
        Command::Advise(command) => tell(commands::advise::run(&command)),
        Command::Explain(explain) => tell(commands::explain::run(&explain)),
        Command::Shift(shift) => tell(commands::controller::shift(&shift)),
        Command::Controller(command) => tell(commands::controller::run(&command)),
        Command::Bundle(command) => tell(commands::bundle::run(command)),
        Command::Completions { shell } => tell(Ok(commands::manual::completions(Cli::command(), shell))),
        Command::Man { out } => tell(commands::manual::pages(Cli::command(), out.as_deref())),
    }
}

fn serve(config: PathBuf, format: log::Format) -> ExitCode {
    let log = log::start(format);
    let result = gearshift_proxy::serve::run(config, log.dropped());
    // What it still has to say comes before why it ended.
    drop(log);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(std::io::stderr(), &format!("gearshift: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What a command found out, or why it could not.
fn tell(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => {
            say(std::io::stdout(), &text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(std::io::stderr(), &format!("gearshift: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn check(file: &std::path::Path, output: Output) -> ExitCode {
    let result = gearshift_config::load(file);
    let code = if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match (output, result) {
        (Output::Text, Ok(config)) => {
            let summary = config.summary().join("\n");
            say(std::io::stdout(), &format!("{}: ok\n{summary}", file.display()));
        }
        (Output::Text, Err(errors)) => say(std::io::stderr(), &errors.to_string()),
        (Output::Json, Ok(config)) => {
            say(std::io::stdout(), &serde_json::json!({"ok": true, "config": config.redacted()}).to_string());
        }
        (Output::Json, Err(errors)) => {
            let mut found = errors.to_json();
            found["ok"] = false.into();
            say(std::io::stdout(), &found.to_string());
        }
    }
    code
}

/// Writes a line; a reader that has gone is no error of ours.
fn say(mut to: impl Write, text: &str) {
    let _ = writeln!(to, "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_right() {
        let help = Cli::command();
        let verbs = help.get_subcommands().flat_map(clap::Command::get_subcommands);
        let all = std::iter::once(&help).chain(help.get_subcommands()).chain(verbs);
        let helps = all.filter_map(clap::Command::get_after_help);
        let text = helps.map(|text| text.to_string().replace("\\\n", " ")).collect::<Vec<_>>().join("\n");
        let is_end = |word: &&str| !["#", "|", ">"].contains(word);
        let examples: Vec<Vec<_>> = text
            .lines()
            .filter(|line| line.starts_with("  gearshift "))
            .map(|line| line.split_whitespace().take_while(is_end).collect())
            .collect();
        assert!(examples.len() > 30, "{examples:?}");
        for example in examples {
            Cli::try_parse_from(&example).unwrap_or_else(|error| panic!("{example:?}: {error}"));
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
