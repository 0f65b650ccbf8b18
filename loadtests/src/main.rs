//! `gearshift-loadtest`: load tests and benchmarks for Gearshift.

mod commands;

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use gearshift_loadtests::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

fn main() -> ExitCode {
    // Where that fails ONNX Runtime is not loaded, and whoever wants it is told why.
    let _ = gearshift_selector::without_telemetry();
    let command = commands::Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let serves = command.serves();
    let ended = LocalSet::new().block_on(&runtime, async {
        // Before anything is started that has to end with this process.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            ended = commands::run(command) => return ended,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if serves { Ok(()) } else { Err(Error::Failed("interrupted".into())) }
    });
    ended.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &Error) -> ExitCode {
    // Nothing is left to do where standard error is gone.
    let _ = writeln!(std::io::stderr(), "gearshift-loadtest: {error}");
    ExitCode::FAILURE
}
