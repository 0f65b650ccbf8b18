use object_store::memory::InMemory;

use super::*;
use crate::{example, open, to_parquet};

const NOW: u64 = 1_780_000_000_123;

fn writer(store: &Arc<dyn ObjectStore>, replica: &str) -> Writer {
    Writer::new(Arc::clone(store), replica).unwrap()
}

fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn each_file_has_a_name_of_its_own_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path().join("rows").to_str().unwrap()).unwrap();
    let mut writer = writer(&store, "a.1");
    let rows = example::rows();
    for (rows, now) in [(&rows[..1], NOW), (&rows[..2], NOW), (&rows[1..], NOW + 5)] {
        writer.put(to_parquet(rows).unwrap(), now).await.unwrap();
    }
    let names = names(&directory.path().join("rows"));
    let wanted = ["123-000000", "123-000001", "128-000002"].map(|end| format!("a.1-1780000000{end}.parquet"));
    assert_eq!(names, wanted);
    let bytes = std::fs::read(directory.path().join("rows").join(&names[0])).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

#[tokio::test]
async fn writers_of_one_name_do_not_overwrite_each_other() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut paths = Vec::new();
    for file in ["one", "two", "three"] {
        paths.push(writer(&store, "a").put(file.into(), NOW).await.unwrap());
    }
    paths.dedup();
    assert_eq!(paths.len(), 3);
}

#[tokio::test]
async fn what_was_written_and_is_tried_again_is_there_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path().to_str().unwrap()).unwrap();
    let mut first = writer(&store, "a");
    let path = first.put("rows".into(), NOW).await.unwrap();
    // The answer was lost: whoever opens the store anew tries under the same name.
    let mut again = writer(&store, "a");
    assert_eq!(again.put("rows".into(), NOW).await.unwrap(), path);
    let next = again.put("more".into(), NOW).await.unwrap();
    assert!(next > path, "names go up");
    assert_eq!(names(directory.path()).len(), 2);
}

/// Each file of rows has the time of its first try.
#[tokio::test]
async fn a_file_whose_answer_was_lost_is_found_by_a_writer_that_was_opened_again() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut writer = writer(&store, "a");
    for (number, file) in ["one", "two"].into_iter().enumerate() {
        writer.put(file.into(), NOW + number as u64).await.unwrap();
    }
    // Taken, and not said.
    let taken = Path::from(format!("a-{:013}-000002.parquet", NOW + 2));
    store.put(&taken, "three".into()).await.unwrap();
    writer.reopen(Arc::clone(&store));
    assert_eq!(writer.put("three".into(), NOW + 2).await.unwrap(), taken);
    let next = writer.put("four".into(), NOW + 3).await.unwrap();
    assert!(next.as_ref().ends_with("-000003.parquet"), "{next}");
}

#[test]
fn a_replica_has_a_name_that_files_can_have() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for name in ["", "a/b", "a b", "ü"] {
        assert!(Writer::new(Arc::clone(&store), name).is_err(), "{name}");
    }
    assert!(Writer::new(store, "gearshift-0.eu_1").is_ok());
}
