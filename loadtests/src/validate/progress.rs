//! What is being done: a line that changes on a terminal, lines one after another elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// Says what is being done, on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
}

impl Progress {
    /// Begins counting time.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{elapsed_precise} {spinner} {wide_msg}");
            let bar = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, began: Instant::now() }
    }

    /// Says what is done now.
    pub fn say(&self, message: String) {
        match &self.bar {
            Some(bar) => bar.set_message(message),
            None => {
                // Nothing is left to do where standard error is gone.
                let _ = writeln!(std::io::stderr(), "{:>4} s  {message}", self.began.elapsed().as_secs());
            }
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
