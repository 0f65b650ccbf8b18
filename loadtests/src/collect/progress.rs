//! How far the measurement is.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// A bar on a terminal, lines elsewhere; on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    done: u64,
    all: u64,
}

impl Progress {
    /// `all` measurements are to come.
    pub(super) fn new(all: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{elapsed_precise} {bar:30} {pos}/{len} (left: {eta}) {wide_msg}";
            let style = ProgressStyle::with_template(template);
            let bar =
                ProgressBar::new(all).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, began: Instant::now(), done: 0, all }
    }

    /// Says what is done now.
    pub(super) fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(message.to_owned()),
            None => {
                let (elapsed, Self { done, all, .. }) = (self.began.elapsed().as_secs(), self);
                // Nothing is left to do where standard error is gone.
                let _ = writeln!(std::io::stderr(), "{elapsed:>5} s  {done}/{all}  {message}");
            }
        }
    }

    /// So many are done, or will not be.
    pub(super) fn done(&mut self, count: u64) {
        self.done += count;
        if let Some(bar) = &self.bar {
            bar.inc(count);
        }
    }
}
