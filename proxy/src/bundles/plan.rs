//! Which bundle should be the active one: pure, so that every order of events can be tried.

use std::{collections::HashMap, fmt};

use tokio::time::Instant;

use super::shelf::Found;

/// One bundle as it lay in the folder at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its directory's name.
    pub name: String,
    /// [`Found::fingerprint`].
    pub fingerprint: u64,
    /// [`Found::created`].
    pub created: String,
}

impl From<&Found> for Version {
    fn from(found: &Found) -> Self {
        Self { name: found.name.clone(), fingerprint: found.fingerprint, created: found.created().to_owned() }
    }
}

/// What is active, what was, what operators want, and what was refused.
#[derive(Debug, Default)]
pub struct Plan {
    active: Option<Version>,
    /// The one before, which a rollback goes to.
    previous: Option<String>,
    pinned: Option<String>,
    /// By name.
    refused: HashMap<String, Refused>,
}

/// Why a bundle was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    fingerprint: u64,
    reason: String,
    /// It may be a copy under way. Each of its files changes it, so that it is not looked at again before `again`.
    unfinished: bool,
    /// It is looked at again then, changed or not.
    again: Option<Instant>,
}

/// Why an operator's wish cannot be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// No such directory.
    Unknown(String),
    /// Nothing was active before.
    NothingBefore,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "there is no bundle {name:?}; see `gearshift bundle list`"),
            Self::NothingBefore => write!(f, "no bundle was active before this one"),
        }
    }
}

impl Plan {
    /// A plan that follows an operator's earlier wish, where there was one.
    pub fn new(pinned: Option<String>) -> Self {
        Self { pinned, ..Self::default() }
    }

    /// The bundle to load next; `None` when the right one is active. `found` is newest first.
    ///
    /// A wish of an operator goes before age. Without one the newest wins that is not refused; an older one never
    /// replaces a newer one that is active, even when that one's directory has gone. What cannot be read is given too,
    /// so that it is said why.
    pub fn next<'f>(&self, found: &'f [Found], now: Instant) -> Option<&'f Found> {
        let fit = |found: &&Found| self.may_be_tried(found, now);
        let unreadable = || found.iter().filter(fit).find(|found| found.manifest.is_err());
        let wanted = |found: &&Found| match &self.pinned {
            Some(name) => found.name == *name && self.is_other(found),
            None => found.manifest.is_ok() && self.replaces(found),
        };
        found.iter().filter(fit).find(wanted).or_else(unreadable)
    }

    fn may_be_tried(&self, found: &Found, now: Instant) -> bool {
        self.refused.get(&found.name).is_none_or(|refused| {
            let changed = refused.fingerprint != found.fingerprint;
            changed && !refused.unfinished || refused.again.is_some_and(|again| again <= now)
        })
    }

    fn is_other(&self, found: &Found) -> bool {
        self.active.as_ref().is_none_or(|active| *active != Version::from(found))
    }

    fn replaces(&self, found: &Found) -> bool {
        self.active.as_ref().is_none_or(|active| match active.name == found.name {
            true => active.fingerprint != found.fingerprint,
            false => found.created() > active.created.as_str(),
        })
    }

    /// Why this version of it was refused, where it was.
    pub fn refusal(&self, found: &Found) -> Option<&str> {
        let refused = self.refused.get(&found.name)?;
        (refused.fingerprint == found.fingerprint).then_some(refused.reason.as_str())
    }

    /// Whether it may be a copy under way.
    pub fn is_unfinished(&self, found: &Found) -> bool {
        self.refused.get(&found.name).is_some_and(|refused| refused.unfinished)
    }

    /// When to look again at what may be a copy under way, or was refused for a while. What was due when [`next`](Self::next) was
    /// asked had its turn, wanted or not.
    pub fn look_again(&self, asked: Instant) -> Option<Instant> {
        self.refused.values().filter_map(|refused| refused.again).filter(|again| *again > asked).min()
    }

    /// It decides from now on.
    pub fn activated(&mut self, version: Version) {
        self.refused.remove(&version.name);
        let name = version.name.clone();
        let before = self.active.replace(version).map(|before| before.name);
        let other = |before: &String| *before != name;
        self.previous = before.filter(other).or(self.previous.take()).filter(other);
    }

    /// The active one failed where it decided. The newest of the others is next, older ones too; under a wish of an operator
    /// none is.
    pub fn drop_active(&mut self, reason: String) {
        if let Some(version) = self.active.take() {
            self.refuse(version, reason, None);
        }
    }

    /// It cannot be used as it is; what may pass, such as a busy machine, is looked at `again`.
    pub fn refuse(&mut self, version: Version, reason: String, again: Option<Instant>) {
        let Version { name, fingerprint, .. } = version;
        self.refused.insert(name, Refused { fingerprint, reason, unfinished: false, again });
    }

    /// It cannot be used, but may be a copy under way: it is looked at `again`. False where it was looked at a second
    /// time and is still the same, so that it is to be refused.
    pub fn doubt(&mut self, version: &Version, reason: &str, again: Instant) -> bool {
        let before = self.refused.get(&version.name);
        if before.is_some_and(|before| before.fingerprint == version.fingerprint) {
            return false;
        }
        let Version { name, fingerprint, .. } = version.clone();
        let (reason, again) = (reason.to_owned(), Some(again));
        self.refused.insert(name, Refused { fingerprint, reason, unfinished: true, again });
        true
    }

    /// Forgets what was said of directories that are no more.
    pub fn forget_what_left(&mut self, found: &[Found]) {
        self.refused.retain(|name, _| found.iter().any(|found| found.name == *name));
    }

    /// An operator wants this one, and no other until told otherwise. What was refused is tried again.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn pin(&mut self, name: &str, found: &[Found]) -> Result<(), Unmet> {
        if !found.iter().any(|found| found.name == name) {
            return Err(Unmet::Unknown(name.to_owned()));
        }
        self.refused.remove(name);
        self.pinned = Some(name.to_owned());
        Ok(())
    }

    /// An operator wants the one before, and no other until told otherwise.
    ///
    /// # Errors
    /// Where there was none, or it is gone.
    pub fn roll_back(&mut self, found: &[Found]) -> Result<String, Unmet> {
        let before = self.previous.clone().ok_or(Unmet::NothingBefore)?;
        self.pin(&before, found)?;
        Ok(before)
    }

    /// Puts an earlier wish back.
    pub fn wish(&mut self, pinned: Option<String>) {
        self.pinned = pinned;
    }

    /// The newest shall win again.
    pub fn unpin(&mut self) {
        self.pinned = None;
    }

    /// The active one.
    pub fn active(&self) -> Option<&Version> {
        self.active.as_ref()
    }

    /// What a rollback would go to.
    pub fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    /// An operator's wish.
    pub fn pinned(&self) -> Option<&str> {
        self.pinned.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-02-01T00:00:00Z";

    fn found(name: &str, created: &str, fingerprint: u64) -> Found {
        let manifest = serde_json::json!({
            "format": 1, "id": name, "created": created, "feature_schema": "", "spread_scale": 0.1,
            "training": [], "files": {},
        });
        Found {
            directory: PathBuf::from(name),
            name: name.into(),
            fingerprint,
            manifest: serde_json::from_value(manifest).map_err(|error| error.to_string()),
        }
    }

    fn garbled(name: &str, fingerprint: u64) -> Found {
        Found { manifest: Err("no JSON".into()), ..found(name, EARLY, fingerprint) }
    }

    fn next<'f>(plan: &Plan, shelf: &'f [Found]) -> Option<&'f str> {
        plan.next(shelf, Instant::now()).map(|found| found.name.as_str())
    }

    #[test]
    fn the_newest_wins_and_an_older_one_never_replaces_it() {
        let mut plan = Plan::default();
        let (old, new) = (found("old", EARLY, 1), found("new", LATE, 2));
        assert_eq!(next(&plan, std::slice::from_ref(&old)), Some("old"));
        plan.activated(Version::from(&old));
        assert_eq!(next(&plan, std::slice::from_ref(&old)), None);
        assert_eq!(next(&plan, &[new.clone(), old.clone()]), Some("new"));
        plan.activated(Version::from(&new));
        assert_eq!(next(&plan, &[old]), None, "the new one's directory has gone, it serves on");
        assert_eq!(next(&plan, &[found("new", LATE, 3)]), Some("new"), "its files were replaced");
    }

    #[test]
    fn what_was_refused_is_tried_again_when_it_changes() {
        let mut plan = Plan::default();
        let (good, bad) = (found("good", EARLY, 1), found("bad", LATE, 2));
        plan.refuse(Version::from(&bad), "it says NaN".into(), None);
        assert_eq!(next(&plan, &[bad.clone(), good.clone()]), Some("good"));
        assert_eq!(plan.refusal(&bad), Some("it says NaN"));
        let mended = found("bad", LATE, 3);
        assert_eq!(plan.refusal(&mended), None);
        assert_eq!(next(&plan, &[mended, good]), Some("bad"));
    }

    #[test]
    fn after_one_that_failed_an_older_one_decides_but_not_against_a_wish() {
        let mut plan = Plan::default();
        let shelf = [found("new", LATE, 2), found("old", EARLY, 1)];
        plan.activated(Version::from(&shelf[1]));
        plan.activated(Version::from(&shelf[0]));
        plan.drop_active("it failed".into());
        assert_eq!((plan.active(), next(&plan, &shelf)), (None, Some("old")));
        assert_eq!(plan.refusal(&shelf[0]), Some("it failed"));
        plan.activated(Version::from(&shelf[1]));
        assert_eq!((next(&plan, &shelf), plan.previous()), (None, None), "there is nothing to go back to");
        plan.pin("new", &shelf).unwrap();
        assert_eq!(next(&plan, &shelf), Some("new"), "an operator may have it tried again");
        plan.activated(Version::from(&shelf[0]));
        plan.drop_active("it failed".into());
        assert_eq!(next(&plan, &shelf), None, "this one and no other");
        assert_eq!(next(&plan, &[found("new", LATE, 3)]), Some("new"), "mended");
    }

    #[test]
    fn a_copy_under_way_gets_a_second_look() {
        let mut plan = Plan::default();
        let (now, later) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(2));
        let name = |plan: &Plan, shelf: &[Found], at| plan.next(shelf, at).map(|found| found.name.clone());
        let half = found("half", LATE, 1);
        assert!(plan.doubt(&Version::from(&half), "cut short", later));
        assert!(plan.is_unfinished(&half) && plan.look_again(now) == Some(later));
        let more = found("half", LATE, 2);
        assert_eq!(name(&plan, std::slice::from_ref(&more), now), None, "not after each of its files");
        assert_eq!(name(&plan, std::slice::from_ref(&more), later), Some("half".into()));
        assert!(plan.doubt(&Version::from(&more), "cut short", later), "it grew meanwhile");
        assert!(!plan.doubt(&Version::from(&more), "cut short", later), "it did not grow any more");
        plan.refuse(Version::from(&more), "cut short".into(), None);
        assert_eq!((name(&plan, &[more], later), plan.look_again(now)), (None, None));
        plan.forget_what_left(&[]);
        assert_eq!(name(&plan, &[found("half", LATE, 2)], now), Some("half".into()), "it came anew");
    }

    #[test]
    fn what_may_pass_is_refused_for_a_while() {
        let mut plan = Plan::default();
        let (now, later) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(300));
        let name = |plan: &Plan, shelf: &[Found], at| plan.next(shelf, at).map(|found| found.name.clone());
        let shelf = [found("slow", LATE, 1), found("good", EARLY, 2)];
        plan.refuse(Version::from(&shelf[0]), "too slow".into(), Some(later));
        assert_eq!((plan.refusal(&shelf[0]), plan.is_unfinished(&shelf[0])), (Some("too slow"), false));
        assert_eq!((name(&plan, &shelf, now), plan.look_again(now)), (Some("good".into()), Some(later)));
        plan.activated(Version::from(&shelf[1]));
        assert_eq!(name(&plan, &shelf, now), None);
        assert_eq!(name(&plan, &shelf, later), Some("slow".into()));
        assert_eq!(name(&plan, &[found("slow", LATE, 3)], now), Some("slow".into()), "another graph");
        plan.activated(Version::from(&shelf[0]));
        assert_eq!((name(&plan, &shelf, later), plan.look_again(now)), (None, None));
    }

    #[test]
    fn nobody_waits_for_what_is_due_but_not_wanted() {
        let mut plan = Plan::default();
        let (now, later) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(2));
        let shelf = [found("new", LATE, 2), found("half", EARLY, 1)];
        assert!(plan.doubt(&Version::from(&shelf[1]), "cut short", later));
        plan.activated(Version::from(&shelf[0]));
        assert_eq!(plan.look_again(now), Some(later));
        assert_eq!((plan.next(&shelf, later), plan.look_again(later)), (None, None));
    }

    #[test]
    fn what_cannot_be_read_is_tried_once_so_that_it_is_said() {
        let mut plan = Plan::default();
        let shelf = [found("good", LATE, 1), garbled("bad", 2)];
        assert_eq!(next(&plan, &shelf), Some("good"));
        plan.activated(Version::from(&shelf[0]));
        assert_eq!(next(&plan, &shelf), Some("bad"));
        plan.refuse(Version::from(&shelf[1]), "no JSON".into(), None);
        assert_eq!(next(&plan, &shelf), None);
    }

    #[test]
    fn an_operators_wish_goes_before_age() {
        let mut plan = Plan::default();
        let shelf = [found("new", LATE, 2), found("old", EARLY, 1)];
        plan.activated(Version::from(&shelf[1]));
        plan.activated(Version::from(&shelf[0]));
        assert_eq!(plan.roll_back(&shelf), Ok("old".into()));
        assert_eq!(next(&plan, &shelf), Some("old"));
        plan.activated(Version::from(&shelf[1]));
        assert_eq!(next(&plan, &shelf), None, "the newest waits");
        assert_eq!(plan.roll_back(&shelf), Ok("new".into()), "and back again");
        plan.pin("old", &shelf).unwrap();
        plan.unpin();
        assert_eq!(next(&plan, &shelf), Some("new"));
        assert_eq!(plan.pin("nobody", &shelf), Err(Unmet::Unknown("nobody".into())));
        assert_eq!(Plan::default().roll_back(&shelf), Err(Unmet::NothingBefore));
    }
}
