//! Measures, one engine at a time.

use std::{ops::Range, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    answers,
    closed_loop::closed_loop,
    kept::{Cell, Folder, Greedily, Key, fingerprint},
    options::CollectOptions,
    plan::{Model, Plan},
    priority::Raised,
    progress::Progress,
    prompts::{self, Request, predicted_cached},
};
use crate::{
    Error,
    bench::conditions,
    procfs::MachineTime,
    validate::cpu::outcome::rounded,
    vllm::{self, Metrics, Server},
};

/// Niceness of an engine that starts: that is work like any other, but all wait for it.
const STARTING: i32 = -5;

/// One engine's run: what is still to be measured on it.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) model: String,
    pub(super) profile: String,
    pub(super) repeat: u32,
    pub(super) cells: Vec<Key>,
    pub(super) greedy: bool,
}

/// What the plan has, in the order in which it is measured: model by model, every profile with all its repeats on one
/// engine, and at the model's end the reference once more, on a new engine, so that a machine that has drifted shows.
pub(super) fn runs(plan: &Plan) -> Vec<Run> {
    let of_model = |model: &String| {
        let first = plan.profiles.keys().map(|profile| run(plan, model, profile, 0));
        first.chain([run(plan, model, &plan.reference, plan.repeats)]).collect::<Vec<_>>()
    };
    plan.models.keys().flat_map(of_model).collect()
}

/// Repeats from `first` on; every other one takes the workloads in reverse.
fn run(plan: &Plan, model: &str, profile: &str, first: u32) -> Run {
    let mut cells = Vec::new();
    for repeat in first..first + plan.repeats {
        let mut of_repeat = Vec::new();
        for (workload, made) in &plan.workloads {
            for &concurrency in &made.concurrency {
                of_repeat.push(Key {
                    model: model.to_owned(),
                    profile: profile.to_owned(),
                    workload: workload.clone(),
                    concurrency,
                    repeat,
                });
            }
        }
        if repeat % 2 == 1 {
            of_repeat.reverse();
        }
        cells.extend(of_repeat);
    }
    Run { model: model.to_owned(), profile: profile.to_owned(), repeat: first, cells, greedy: true }
}

/// Measures all that the folder lacks. An engine that does not start is left out, and said so at the end.
///
/// # Errors
/// Where a file cannot be read or written, or an engine could not be measured.
pub(super) async fn measure(plan: &Plan, options: &CollectOptions) -> Result<(), Error> {
    let folder = Folder::new(&options.out);
    let mut missing = Vec::new();
    for run in runs(plan) {
        missing.extend(still_to_do(plan, &folder, run, options)?);
    }
    let all = missing.iter().map(|run| run.cells.len() as u64).sum();
    let progress = Progress::new(all);
    let mut session = Session { plan, folder, progress, niceness: options.niceness };
    let mut failures = Vec::new();
    for run in missing {
        if let Err(error) = session.run(&run).await {
            let what = format!("{}, {}: {error}", run.model, run.profile);
            session.progress.say(&what);
            failures.push(what);
        }
    }
    match failures.len() {
        0 => Ok(()),
        count => Err(Error::Failed(format!("{count} engines were not measured:\n{}", failures.join("\n")))),
    }
}

fn still_to_do(
    plan: &Plan,
    folder: &Folder,
    mut run: Run,
    options: &CollectOptions,
) -> Result<Option<Run>, Error> {
    let (only, most) = (&options.only, options.undisturbed.unwrap_or(f64::INFINITY));
    let mut cells = Vec::new();
    for key in std::mem::take(&mut run.cells) {
        let name = format!("{} {} {}", key.model, key.profile, key.workload);
        let good = folder.cell(plan, &key)?.is_some_and(|cell| cell.other_cores <= most);
        if !good && only.iter().all(|part| name.contains(part.as_str())) {
            cells.push(key);
        }
    }
    let name = format!("{} {}", run.model, run.profile);
    run.greedy = run.greedy
        && only.iter().all(|part| name.contains(part.as_str()))
        && folder.greedily(plan, &run.model, &run.profile, run.repeat)?.is_none();
    run.cells = cells;
    Ok((run.greedy || !run.cells.is_empty()).then_some(run))
}

struct Session<'a> {
    plan: &'a Plan,
    folder: Folder,
    progress: Progress,
    niceness: i32,
}

/// A started engine, and what is known of it.
struct Running<'a> {
    server: Server,
    name: &'a str,
    vocabulary: Range<u32>,
    version: String,
    block_tokens: u32,
    kv_tokens: Option<u64>,
}

impl Session<'_> {
    async fn run(&mut self, run: &Run) -> Result<(), Error> {
        let said = format!("{}, {}", run.model, run.profile);
        self.progress.say(&format!("{said}: the engine starts"));
        let running = {
            let _brisk = Raised::to(STARTING.max(self.niceness));
            self.start(run).await?
        };
        let raised = Raised::to(self.niceness);
        self.warm_up(&running).await?;
        if run.greedy {
            self.progress.say(&format!("{said}: greedy answers"));
            self.greedily(&running, run).await?;
        }
        for key in &run.cells {
            let Key { workload, concurrency, repeat, .. } = key;
            self.progress.say(&format!("{said}: {workload}, {concurrency} in flight, repeat {repeat}"));
            let cell = self.cell(&running, key, raised.niceness()).await?;
            self.folder.keep_cell(&cell)?;
            self.progress.done(1);
        }
        Ok(())
    }

    async fn start<'a>(&self, run: &'a Run) -> Result<Running<'a>, Error> {
        let Plan { engine, models, profiles, .. } = self.plan;
        let missing = || Error::Failed("the plan has no such model or profile".into());
        let model: &Model = models.get(&run.model).ok_or_else(missing)?;
        let profile = profiles.get(&run.profile).ok_or_else(missing)?;
        let port = vllm::free_port()?;
        let path = model.path.display().to_string();
        let filled = |part: &String| {
            part.replace("{model}", &path).replace("{name}", &run.model).replace("{port}", &port.to_string())
        };
        let [program, arguments @ ..] = engine.command.as_slice() else { return Err(missing()) };
        let mut command = vllm::command(filled(program).as_ref());
        command.args(arguments.iter().map(filled)).args(self.plan.arguments(profile));
        command.envs(&engine.environment);
        let log = self.folder.log(&run.model, &run.profile, run.repeat)?;
        let patience = Duration::from_secs(engine.start_within_s);
        let server = Server::start(command, port, &log, patience).await?;
        let metrics = server.metrics().await?;
        let cache = |label: &str| {
            let found = metrics.by_label("vllm:cache_config_info", label).next();
            found.and_then(|(value, _)| value.parse::<u64>().ok())
        };
        let block_tokens = cache("block_size").and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(16);
        let blocks = cache("num_gpu_blocks").map(|blocks| blocks * u64::from(block_tokens));
        Ok(Running {
            version: server.version().await?,
            server,
            name: &run.model,
            vocabulary: model.vocabulary()?,
            block_tokens,
            kv_tokens: cache("kv_cache_size_tokens").or(blocks),
        })
    }

    /// The first requests pay for what is set up lazily.
    async fn warm_up(&self, running: &Running<'_>) -> Result<(), Error> {
        let mut random = fastrand::Rng::with_seed(!self.plan.seed);
        let prompt = |tokens: u32| (0..tokens).map(|_| random.u32(running.vocabulary.clone())).collect();
        let prompts: Vec<Vec<u32>> = [16, 200, 16, 64, 16, 16].map(prompt).into();
        let requests: Vec<Request> =
            prompts.into_iter().map(|prompt| Request { prompt, output: 8 }).collect();
        let endpoint = running.server.endpoint();
        closed_loop(endpoint, running.name, &requests[..2], 1).await?;
        closed_loop(endpoint, running.name, &requests[2..], 4).await?;
        Ok(())
    }

    async fn greedily(&self, running: &Running<'_>, run: &Run) -> Result<(), Error> {
        let (endpoint, greedy) = (running.server.endpoint(), &self.plan.greedy);
        let texts = prompts::texts(&greedy.file)?;
        let mut chosen: Vec<&str> =
            texts.values().flat_map(|list| list.iter().take(greedy.of_each)).map(String::as_str).collect();
        // One that is longer than small token budgets.
        let long = chosen.join("\n\n");
        chosen.push(&long);
        running.server.forget_prefixes().await?;
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for text in chosen {
            let prompt = prompts::tokens(endpoint, running.name, text).await?;
            let request = Request { prompt, output: greedy.output };
            let bytes = answers::completion(endpoint, running.name, &request);
            for answers in [&mut first, &mut second] {
                answers.push(answers::tokens(&answers::ask(endpoint, &bytes).await?.1));
            }
        }
        self.folder.keep_greedily(&Greedily {
            fingerprint: fingerprint(self.plan, &run.model, &run.profile, None),
            model: run.model.clone(),
            profile: run.profile.clone(),
            repeat: run.repeat,
            first,
            second,
        })
    }

    async fn cell(&self, running: &Running<'_>, key: &Key, niceness: i32) -> Result<Cell, Error> {
        let Running { server, name, vocabulary, block_tokens, .. } = running;
        let missing = || Error::Failed(format!("the plan has no workload {}", key.workload));
        let workload = self.plan.workload(&key.model, &key.workload).ok_or_else(missing)?;
        let texts = prompts::tokenized(server.endpoint(), name, &workload).await?;
        let requests = prompts::requests(&key.workload, &workload, vocabulary, self.plan.seed, &texts);
        server.forget_prefixes().await?;
        let at_unix_s = conditions::first_line("date", &["+%s"]).parse().unwrap_or_default();
        let busy = Busy::now(server)?;
        let before = server.metrics().await?;
        let window = closed_loop(server.endpoint(), name, &requests, key.concurrency).await?;
        let (engine_cores, driver_cores, other_cores) = busy.cores(server)?;
        // The engine counts a request's end after its last token is out.
        sleep(Duration::from_millis(300)).await;
        let after = server.metrics().await?;
        let counted = |name: &str| grown(&before, &after, name);
        Ok(Cell {
            fingerprint: fingerprint(self.plan, &key.model, &key.profile, Some(&key.workload)),
            key: key.clone(),
            at_unix_s,
            version: running.version.clone(),
            kv_tokens: running.kv_tokens,
            prompt_tokens: requests
                .iter()
                .filter_map(|request| request.prompt.len().try_into().ok())
                .collect(),
            predicted_cached: predicted_cached(&requests, *block_tokens),
            answers: window.answers,
            failed: window.failed,
            wall_s: rounded(window.wall_s),
            prefix_hits: counted("vllm:prefix_cache_hits_total"),
            preemptions: counted("vllm:num_preemptions_total"),
            drafted: counted("vllm:spec_decode_num_draft_tokens_total"),
            accepted: counted("vllm:spec_decode_num_accepted_tokens_total"),
            engine_cores,
            driver_cores,
            other_cores,
            niceness,
        })
    }
}

/// How much a counter grew.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole and grow")]
fn grown(before: &Metrics, after: &Metrics, name: &str) -> u64 {
    (after.total(name) - before.total(name)).max(0.0).round() as u64
}

/// Who has used the machine so far.
struct Busy {
    began: Instant,
    machine: MachineTime,
    engine: Duration,
    own: Duration,
}

impl Busy {
    fn now(server: &Server) -> Result<Self, Error> {
        Ok(Self {
            began: Instant::now(),
            machine: MachineTime::now()?,
            engine: server.tree().cpu_time()?.total,
            own: own_time()?,
        })
    }

    /// Cores that engine, driver and all others have kept busy since.
    fn cores(&self, server: &Server) -> Result<(f64, f64, f64), Error> {
        let seconds = self.began.elapsed().as_secs_f64();
        let cores = std::thread::available_parallelism()?.get() as f64;
        let engine = server.tree().cpu_time()?.total.saturating_sub(self.engine).as_secs_f64() / seconds;
        let own = own_time()?.saturating_sub(self.own).as_secs_f64() / seconds;
        let others = MachineTime::now()?.others_since(self.machine) * cores - engine;
        Ok((rounded(engine), rounded(own), rounded(others.max(0.0))))
    }
}

/// CPU time of this process, without the engine that it started.
fn own_time() -> Result<Duration, Error> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Ok(Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
}
