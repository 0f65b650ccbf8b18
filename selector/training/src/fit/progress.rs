//! How far training is, for whoever watches.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Told how far training is.
pub trait Progress {
    /// A phase of this many steps begins.
    fn begin(&self, phase: &str, steps: usize);
    /// A step is done; `note` says how it went.
    fn step(&self, note: &str);
    /// The phase is over.
    fn end(&self);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _phase: &str, _steps: usize) {}
    fn step(&self, _note: &str) {}
    fn end(&self) {}
}

/// A bar on the terminal; where there is none, nothing.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {msg} {eta}");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }
}

impl Progress for Bar {
    fn begin(&self, phase: &str, steps: usize) {
        self.0.reset();
        self.0.set_prefix(phase.to_owned());
        self.0.set_length(steps as u64);
    }

    fn step(&self, note: &str) {
        self.0.set_message(note.to_owned());
        self.0.inc(1);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
