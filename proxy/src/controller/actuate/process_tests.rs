use gearshift_config::BackendId;
use tokio::sync::mpsc;

use super::*;
use crate::{
    controller::{board::Board, gears::Gears, journal::Journal, machine::Step},
    fleet::Roster,
    metrics::Metrics,
};

/// A backend whose engine is a script of the shell's.
fn backend(folder: &Path, script: &str, port: u16) -> Backend {
    let text = format!(
        "profiles: {{a: {{}}, b: {{max_num_seqs: 7}}}}\n\
         backends: [{{name: x, url: 'http://127.0.0.1:{port}', profile: a, profiles: [a, b], actuator: {{process: \
         {{command: [sh, -c, {script:?}, engine], env: {{COLOUR: red}}, stop_grace: 300ms, release_timeout: 1s, \
         memory_probe: []}}}}}}]\n"
    );
    let config = gearshift_config::parse("t", &text, folder).unwrap();
    Backend::clone(&config.backends[0])
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn desk(folder: &Path) -> Desk {
    let journal = Journal::open(&folder.join("journal.json")).unwrap();
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let (changes, _) = mpsc::channel(1);
    Desk::new(journal, Gears::default(), changes, Roster::default(), metrics.controller, Board::new())
}

fn into(profile: &str) -> Switch {
    Switch {
        id: "1".into(),
        from: "a".into(),
        to: profile.into(),
        reason: String::new(),
        began: 0,
        step: Step::Starting,
        back: None,
        failed_back: 0,
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
    assert_eq!(written(&backend).unwrap(), (Engine { memory_before: None, ..engine }, "b".to_owned()));

    // Numbers are given away again: who has this one, and leads a group, need not be the engine.
    let file = pid_file(&log);
    let ours = fs::read_to_string(&file).unwrap();
    let ticks = engine.started.to_string();
    fs::write(&file, ours.replace(&ticks, &(engine.started - 1).to_string())).unwrap();
    assert_eq!(written(&backend), None);
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
