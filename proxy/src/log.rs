//! Gearshift's own log, on standard error. A thread of its own writes it, so that a reader who is slow, hangs or has gone holds up neither
//! requests nor operators: what finds no room is dropped and counted.

use std::{ffi::OsString, io::IsTerminal};

use clap::ValueEnum;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that wait for their reader at most: some megabytes.
const WAITING: usize = 16_384;

/// How lines are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// The running log. What waits is written when it is dropped, unless that takes longer than a second.
#[must_use]
pub(crate) struct Log {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Log {
    /// How many lines were dropped so far.
    pub(crate) fn dropped(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || dropped.dropped_lines()
    }
}

/// Begins to log; GEARSHIFT_LOG says what.
pub(crate) fn start(format: Format) -> Log {
    let (lines, writer) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped = lines.error_counter();
    let filter = EnvFilter::try_from_env("GEARSHIFT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        // The only error is that the log has ended: to say so there would be a panic, in whatever task had something to log.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && !colours_unwanted(std::env::var_os("NO_COLOR")));
    match format {
        Format::Text => builder.init(),
        Format::Json => builder.json().init(),
    }
    Log { dropped, _writer: writer }
}

/// As <https://no-color.org> has it: set, and not to nothing.
fn colours_unwanted(no_color: Option<OsString>) -> bool {
    no_color.is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_where_no_color_is_set() {
        assert!(colours_unwanted(Some("1".into())) && colours_unwanted(Some("0".into())));
        assert!(!colours_unwanted(Some("".into())) && !colours_unwanted(None));
    }
}
