//! Measures real vLLM: one engine at a time, every finished part kept, so that an interrupted run goes on where it was.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    client::replay,
    load,
    outcome::{Machine, Measurement, PhaseRun, ProfileRun, Speculation, read, rounded, write},
    plan::{self, Phase, Profile},
    probe::probe_all,
    probes::{Fresh, Probe, Sample},
    speculate,
    vllm::{self, Installation},
};
use crate::{
    Error,
    bench::conditions,
    procfs::MachineTime,
    validate::progress::Progress,
    vllm::{Answer, Server},
    workload::{Class, Request},
};

/// Measures everything in the plan that `folder` lacks.
///
/// # Errors
/// Where an engine does not start, a request fails, or a file cannot be written.
pub async fn measure(
    installed: &Installation,
    folder: &Path,
    progress: &Progress,
) -> Result<Measurement, Error> {
    Session { installed, folder: folder.join(plan::fingerprint()), progress }.all().await
}

/// What is measured, and where it is kept.
struct Session<'a> {
    installed: &'a Installation,
    folder: PathBuf,
    progress: &'a Progress,
}

impl Session<'_> {
    async fn all(&self) -> Result<Measurement, Error> {
        for profile in Profile::grid() {
            self.profile(profile).await?;
        }
        self.speculation().await?;
        collect(&self.folder)?.ok_or_else(|| Error::Failed("the measurement has gaps".into()))
    }

    /// Probes where the profile is one that is fitted on, then both loads.
    async fn profile(&self, profile: Profile) -> Result<(), Error> {
        let name = profile.name();
        let probes: Vec<Probe> = match profile {
            Profile::FITTED => Probe::whole().collect(),
            Profile::FITTED_CHUNKS => Probe::chunked().collect(),
            _ => Vec::new(),
        };
        let (probed, measured) = (self.file(&format!("probes-{name}")), self.file(&name));
        let wants_probes = !probes.is_empty() && !probed.exists();
        if !wants_probes && measured.exists() {
            return Ok(());
        }
        let server = self.start(&name, &profile.flags()).await?;
        self.warm_up(&server).await?;
        if wants_probes {
            let samples = probe_all(server.endpoint(), &probes, profile.budget, self.progress).await?;
            write(&probed, &samples)?;
        }
        if !measured.exists() {
            let mut run = ProfileRun::new();
            for phase in Phase::ALL {
                self.progress.say(format!("{name}: {}", phase.name()));
                run.insert(phase, self.phase(&server, phase).await?);
            }
            write(&measured, &run)?;
        }
        Ok(())
    }

    async fn speculation(&self) -> Result<(), Error> {
        let file = self.file("speculation");
        if file.exists() {
            return Ok(());
        }
        let flags = [Profile::FITTED.flags(), speculate::flags()].concat();
        let server = self.start("speculation", &flags).await?;
        self.warm_up(&server).await?;
        write(&file, &speculate::measure(&server, self.progress).await?)
    }

    async fn start(&self, name: &str, flags: &[String]) -> Result<Server, Error> {
        self.progress.say(format!("{name}: vLLM starts"));
        std::fs::create_dir_all(&self.folder).map_err(Error::file(&self.folder))?;
        let server = vllm::start(self.installed, flags, &self.folder.join(format!("{name}.log"))).await?;
        write(&self.file("machine"), &machine(server.version().await?)?)?;
        Ok(server)
    }

    /// The first requests pay for what is set up lazily.
    async fn warm_up(&self, server: &Server) -> Result<(), Error> {
        const PROMPTS: [u32; 4] = [16, 200, 16, 64];
        let mut fresh = Fresh::new(WARM_UP_SEED);
        for (id, tokens) in (0..).zip(PROMPTS) {
            let content = fresh.content(tokens, 8);
            let request = Request { id, at: Duration::ZERO, class: Class::Chat, content, max_tokens: None };
            replay(server.endpoint(), &[request]).await?;
        }
        Ok(())
    }

    async fn phase(&self, server: &Server, phase: Phase) -> Result<PhaseRun, Error> {
        let requests = load::requests(&phase.load());
        server.forget_prefixes().await?;
        let (machine, engine, began) = (MachineTime::now()?, server.tree().cpu_time()?, Instant::now());
        let before = server.metrics().await?;
        let answers = replay(server.endpoint(), &requests).await?;
        // The engine counts a request's end after its last token is out.
        sleep(Duration::from_millis(500)).await;
        let after = server.metrics().await?;
        let counted = |name: &str| whole(after.total(name) - before.total(name));
        let cores = std::thread::available_parallelism()?.get() as f64;
        let engine = server.tree().cpu_time()?.since(engine).total.as_secs_f64();
        let others =
            MachineTime::now()?.others_since(machine) - engine / (began.elapsed().as_secs_f64() * cores);
        let (ttft_s, e2e_s) = answers
            .iter()
            .filter_map(Answer::latencies)
            .map(|(ttft, e2e)| (rounded(ttft), rounded(e2e)))
            .unzip();
        Ok(PhaseRun {
            ttft_s,
            e2e_s,
            prefix_hits: counted("vllm:prefix_cache_hits_total"),
            preemptions: counted("vllm:num_preemptions_total"),
            others: rounded(others.max(0.0)),
        })
    }

    fn file(&self, part: &str) -> PathBuf {
        self.folder.join(format!("{part}.json"))
    }
}

/// Seeds of prompts outside the loads: never those of a load.
const WARM_UP_SEED: u64 = 11;

/// A counter's growth.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole and grow")]
pub(super) fn whole(counted: f64) -> u64 {
    counted.max(0.0).round() as u64
}

fn machine(vllm: String) -> Result<Machine, Error> {
    Ok(Machine {
        cpu: conditions::cpu_model(),
        cores: std::thread::available_parallelism()?.get(),
        vllm,
        date: conditions::date(),
    })
}

/// What was measured under today's plan; `None` where parts are missing. Speculation may be.
///
/// # Errors
/// Where a file cannot be read.
pub fn collected(folder: &Path) -> Result<Option<Measurement>, Error> {
    collect(&folder.join(plan::fingerprint()))
}

fn collect(folder: &Path) -> Result<Option<Measurement>, Error> {
    let file = |part: &str| folder.join(format!("{part}.json"));
    let Some(machine) = read::<Machine>(&file("machine"))? else { return Ok(None) };
    let mut probes = Vec::new();
    for profile in [Profile::FITTED, Profile::FITTED_CHUNKS] {
        let Some(samples) = read::<Vec<Sample>>(&file(&format!("probes-{}", profile.name())))? else {
            return Ok(None);
        };
        probes.extend(samples);
    }
    let mut profiles = std::collections::BTreeMap::new();
    for profile in Profile::grid() {
        let Some(run) = read::<ProfileRun>(&file(&profile.name()))? else { return Ok(None) };
        profiles.insert(profile.name(), run);
    }
    let speculation = read::<Speculation>(&file("speculation"))?;
    Ok(Some(Measurement { plan: plan::fingerprint(), machine, probes, profiles, speculation }))
}
