//! The access log: a JSON line for each request.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use gearshift_config::LogTarget;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Inboxes, Record, TICK, Wall};
use crate::{clock, metrics::Told};

/// Bytes that a pipe takes at once (`PIPE_BUF` on Linux).
const PIPE: usize = 4096;

/// A request, as its line has it. What is not known is `null`.
#[derive(Debug, Serialize)]
struct Line<'r> {
    /// When it came.
    time: String,
    request_id: &'r str,
    trace_id: Option<String>,
    span_id: Option<String>,
    method: &'r str,
    path: Option<&'r str>,
    route: Option<&'r str>,
    model: Option<&'r str>,
    backend: Option<&'r str>,
    profile: Option<&'r str>,
    /// Who decided, as `x-gearshift-reason` has it.
    reason: Option<&'r str>,
    status: Option<u16>,
    outcome: &'r str,
    /// What went wrong.
    error: Option<&'r str>,
    stream: Option<bool>,
    ttft_s: Option<f64>,
    e2e_s: f64,
    prompt_tokens: Option<u32>,
    cached_tokens: Option<u32>,
    output_tokens: u32,
    /// Attempts after the first.
    retries: usize,
}

impl<'r> Line<'r> {
    fn of(record: &'r Record, wall: Wall) -> Self {
        let Record { ending, asked, .. } = record;
        let attempt = record.attempts.last();
        let seconds = |to| clock::between(record.arrived, to).as_secs_f64();
        Self {
            time: humantime::format_rfc3339_millis(wall.of(record.arrived)).to_string(),
            request_id: &record.id,
            trace_id: record.span.map(|span| format!("{:032x}", span.trace)),
            span_id: record.span.map(|span| format!("{:016x}", span.span)),
            method: record.method.as_str(),
            path: record.path,
            route: asked.as_ref().map(|asked| asked.route.id.as_str()),
            model: asked.as_ref().map(|asked| asked.model.label.as_str()),
            backend: attempt.map(|attempt| attempt.engine.backend.as_str()),
            profile: attempt.map(|attempt| attempt.engine.profile.as_str()),
            reason: attempt.map(super::Attempt::decided_by),
            status: ending.status.map(|status| status.as_u16()),
            outcome: ending.outcome,
            error: ending.error(),
            stream: asked.as_ref().map(|asked| asked.stream),
            ttft_s: ending.first.map(seconds),
            e2e_s: seconds(ending.at),
            prompt_tokens: ending.usage.map(|usage| usage.prompt_tokens),
            cached_tokens: ending.usage.and_then(|usage| usage.cached_tokens),
            output_tokens: ending.output_tokens(),
            retries: record.attempts.len().saturating_sub(1),
        }
    }
}

/// Writes lines. A thread has it to itself: what it writes to may block.
pub(super) struct Writer {
    to: Output,
    told: Told,
    /// So that an output that fails for long is logged once.
    failing: bool,
}

enum Output {
    /// Standard output or error, by a descriptor of its own: who logs elsewhere waits for no lock that is held while a pipe is stuck.
    Stream(File),
    File {
        path: PathBuf,
        file: File,
    },
}

impl Writer {
    pub(super) fn new(to: &LogTarget, told: Told) -> io::Result<Self> {
        let to = match to {
            LogTarget::Stdout => Output::stream(io::stdout())?,
            LogTarget::Stderr => Output::stream(io::stderr())?,
            LogTarget::File(path) => Output::File { path: path.clone(), file: open(path)? },
        };
        Ok(Self { to, told, failing: false })
    }

    /// Runs until `stop`; then writes what is left.
    pub(super) async fn run(mut self, inboxes: Inboxes, stop: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => {}
            }
            self.write(&inboxes);
        }
        self.write(&inboxes);
    }

    fn write(&mut self, inboxes: &Inboxes) {
        let (wall, mut text, mut lines) = (Wall::read(), Vec::new(), 0);
        for record in inboxes.take() {
            // Nothing in a line fails to serialize.
            if serde_json::to_writer(&mut text, &Line::of(&record, wall)).is_ok() {
                text.push(b'\n');
                lines += 1;
            }
        }
        if lines == 0 {
            return;
        }
        match self.to.put(&text) {
            Ok(()) => {
                self.told.told(lines);
                self.failing = false;
            }
            Err(error) => {
                self.told.failed(lines);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the access log cannot be written");
                }
            }
        }
    }
}

impl Output {
    fn stream(to: impl AsFd) -> io::Result<Self> {
        Ok(Self::Stream(to.as_fd().try_clone_to_owned()?.into()))
    }

    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(file) => whole_lines(text).try_for_each(|lines| file.write_all(lines)),
            Self::File { path, file } => {
                if moved(path, file) {
                    *file = open(path)?;
                }
                file.write_all(text)
            }
        }
    }
}

/// As many lines at a time as a pipe takes at once, so that no other writer's come in the middle of one.
fn whole_lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = |byte: &u8| *byte == b'\n';
    std::iter::from_fn(move || {
        let fits = text.len().min(PIPE);
        let last = text[..fits].iter().rposition(end).or_else(|| text.iter().position(end));
        let lines = text.split_off(..last.map_or(text.len(), |last| last + 1))?;
        (!lines.is_empty()).then_some(lines)
    })
}

fn open(path: &Path) -> io::Result<File> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    OpenOptions::new().create(true).append(true).open(path).map_err(named)
}

/// Whether the file at `path` is another one by now, or none: log rotation moves files away.
fn moved(path: &Path, file: &File) -> bool {
    let place = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (std::fs::metadata(path).map(place), file.metadata().map(place)) {
        (Ok(there), Ok(open)) => there != open,
        (Err(_), _) => true,
        (Ok(_), Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, sync::Arc, thread};

    use prometheus::Registry;

    use super::*;
    use crate::{
        metrics::Metrics,
        telemetry::{Outlets, QUEUE, queues},
    };

    #[test]
    fn lines_are_written_whole() {
        let long = "y".repeat(2 * PIPE);
        for text in ["", "a\n", "a\nb\n", &format!("{}\n{long}\nz\n", "x".repeat(4000)), "no end"] {
            let parts: Vec<_> = whole_lines(text.as_bytes()).collect();
            assert_eq!(parts.concat(), text.as_bytes());
            assert!(parts.iter().all(|part| part.len() <= PIPE || part.len() == long.len() + 1));
        }
        assert_eq!(whole_lines("x\n".repeat(PIPE).as_bytes()).count(), 2);
    }

    /// Nobody reads: requests wait for nothing, and what finds no room is counted. Then somebody does, and all that was kept comes.
    #[test]
    fn a_stuck_pipe_costs_lines_and_nothing_else() {
        let told = Metrics::new(&Registry::new()).unwrap().telemetry.lines;
        let (mut reader, writer) = io::pipe().unwrap();
        let to = Output::stream(&writer).unwrap();
        drop(writer);
        let mut writer = Writer { to, told: told.clone(), failing: false };
        let mut outlets = [Outlets::default()];
        let inboxes = queues(&mut outlets, &told, |outlets| &mut outlets.lines);
        let outlet = outlets[0].lines.as_ref().unwrap();
        let put = || outlet.put(Arc::new(Record::bare()));
        // More than a pipe holds.
        (0..QUEUE).for_each(|_| put());
        thread::scope(|scope| {
            let writing = scope.spawn(move || {
                writer.write(&inboxes);
                writer.write(&inboxes);
            });
            // Once all are taken out and written to the pipe, as far as it takes them, there is room for as many again.
            while outlet.queue.try_send(Arc::new(Record::bare())).is_err() {
                thread::yield_now();
            }
            let mut sent = 1;
            while told.counts()[1] < 10 {
                put();
                sent += 1;
            }
            let [0, lost, 0] = told.counts() else { panic!("{:?}", told.counts()) };
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            writing.join().unwrap();
            let kept = QUEUE as u64 + sent - lost;
            assert_eq!((text.lines().count() as u64, told.counts()), (kept, [kept, lost, 0]));
            assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        });
    }
}
