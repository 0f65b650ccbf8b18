use std::path::Path;

use gearshift_config::Actuator;

use super::{super::smi::fake::FakeSmi, *};
use crate::controller::journal::Engine;

/// No process has this number.
const GONE: Engine = Engine { pid: i32::MAX, started: 1 };

fn backend(process: &str) -> Backend {
    let text = format!(
        "profiles: {{a: {{}}}}\nbackends: [{{name: x, url: 'http://127.0.0.1:1', profile: a, profiles: [a], \
         actuator: {{process: {{command: [vllm], release_timeout: 1ms, {process}}}}}}}]"
    );
    let config = gearshift_config::parse("t", &text, Path::new("")).unwrap();
    Backend::clone(&config.backends[0])
}

fn process(backend: &Backend) -> &ProcessActuator {
    let Some(Actuator::Process(settings)) = &backend.actuator else { panic!() };
    settings
}

fn hold<'a>(smi: &'a Smi, backend: &'a Backend) -> Hold<'a> {
    let held = Held { processes: vec![GONE], ..Held::default() };
    Hold { smi, settings: process(backend), held: Some(held), before: None, neighbour: None }
}

async fn is_released(hold: &Hold<'_>, backend: &Backend) -> Result<(), String> {
    hold.released(backend, |_| ()).await
}

#[tokio::test]
async fn memory_is_free_once_no_process_of_the_engine_is_listed_whatever_others_hold() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), backend("env: {}"));
    let fake = FakeSmi::new(folder.path());
    fake.cards(&[70_000]);
    let smi = fake.smi(true);
    let hold = hold(&smi, &backend);
    let own = std::process::id();
    for (lists, free) in [(format!("{own}\n{}\n", GONE.pid), false), (format!("{own}\n"), true)] {
        fake.lists(&lists);
        assert_eq!(is_released(&hold, &backend).await.is_ok(), free, "{lists}");
    }
    // A number that was given away again.
    let reused = Engine { pid: i32::try_from(own).unwrap(), started: 1 };
    let held = Held { processes: vec![reused], ..Held::default() };
    assert_eq!(is_released(&Hold { held: Some(held), ..hold }, &backend).await, Ok(()));
}

#[tokio::test]
async fn a_tool_that_fails_says_nothing_and_one_that_is_not_there_has_nothing_to_say() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), backend("env: {}"));
    let fake = FakeSmi::new(folder.path());
    let smi = fake.smi(true);
    fake.fails(true);
    let why = is_released(&hold(&smi, &backend), &backend).await.unwrap_err();
    assert!(why.contains("nvidia-smi fails") && why.contains("cannot reach the driver"), "{why}");
    fake.fails(false);
    assert_eq!(is_released(&hold(&smi, &backend), &backend).await, Ok(()));
    let absent = Smi { program: folder.path().join("nowhere"), same_numbers: true };
    assert_eq!(is_released(&hold(&absent, &backend), &backend).await, Ok(()));
    assert_eq!(hold(&absent, &backend).is_known(&[]).await, Ok(()));
}

#[tokio::test]
async fn a_probe_of_the_operators_that_fails_is_not_free_memory() {
    let broken = backend("memory_probe: ['false']");
    let smi = Smi::here();
    assert!(is_released(&hold(&smi, &broken), &broken).await.unwrap_err().contains("memory_probe"));
    assert!(hold(&smi, &broken).is_known(&[]).await.is_err());
    let nothing_ran = Hold { held: None, ..hold(&smi, &broken) };
    assert_eq!(is_released(&nothing_ran, &broken).await, Ok(()));
}

/// As in a container: the numbers are the host's.
#[tokio::test]
async fn where_processes_are_hidden_it_goes_by_the_engines_own_accelerators() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), backend("env: {CUDA_VISIBLE_DEVICES: '1'}"));
    let fake = FakeSmi::new(folder.path());
    let smi = fake.smi(false);
    fake.lists("4711\n4712\n");
    let alone = Hold { before: Some(100), ..hold(&smi, &backend) };
    for (cards, free) in [([0, 70_000], false), ([70_000, 300], true)] {
        fake.cards(&cards);
        assert_eq!(is_released(&alone, &backend).await.is_ok(), free, "{cards:?}");
    }
    assert_eq!(alone.is_known(&[5]).await, Ok(()));
    // Beside an engine on the same card nobody can tell: said before anything is ended.
    let beside = Hold { neighbour: Some("y".to_owned()), ..alone };
    let why = beside.is_known(&[5]).await.unwrap_err();
    assert!(why.contains("y may use the same accelerators") && why.contains("CUDA_VISIBLE_DEVICES"), "{why}");
    assert_eq!(beside.is_known(&[4712]).await, Ok(()), "listed after all");
    // No switch ends it then; one that ended by itself does not stay away for ever.
    fake.cards(&[0, 70_000]);
    assert_eq!(is_released(&beside, &backend).await, Ok(()));
}

#[test]
fn full_memory_is_not_free_for_being_settled() {
    assert!(is_free(900, Some(500), None, false) && !is_free(70_000, Some(500), None, true));
    assert!(!is_free(70_000, None, Some(70_000), true), "an engine that was taken over");
    assert!(is_free(10_000, None, Some(70_000), true) && !is_free(10_000, None, Some(70_000), false));
    assert!(is_free(10, None, Some(70_000), false));
    assert!(is_free(10, None, None, false) && !is_free(10_000, None, None, true), "whose it is nobody knows");
}

#[tokio::test(start_paused = true)]
async fn memory_has_settled_once_it_falls_no_further() {
    let mut level = Level::default();
    assert!(!level.settled(70_000));
    tokio::time::advance(SETTLED).await;
    assert!(!level.settled(40_000), "it falls");
    tokio::time::advance(SETTLED / 2).await;
    assert!(!level.settled(40_010));
    tokio::time::advance(SETTLED / 2).await;
    assert!(level.settled(40_000));
}
