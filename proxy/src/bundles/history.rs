//! Which bundle decided from when on, kept over restarts in a file beside the bundles.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::plan::Version;
use crate::disk::replace;

/// Hidden, so that it is no bundle. A JSON object a line, oldest first.
const FILE: &str = ".history";
/// Turns that are remembered, the newest.
const REMEMBERED: usize = 64;
/// Bytes of the file that are read: what we wrote ourselves is far below.
const LIMIT: u64 = 256 << 10;
/// A bundle that decides again so soon after a start: one that ends and starts all the time would push out all else, seconds.
const BRIEF_S: u64 = 300;

/// From when on a bundle decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    /// Seconds since 1970.
    at: u64,
    /// `None` where none did.
    bundle: Option<String>,
    /// When it was made: the name may be another one's later.
    created: Option<String>,
    /// Gearshift started then, and none decided yet.
    #[serde(default)]
    started: bool,
}

impl Turn {
    /// Whether it says the same, whenever.
    fn is_same(&self, other: &Self) -> bool {
        (&self.bundle, &self.created, self.started) == (&other.bundle, &other.created, other.started)
    }
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct History {
    file: PathBuf,
    turns: ArcSwap<Vec<Turn>>,
}

impl History {
    /// What was kept in this folder of bundles, and that Gearshift starts at `now`, seconds since 1970. Lines that cannot be read
    /// are left out.
    pub(super) fn of(folder: &Path, now: u64) -> Self {
        let file = folder.join(FILE);
        let kept = read(&file).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file = %file.display(), %error, "what decided before cannot be read");
            }
            Vec::new()
        });
        // After an earlier start that came to nothing, none has decided since that one.
        let decided = kept.last().is_some_and(|turn| !turn.started);
        let history = Self { file, turns: ArcSwap::from_pointee(kept) };
        if decided {
            history.add(Turn { at: now, bundle: None, created: None, started: true });
            history.keep();
        }
        history
    }

    /// This one decides from `now` on; [`keep`](Self::keep) brings it to the disk.
    pub(super) fn decides(&self, version: Option<&Version>, now: u64) {
        let bundle = version.map(|version| version.name.clone());
        let created = version.map(|version| version.created.clone());
        self.add(Turn { at: now, bundle, created, started: false });
    }

    /// All of it, oldest first.
    pub(super) fn turns(&self) -> Arc<Vec<Turn>> {
        self.turns.load_full()
    }

    /// Writes it down as it is now, and waits for the disk. One call after the other: what is read first must not be written last. A
    /// folder that cannot be written keeps it until the process ends.
    pub(super) fn keep(&self) {
        if let Err(error) = write(&self.file, &self.turns.load()) {
            tracing::warn!(file = %self.file.display(), %error, "what decided is remembered until Gearshift ends, not longer");
        }
    }

    fn add(&self, turn: Turn) {
        let mut turns = self.turns.load().to_vec();
        if turns.last().is_none_or(|last| !last.is_same(&turn)) {
            turns.push(turn);
        }
        forget_restart(&mut turns);
        turns.drain(..turns.len().saturating_sub(REMEMBERED));
        self.turns.store(Arc::new(turns));
    }
}

/// Of restarts in a row, after which the same bundle decides again soon, the last one is remembered.
fn forget_restart(turns: &mut Vec<Turn>) {
    let [.., before, start, again, restart, last] = &turns[..] else { return };
    let brief = start.started && again.at.saturating_sub(start.at) <= BRIEF_S;
    if brief && restart.started && before.is_same(again) && again.is_same(last) {
        let at = turns.len() - 4;
        turns.drain(at..at + 2);
    }
}

fn read(file: &Path) -> io::Result<Vec<Turn>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut turns: Vec<Turn> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    turns.drain(..turns.len().saturating_sub(REMEMBERED));
    Ok(turns)
}

fn write(file: &Path, turns: &[Turn]) -> io::Result<()> {
    let lines = turns.iter().map(|turn| Ok(serde_json::to_string(turn)? + "\n"));
    let text = lines.collect::<Result<String, serde_json::Error>>()?;
    replace(file, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn version(name: &str) -> Version {
        Version { name: name.to_owned(), fingerprint: 0, created: "2026-11-23T10:00:00Z".to_owned() }
    }

    /// A turn, written down at once.
    fn decides(history: &History, version: Option<&Version>, now: u64) {
        history.decides(version, now);
        history.keep();
    }

    fn names(history: &History) -> Vec<String> {
        let name = |turn: &Turn| match (&turn.bundle, turn.started) {
            (Some(name), _) => name.clone(),
            (None, true) => "started".to_owned(),
            (None, false) => "none".to_owned(),
        };
        history.turns().iter().map(name).collect()
    }

    #[test]
    fn what_decided_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::of(folder.path(), 1);
        assert_eq!(names(&history), [""; 0], "the first start is no news");
        decides(&history, Some(&version("one")), 2);
        decides(&history, None, 3);
        let history = History::of(folder.path(), 10);
        decides(&history, Some(&version("two")), 11);
        assert_eq!(names(&history), ["one", "none", "started", "two"]);
        let times: Vec<_> = History::of(folder.path(), 20).turns().iter().map(|turn| turn.at).collect();
        assert_eq!(times, [2, 3, 10, 11, 20]);
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_gone_after_the_next_turn() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        decides(&History::of(folder.path(), 1), Some(&version("one")), 2);
        let good = fs::read_to_string(&file).unwrap();
        // A line of other software, bytes that are no text, and one that broke off.
        let bad =
            [&b"{\"at\":\"yesterday\"}\n\xff\xfe\n"[..], good.as_bytes(), b"{\"at\": 5, \"bun"].concat();
        fs::write(&file, bad).unwrap();
        let history = History::of(folder.path(), 7);
        assert_eq!(names(&history), ["one", "started"]);
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
        fs::write(&file, "nonsense").unwrap();
        assert_eq!(names(&History::of(folder.path(), 8)), [""; 0]);
    }

    /// Whoever follows the fleet does not wait for a disk.
    #[test]
    fn a_turn_is_known_at_once_and_written_when_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::of(folder.path(), 1);
        history.decides(Some(&version("one")), 2);
        history.decides(Some(&version("two")), 3);
        assert_eq!(names(&history), ["one", "two"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        history.keep();
        history.keep();
        assert_eq!(names(&History::of(folder.path(), 4)), ["one", "two", "started"]);
    }

    #[test]
    fn it_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::of(folder.path(), 0);
        (0..200).for_each(|number| history.decides(Some(&version(&number.to_string())), number));
        history.keep();
        assert_eq!(history.turns().len(), REMEMBERED);
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text.lines().count(), REMEMBERED);
        assert_eq!(names(&History::of(folder.path(), 999)).last().unwrap(), "started");
        // Far more than we would write is not taken into memory.
        fs::write(folder.path().join(FILE), text.repeat(100)).unwrap();
        assert_eq!(History::of(folder.path(), 999).turns().len(), REMEMBERED);
    }

    /// What decided before the trouble began is what operators look for then.
    #[test]
    fn one_that_starts_and_ends_all_the_time_pushes_nothing_out() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::of(folder.path(), 1);
        decides(&history, Some(&version("one")), 2);
        decides(&history, Some(&version("two")), 3);
        for start in 1..200 {
            let history = History::of(folder.path(), 100 * start);
            if start % 2 == 0 {
                decides(&history, Some(&version("two")), 100 * start + 5);
                decides(&history, Some(&version("two")), 100 * start + 6);
            }
        }
        let history = History::of(folder.path(), 300_000);
        assert_eq!(names(&history), ["one", "two", "started", "two", "started"]);
        decides(&history, Some(&version("two")), 300_000);
        assert_eq!(names(&history), ["one", "two", "started", "two"]);
        // The prior decided for long: that is news.
        let history = History::of(folder.path(), 400_000);
        decides(&history, Some(&version("two")), 400_001);
        assert_eq!(names(&history), ["one", "two", "started", "two", "started", "two"]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_it_until_the_end() {
        let history = History::of(Path::new("/proc/no-such-folder"), 1);
        decides(&history, Some(&version("one")), 2);
        assert_eq!(names(&history), ["one"]);
    }
}
