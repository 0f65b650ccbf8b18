//! The work of each step.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use gearshift_selector::{Bundle, LoadOptions, Manifest, OnnxRuntime};
use serde_json::Value;

use super::{Admin, Event, Next, Phase, Standing, State, next, standing};
use crate::{
    Error, bundle,
    eval::live::{Judged, Options, Settings as Estimating, judge, judgeable, regret, split, write},
    fit::Progress,
    live::{Journey, Left, Retraining, fetch, journeys, retrain},
};

/// Where a trained bundle lies until it is offered.
const CANDIDATE: &str = "candidate";

/// Of so many newest rows one at least is of the bundle that decides.
const NEWEST: usize = 200;

/// How it works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where rows are written.
    pub from: String,
    /// The folder of bundles that Gearshift watches.
    pub models: PathBuf,
    /// Where it keeps its state; a hidden folder beside the bundles is no bundle.
    pub state: PathBuf,
    /// The shipped rows.
    pub shipped: PathBuf,
    /// Where reports go.
    pub reports: PathBuf,
    /// Rows that are read at most, the newest.
    pub most_rows: usize,
    /// Answers that are waited for before a training.
    pub least_new: usize,
    /// How it trains.
    pub retraining: Retraining,
    /// How it judges.
    pub judging: Options,
    /// Bounds of probation and patience.
    pub bounds: Next,
    /// Gearshifts that can be asked and told; none where the folder alone has to do.
    pub admins: Vec<Admin>,
}

/// At work.
#[derive(Debug)]
pub struct Watcher<'w> {
    settings: &'w Settings,
    runtime: &'w OnnxRuntime,
    state: State,
}

/// What a step knows of traffic.
struct Traffic {
    journeys: Vec<Journey>,
    left: Left,
}

impl<'w> Watcher<'w> {
    /// Takes up where the last one was.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn new(settings: &'w Settings, runtime: &'w OnnxRuntime) -> Result<Self, Error> {
        Ok(Self { settings, runtime, state: State::read(&settings.state)? })
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// One step; what is to be said of it.
    ///
    /// # Errors
    /// Where rows cannot be read or a bundle cannot be written: the state is as it was, and the step is made again.
    pub fn step(&mut self, progress: &dyn Progress) -> Result<String, Error> {
        let phase = self.state.phase.clone();
        match &phase {
            Phase::Waiting => self.wait(progress),
            Phase::Offered { bundle, .. } => {
                self.place(bundle)?;
                let standing = self.standing(bundle, true)?;
                self.follow(&Event::Stands(standing), None)
            }
            Phase::Probation { bundle, before, .. } => self.probe(bundle, before.as_deref()),
            Phase::TakingBack { bundle, before, .. } => {
                let note = self.take_back(bundle, before.as_deref())?;
                let said = self.follow(&Event::TakenBack, None)?;
                Ok(match note {
                    Some(note) => format!("{said}; {note}"),
                    None => said,
                })
            }
        }
    }

    fn follow(&mut self, event: &Event, running: Option<&str>) -> Result<String, Error> {
        let (phase, said) = next(&self.state.phase, event, running, now_s(), &self.settings.bounds);
        if phase != self.state.phase {
            self.state.phase = phase;
            self.state.write(&self.settings.state)?;
        }
        Ok(said)
    }

    fn traffic(&self) -> Result<Traffic, Error> {
        let fetched = fetch(&self.settings.from, self.settings.most_rows)?;
        let (journeys, mut left) = journeys(fetched.rows);
        if !fetched.unreadable.is_empty() {
            left.insert("unreadable file", fetched.unreadable.len());
        }
        Ok(Traffic { journeys, left })
    }

    fn wait(&mut self, progress: &dyn Progress) -> Result<String, Error> {
        let traffic = self.traffic()?;
        let new = |one: &&Journey| one.whole() && one.ended_s > self.state.trained_until_s;
        let new = traffic.journeys.iter().filter(new).count();
        let least = self.settings.least_new;
        if new < least {
            return Ok(format!("waiting: {new} of {least} new answers"));
        }
        // A training that nobody could judge is none.
        let judging = &self.settings.judging;
        let held_out = &traffic.journeys[split(&traffic.journeys, judging.held_out)..];
        if let Some(few) = judgeable(held_out, &judging.estimate) {
            return Ok(format!("waiting: {few} (more rows, by `--most-rows` or a smaller `sample`)"));
        }
        let running = self.running(&traffic)?;
        let name = self.name();
        let trained = self.train(&traffic, running.as_deref(), &name, progress);
        self.state.trained_until_s = traffic.journeys.last().map_or(0.0, |journey| journey.ended_s);
        if trained.is_err() {
            // With the same rows it would fail again, and take as long.
            self.state.write(&self.settings.state)?;
        }
        let (better, because) = trained?;
        let event = Event::Trained(better.then(|| name.clone()));
        let said = self.follow(&event, running.as_deref())?;
        // Also where the phase is the same: these rows were tried.
        self.state.write(&self.settings.state)?;
        if better {
            self.place(&name)?;
        }
        Ok(format!("{said}: {because}"))
    }

    /// A name that nothing there has.
    fn name(&mut self) -> String {
        loop {
            self.state.offers += 1;
            let name = format!("live-{}", self.state.offers);
            let taken = [name.clone(), format!(".{name}-taken-back")];
            if taken.iter().all(|name| !self.settings.models.join(name).exists()) {
                return name;
            }
        }
    }

    /// Trains and judges; whether it is better, and why.
    fn train(
        &self,
        traffic: &Traffic,
        running: Option<&str>,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<(bool, String), Error> {
        let settings = self.settings;
        let base = running.map_or_else(|| newest(&settings.models), |name| Ok(settings.models.join(name)))?;
        let cut = split(&traffic.journeys, settings.judging.held_out);
        let trained = &traffic.journeys[..cut];
        let until_s = trained.last().map_or(0.0, |journey| journey.ended_s);
        let retrained = retrain(trained, &settings.shipped, &base, &settings.retraining, progress)?;
        let candidate = settings.state.join(CANDIDATE);
        if candidate.exists() {
            fs::remove_dir_all(&candidate).map_err(Error::file(&candidate))?;
        }
        retrained.write(&candidate, name, until_s)?;
        let (new, old) = (self.load(&candidate)?, self.load(&base)?);
        let judged = Judged {
            journeys: &traffic.journeys,
            left: &traffic.left,
            new: Some((name, &new)),
            // Where none decides it has to be better than the calibrated prior.
            running: running.map(|name| (name, &old)),
            trained_until_s: Some(until_s),
        };
        let report = judge(&judged, &settings.judging)?;
        write(&report, &settings.reports)?;
        let verdict = report.verdict;
        let summary = serde_json::json!({
            "warm_start": retrained.warm_start,
            "live": {"trained_until_unix_s": until_s, "verdict": verdict},
        });
        bundle::evaluated(&candidate, summary)?;
        Ok(verdict.map_or((false, String::new()), |verdict| (verdict.better, verdict.because)))
    }

    fn load(&self, directory: &Path) -> Result<Bundle, Error> {
        let options =
            LoadOptions { encoders: Some(self.settings.models.join("encoder")), ..LoadOptions::unhurried() };
        Bundle::load(directory, self.runtime, &options)
            .map_err(|error| Error::Failed(format!("{}: {error}", directory.display())))
    }

    /// Puts an offered bundle into its place, where it is not there yet.
    fn place(&self, name: &str) -> Result<(), Error> {
        let candidate = self.settings.state.join(CANDIDATE);
        let is_it = read_manifest(&candidate).is_ok_and(|manifest| manifest.id == name);
        if is_it && !self.settings.models.join(name).exists() {
            bundle::offer(&candidate, &self.settings.models, name)?;
        }
        // What was offered is not offered twice: whoever removes it has a reason.
        if is_it {
            fs::remove_dir_all(&candidate).map_err(Error::file(&candidate))?;
        }
        Ok(())
    }

    /// The bundle that decides: Gearshift's word, else the newest rows'.
    fn running(&self, traffic: &Traffic) -> Result<Option<String>, Error> {
        let named = match self.views()?.first() {
            Some(view) => view["active"]["id"].as_str().map(str::to_owned),
            None => traffic.journeys.last().and_then(|journey| journey.live().bundle.clone()),
        };
        // The folder may be gone, or be the bundle itself.
        Ok(named.filter(|name| self.there(name)))
    }

    /// Of those that answer; one that does not keeps nobody from looking at the others.
    fn views(&self) -> Result<Vec<Value>, Error> {
        let (views, problems): (Vec<_>, Vec<_>) =
            self.settings.admins.iter().map(Admin::bundles).partition(Result::is_ok);
        let problem = problems.into_iter().find_map(Result::err);
        match problem {
            Some(problem) if views.is_empty() => Err(problem),
            Some(_) | None => Ok(views.into_iter().flatten().collect()),
        }
    }

    fn there(&self, bundle: &str) -> bool {
        self.settings.models.join(bundle).join("manifest.json").is_file()
    }

    fn standing(&self, bundle: &str, by_rows: bool) -> Result<Standing, Error> {
        if !self.settings.admins.is_empty() {
            let standing = standing(&self.views()?, bundle);
            // Gearshift looks at its folder every now and then, and after a restart has yet to.
            let unseen = standing == Standing::Gone && self.there(bundle);
            return Ok(if unseen { Standing::Unknown } else { standing });
        }
        if !self.settings.models.join(bundle).is_dir() {
            return Ok(Standing::Gone);
        }
        let decides = |journey: &Journey| journey.live().bundle.as_deref() == Some(bundle);
        let journeys = self.traffic()?.journeys;
        let newest = &journeys[journeys.len().saturating_sub(NEWEST)..];
        Ok(match (by_rows, journeys.iter().any(decides)) {
            (true, seen) => {
                if seen {
                    Standing::Active
                } else {
                    Standing::Unknown
                }
            }
            // It did, and another one does now.
            (false, true) if !newest.iter().any(decides) => Standing::Available,
            (false, _) => Standing::Unknown,
        })
    }

    fn probe(&mut self, bundle: &str, before: Option<&str>) -> Result<String, Error> {
        let standing = self.standing(bundle, false)?;
        let said = self.follow(&Event::Stands(standing), None)?;
        if !matches!(self.state.phase, Phase::Probation { .. }) {
            return Ok(said);
        }
        let Phase::Probation { since_s, looked, .. } = self.state.phase else { return Ok(said) };
        let traffic = self.traffic()?;
        let bounds = &self.settings.bounds;
        let own = traffic.journeys.iter().filter(|one| one.live().bundle.as_deref() == Some(bundle)).count();
        let (look, late) = (bounds.next_look(looked), now_s() - since_s > bounds.patience_s);
        if own < look && !late {
            let unsaid = Event::Unsaid(format!("{own} of {look} decisions until the next look"));
            return self.follow(&unsaid, None);
        }
        // What has gone meanwhile cannot be gone back to; the calibrated prior is what is left.
        let load = |name| Ok::<_, Error>((name, self.load(&self.settings.models.join(name))?));
        let before = before.filter(|name| self.there(name)).map(load).transpose()?;
        let before = before.as_ref().map(|(name, bundle)| (*name, bundle));
        let estimate = self.settings.judging.estimate;
        // Several looks give chance several times: each has its part of what is allowed to go wrong.
        let estimate = Estimating { tail: estimate.tail / f64::from(bounds.looks()), ..estimate };
        match regret(&traffic.journeys, before, bundle, &estimate) {
            // Rows of it that cannot be judged do not count.
            Ok((_, decisions)) if decisions < look && !late => self
                .follow(&Event::Unsaid(format!("{decisions} of {look} decisions until the next look")), None),
            Ok((difference, decisions)) => {
                let at_least = difference.ci95.low;
                let said = self.follow(&Event::Costs { at_least, decisions }, None)?;
                let taking_back = matches!(self.state.phase, Phase::TakingBack { .. });
                // Every request that it decides meanwhile pays.
                if taking_back {
                    self.step(&crate::fit::Silent).map(|then| format!("{said}; {then}"))
                } else {
                    Ok(said)
                }
            }
            Err(too_few) => self.follow(&Event::Unsaid(too_few.to_string()), None),
        }
    }

    /// Gearshift goes back to the one before, and follows the newest of what is left. Each part may be done twice, and is done whatever became
    /// of the others. What is left for people to do, where anything is.
    ///
    /// # Errors
    /// Where a Gearshift cannot be told: it is told again.
    fn take_back(&self, bundle: &str, before: Option<&str>) -> Result<Option<String>, Error> {
        let settings = self.settings;
        let (there, hidden) =
            (settings.models.join(bundle), settings.models.join(format!(".{bundle}-taken-back")));
        // It may have been deleted meanwhile.
        let before = before.filter(|name| self.there(name));
        let mut problems = Vec::new();
        if let (Some(before), true) = (before, settings.admins.is_empty()) {
            let again = format!("{before}-again-{}", self.state.offers);
            if !settings.models.join(&again).exists() {
                bundle::again(&settings.models.join(before), &settings.models, &again)?;
            }
        }
        for admin in &settings.admins {
            problems.extend(before.and_then(|before| leave(admin, bundle, before).err()));
        }
        if there.exists() {
            fs::rename(&there, &hidden).map_err(Error::file(&there))?;
        }
        if before.is_none() {
            let note = "the bundle before it has gone, or was none: it decides until Gearshift takes up another one, or is restarted";
            return Ok(Some(note.to_owned()));
        }
        problems.extend(settings.admins.iter().filter_map(|admin| admin.newest().err()));
        if problems.is_empty() {
            return Ok(None);
        }
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Err(Error::Failed(format!("{bundle} is not taken back everywhere: {}", problems.join("; "))))
    }
}

/// From one bundle to another, where the first decides.
fn leave(admin: &Admin, bundle: &str, before: &str) -> Result<(), Error> {
    let active = admin.bundles()?["active"]["id"].as_str() == Some(bundle);
    if active { admin.activate(before) } else { Ok(()) }
}

fn read_manifest(directory: &Path) -> Result<Manifest, Error> {
    let path = directory.join("manifest.json");
    let text = fs::read(&path).map_err(Error::file(&path))?;
    serde_json::from_slice(&text).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}

/// The newest bundle of a folder: what a training begins from where none decides.
fn newest(models: &Path) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(models).map_err(Error::file(models))?;
    let plain = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec());
        name.is_some_and(|name| !name.starts_with(b"."))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(plain);
    let dated = paths.filter_map(|path| Some((read_manifest(&path).ok()?.created, path)));
    dated.max().map(|(_, path)| path).ok_or_else(|| {
        Error::Failed(format!(
            "{}: there is no bundle to begin from; copy models/default there",
            models.display()
        ))
    })
}

fn now_s() -> f64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
