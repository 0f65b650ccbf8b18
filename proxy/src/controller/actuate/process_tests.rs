use std::path::Path;

use gearshift_config::{BackendId, Config};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{group::until, smi::fake::FakeSmi},
    *,
};
use crate::{
    controller::{board::Board, journal::Journal, machine::Step},
    fleet::{Fleet, Roster},
    metrics::Metrics,
};

/// A backend whose engine is a script of the shell's.
fn backend(folder: &Path, script: &str, port: u16) -> Backend {
    backend_with(folder, script, port, "memory_probe: []")
}

/// As [`backend`], with this said besides.
fn backend_with(folder: &Path, script: &str, port: u16, said: &str) -> Backend {
    let text = format!(
        "profiles: {{a: {{}}, b: {{max_num_seqs: 7}}}}\n\
         backends: [{{name: x, url: 'http://127.0.0.1:{port}', profile: a, profiles: [a, b], actuator: {{process: \
         {{command: [sh, -c, {script:?}, engine], env: {{COLOUR: red}}, stop_grace: 300ms, release_timeout: 1s, \
         {said}}}}}}}]\n"
    );
    let config = gearshift_config::parse("t", &text, folder).unwrap();
    Backend::clone(&config.backends[0])
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn desk(folder: &Path) -> Desk {
    desk_of(folder, Roster::default())
}

fn desk_of(folder: &Path, roster: Roster) -> Desk {
    let journal = Journal::open_once_free(&folder.join("journal.json"));
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let (changes, _) = mpsc::channel(1);
    Desk::new(journal, changes, roster, metrics.controller, Board::new())
}

/// A hand, and the `nvidia-smi` that it asks.
fn watched(folder: &Path, desk: &Desk) -> (ProcessHand, FakeSmi) {
    let (mut hand, fake) = (ProcessHand::new(desk.clone()), FakeSmi::new(folder));
    hand.smi = fake.smi(true);
    (hand, fake)
}

fn into(profile: &str) -> Switch {
    Switch {
        id: "1".into(),
        from: "a".into(),
        to: profile.into(),
        reason: String::new(),
        planned: false,
        began: 0,
        step: Step::Starting,
        back: None,
        failed_back: 0,
        was_away: false,
    }
}

async fn eventually(so: impl Fn() -> bool) {
    assert!(until(so, Duration::from_secs(20)).await, "it never is so");
}

/// Whether this machine can be tested on.
fn linux() -> bool {
    if !procfs::is_there() {
        eprintln!("skipped: this system has no /proc");
    }
    procfs::is_there()
}

#[tokio::test]
async fn an_engine_gets_its_profile_its_place_and_its_log() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let backend = backend(folder.path(), "echo $COLOUR $PWD $@; exec sleep 100", port);
    let (desk, log) = (desk(folder.path()), folder.path().join("engine-logs/x.log"));
    let mut hand = ProcessHand::new(desk.clone());
    hand.start(&backend, &into("b")).await.unwrap();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    eventually(|| said().ends_with('\n')).await;
    let place = folder.path().display();
    assert_eq!(said(), format!("red {place} --max-num-seqs=7 --host=127.0.0.1 --port={port}\n"));
    assert_eq!(hand.ended(&backend), None);
    let engine = desk.entry(&BackendId::new("x")).engine.unwrap();
    let known = || written(settings(&backend).unwrap());
    assert_eq!(known().unwrap(), (engine, "b".to_owned()));

    // Numbers are given away again: who has this one, and leads a group, need not be the engine.
    let file = log.with_extension("pid");
    let ours = fs::read_to_string(&file).unwrap();
    let ticks = engine.started.to_string();
    fs::write(&file, ours.replace(&ticks, &(engine.started - 1).to_string())).unwrap();
    assert_eq!(known(), None);
    // Another boot gives them all away again, and its ticks.
    if let Some(boot) = procfs::boot() {
        fs::write(&file, ours.replace(&boot, "another")).unwrap();
        assert_eq!(known(), None);
    }
    // As an earlier version wrote it.
    fs::write(&file, ours.lines().take(2).collect::<Vec<_>>().join("\n")).unwrap();
    assert!(known().is_some());
    fs::write(&file, ours).unwrap();

    hand.stop(&backend, "b").await.unwrap();
    assert_eq!(procfs::group(engine.pid), []);
    // What an engine writes may hold prompts.
    let why = hand.ended(&backend).unwrap();
    assert!(why.contains("engine-logs/x.log") && !why.contains("red"), "{why}");
    let mut open = backend.clone();
    let Some(Settings::Process(settings)) = &mut open.actuator else { panic!() };
    settings.show_last_words = true;
    let why = hand.ended(&open).unwrap();
    assert!(why.contains(&format!("last words: red {place}")), "{why}");
    hand.release(&backend).await.unwrap();
    hand.start(&backend, &into("a")).await.unwrap();
    assert!(fs::read_to_string(folder.path().join("engine-logs/x.log.1")).unwrap().contains("red"));
    hand.stop(&backend, "a").await.unwrap();
}

#[tokio::test]
async fn all_that_an_engine_started_ends_with_it() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; (trap '' TERM; sleep 100) & (sleep 100) & echo up; wait; sleep 100";
    let backend = backend(folder.path(), script, free_port());
    let desk = desk(folder.path());
    let mut hand = ProcessHand::new(desk.clone());
    hand.start(&backend, &into("a")).await.unwrap();
    let engine = desk.entry(&BackendId::new("x")).engine.unwrap();
    eventually(|| procfs::group(engine.pid).len() >= 3).await;
    hand.stop(&backend, "a").await.unwrap();
    assert_eq!(procfs::group(engine.pid), []);
    hand.stop(&backend, "a").await.unwrap();

    // Workers whose engine died by itself.
    let leader = "(sleep 100) & (sleep 100) & exit 3".to_owned();
    let orphans = self::backend(folder.path(), &leader, free_port());
    hand.start(&orphans, &into("a")).await.unwrap();
    let engine = desk.entry(&BackendId::new("x")).engine.unwrap();
    eventually(|| !is_alive(engine)).await;
    assert!(hand.ended(&orphans).is_some());
    hand.stop(&orphans, "a").await.unwrap();
    assert_eq!(procfs::group(engine.pid), []);
}

#[tokio::test]
async fn the_next_gearshift_takes_an_engine_over_whatever_the_journal_says() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = backend(folder.path(), "exec sleep 100", free_port());
    let id = BackendId::new("x");
    let first = desk(folder.path());
    let mut hand = ProcessHand::new(first.clone());
    assert_eq!(hand.ensure(&backend, "a").await, Ok(Supervised::Started));
    eventually(|| written(settings(&backend).unwrap()).is_some()).await;
    let engine = first.entry(&id).engine.unwrap();
    let child = hand.child.take();
    drop((hand, first));

    for known in [true, false] {
        let desk = desk(folder.path());
        if !known {
            // It died between the start and the entry.
            desk.note(&id, |entry| entry.engine = None).unwrap();
        }
        let mut hand = ProcessHand::new(desk.clone());
        assert_eq!(hand.ensure(&backend, "a").await, Ok(Supervised::Runs), "{known}");
        assert_eq!(desk.entry(&id).engine.unwrap().pid, engine.pid);
        assert_eq!(hand.start(&backend, &into("a")).await, Ok(()), "started twice is started once");
        assert!(hand.start(&backend, &into("b")).await.unwrap_err().contains("profile a still runs"));
        if !known {
            hand.stop(&backend, "a").await.unwrap();
        }
    }
    drop(child);
}

#[tokio::test]
async fn an_engine_that_ended_is_started_anew_and_a_strangers_port_is_left_alone() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = backend(folder.path(), "exec sleep 100", stranger.local_addr().unwrap().port());
    let mut hand = ProcessHand::new(desk(folder.path()));
    assert!(hand.ensure(&taken, "a").await.unwrap_err().contains("another program listens"));
    drop(stranger);
    assert_eq!(hand.ensure(&taken, "a").await, Ok(Supervised::Started));
    let pid = hand.child.as_ref().unwrap().id();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    eventually(|| procfs::process(i32::try_from(pid).unwrap()).is_none_or(|process| process.defunct)).await;
    assert_eq!(hand.ensure(&taken, "a").await, Ok(Supervised::Started));
    assert_ne!(hand.child.as_ref().unwrap().id(), pid);
    hand.stop(&taken, "a").await.unwrap();
}

/// What `nvidia-smi` still lists of an engine is waited for, and nothing is started over it.
#[tokio::test]
async fn no_engine_starts_over_what_another_left() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = backend_with(folder.path(), "exec sleep 100", free_port(), "show_last_words: false");
    let desk = desk(folder.path());
    let (mut hand, fake) = watched(folder.path(), &desk);
    // A neighbour's, for all of the test.
    fake.lists("1");
    assert_eq!(hand.ensure(&backend, "a").await, Ok(Supervised::Started));
    let engine = desk.entry(&BackendId::new("x")).engine.unwrap();
    fake.lists(&format!("1\n{}", engine.pid));
    assert_eq!(hand.vouch(&backend).await, Ok(()));
    fake.fails(true);
    assert!(hand.vouch(&backend).await.unwrap_err().contains("nvidia-smi fails"), "asked before it is ended");
    assert_eq!(hand.ended(&backend), None);
    fake.fails(false);

    hand.stop(&backend, "a").await.unwrap();
    let why = hand.release(&backend).await.unwrap_err();
    assert!(why.contains("still hold accelerator memory"), "{why}");
    assert_eq!(hand.ensure(&backend, "a").await, Err(why));
    assert_eq!(desk.entry(&BackendId::new("x")).engine, Some(engine), "nothing was started");
    // The next Gearshift waits for the same.
    let mut next = ProcessHand::new(desk.clone());
    next.smi = fake.smi(true);
    assert!(next.release(&backend).await.is_err());
    fake.lists("1");
    assert_eq!(next.ensure(&backend, "a").await, Ok(Supervised::Started));
    assert_eq!(desk.entry(&BackendId::new("x")).held, None);
    next.stop(&backend, "a").await.unwrap();
}

/// Its processes are known from when it ran.
#[tokio::test]
async fn an_engine_that_died_by_itself_is_waited_for_too() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = backend_with(folder.path(), "exec sleep 100", free_port(), "show_last_words: false");
    let desk = desk(folder.path());
    let (mut hand, fake) = watched(folder.path(), &desk);
    fake.lists("");
    assert_eq!(hand.ensure(&backend, "a").await, Ok(Supervised::Started));
    let worker = Engine { pid: i32::MAX, started: 1 };
    hand.group = Some((Instant::now(), vec![worker]));
    fake.lists(&worker.pid.to_string());
    let engine = desk.entry(&BackendId::new("x")).engine.unwrap();
    kill_process(Pid::from_raw(engine.pid).unwrap(), Signal::KILL).unwrap();
    eventually(|| !is_alive(engine)).await;
    assert!(hand.ensure(&backend, "a").await.unwrap_err().contains("still hold accelerator memory"));
    fake.lists("");
    assert_eq!(hand.ensure(&backend, "a").await, Ok(Supervised::Started));
    hand.stop(&backend, "a").await.unwrap();
}

/// The configuration refuses two logs of one name; of one by another way it does not know.
#[tokio::test]
async fn an_engine_that_another_backend_has_is_not_taken_over() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    std::os::unix::fs::symlink("logs", folder.path().join("link")).unwrap();
    let backend = |name: &str, log: &str| {
        format!(
            "  - {{name: {name}, url: 'http://127.0.0.1:{}', profile: a, profiles: [a], actuator: {{process: {{command: \
             [sh, -c, 'exec sleep 100'], memory_probe: [], release_timeout: 1s, log: {log}}}}}}}\n",
            free_port()
        )
    };
    let (x_line, y_line) = (backend("x", "logs/one.log"), backend("y", "link/one.log"));
    let config = |backends: &str| -> Config {
        let text = format!("profiles: {{a: {{}}}}\nbackends:\n{backends}");
        gearshift_config::parse("t", &text, folder.path()).unwrap()
    };
    let (both, y_alone) = (config(&format!("{x_line}{y_line}")), config(&y_line));
    let (x, y) = (&both.backends[0], &both.backends[1]);
    let stop = CancellationToken::new();
    let mut fleet = Fleet::new(TaskTracker::new(), stop.clone());
    fleet.apply(&both).unwrap();
    let desk = desk_of(folder.path(), fleet.roster());
    let (mut one, mut other) = (ProcessHand::new(desk.clone()), ProcessHand::new(desk.clone()));
    assert_eq!(one.ensure(x, "a").await, Ok(Supervised::Started));
    let engine = desk.entry(&x.id).engine.unwrap();
    eventually(|| written(settings(x).unwrap()).is_some()).await;
    for _ in 0..2 {
        let why = other.ensure(y, "a").await.unwrap_err();
        assert!(why.contains("names the engine of x"), "{why}");
        assert!(other.stop(y, "a").await.is_err(), "nor is it ended");
    }
    assert!(is_alive(engine) && written(settings(x).unwrap()).is_some(), "its file is left alone too");
    assert_eq!(desk.entry(&y.id).engine, None);

    // An earlier version took it over, and then got a log of its own.
    let parted = config(&format!("{x_line}{}", y_line.replace("link/one", "logs/two")));
    fleet.apply(&parted).unwrap();
    desk.note(&y.id, |entry| entry.engine = Some(engine)).unwrap();
    let mut third = ProcessHand::new(desk.clone());
    third.stop(&parted.backends[1], "a").await.unwrap();
    assert!(is_alive(engine) && desk.entry(&y.id).engine.is_none() && desk.entry(&x.id).engine.is_some());

    // Where that one has left, as by a new name, it is taken over.
    fleet.apply(&y_alone).unwrap();
    assert_eq!(other.ensure(y, "a").await, Ok(Supervised::Runs));
    assert_eq!((desk.entry(&y.id).engine, desk.entry(&x.id).engine), (Some(engine), None));
    other.stop(y, "a").await.unwrap();
    stop.cancel();
}

/// Ending it failed, so that nobody waited for what it held.
#[tokio::test]
async fn no_engine_starts_where_the_step_before_failed() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "(sleep 100) & exit 3";
    let backend = backend_with(folder.path(), script, free_port(), "show_last_words: false");
    let desk = desk(folder.path());
    let (mut hand, fake) = watched(folder.path(), &desk);
    hand.start(&backend, &into("a")).await.unwrap();
    let engine = desk.entry(&backend.id).engine.unwrap();
    eventually(|| !is_alive(engine) && left(engine).len() == 1).await;
    let why = hand.start(&backend, &into("a")).await.unwrap_err();
    assert!(why.contains("do not end"), "a worker is left: {why}");
    fake.lists(&left(engine)[0].pid.to_string());
    hand.stop(&backend, "a").await.unwrap();
    let why = hand.start(&backend, &into("a")).await.unwrap_err();
    assert!(why.contains("still hold accelerator memory"), "{why}");
    assert_eq!(desk.entry(&backend.id).engine, Some(engine), "nothing was started");

    // Whoever waits may be cut off; then nobody waits any more.
    assert!(timeout(Duration::from_millis(100), hand.release(&backend)).await.is_err());
    assert_eq!(desk.board.view()["backends"][0]["waits_for"], serde_json::Value::Null);
    fake.lists("");
    hand.start(&backend, &into("a")).await.unwrap();
    hand.stop(&backend, "a").await.unwrap();
}

/// Else it would hold port and memory for ever, and nobody would end it.
#[tokio::test]
async fn an_engine_whose_start_could_not_be_written_down_is_taken_over() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = backend(folder.path(), "exec sleep 100", free_port());
    let desk = desk(folder.path());
    desk.note(&backend.id, |entry| entry.profile = "a".to_owned()).unwrap();
    let mut hand = ProcessHand::new(desk.clone());
    assert_eq!(hand.find(&backend).await, Ok(None), "it has looked");
    let journal = folder.path().join("journal.json");
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    assert!(hand.ensure(&backend, "a").await.unwrap_err().contains("journal cannot be written"));
    eventually(|| written(settings(&backend).unwrap()).is_some()).await;
    let pid = i32::try_from(hand.child.as_ref().unwrap().id()).unwrap();
    assert!(hand.ensure(&backend, "a").await.unwrap_err().contains("journal cannot be written"));
    fs::remove_dir(&journal).unwrap();
    assert_eq!(hand.ensure(&backend, "a").await, Ok(Supervised::Runs));
    assert_eq!(desk.entry(&backend.id).engine.unwrap().pid, pid);
    hand.stop(&backend, "a").await.unwrap();
}

/// A switch that is refused would else end an engine that serves well, for want of a file.
#[tokio::test]
async fn an_engine_whose_file_was_tidied_away_is_known_by_the_journal() {
    if !linux() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = backend(folder.path(), "exec sleep 100", free_port());
    let mut hand = ProcessHand::new(desk(folder.path()));
    hand.start(&backend, &into("a")).await.unwrap();
    eventually(|| written(settings(&backend).unwrap()).is_some()).await;
    fs::remove_file(settings(&backend).unwrap().pid_file()).unwrap();
    assert_eq!(hand.start(&backend, &into("a")).await, Ok(()));
    assert!(hand.start(&backend, &into("b")).await.unwrap_err().contains("profile a still runs"));
    hand.stop(&backend, "a").await.unwrap();
}
