use object_store::memory::InMemory;

use super::*;
use crate::{example, open};

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
async fn each_flush_is_a_file_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path().join("rows").to_str().unwrap()).unwrap();
    let mut writer = writer(&store, "a.1");
    assert_eq!(writer.flush(NOW).await.unwrap(), None);
    for now in [NOW, NOW, NOW + 5] {
        example::rows().into_iter().for_each(|row| writer.push(row));
        assert_eq!(writer.buffered(), example::rows().len());
        writer.flush(now).await.unwrap();
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
    for _restart in 0..3 {
        let mut writer = writer(&store, "a");
        example::rows().into_iter().for_each(|row| writer.push(row));
        paths.extend(writer.flush(NOW).await.unwrap());
    }
    paths.dedup();
    assert_eq!(paths.len(), 3);
}

#[tokio::test]
async fn rows_survive_a_store_that_fails_and_do_not_grow_without_bound() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path().join("rows").to_str().unwrap()).unwrap();
    let row = example::rows().remove(0);
    let mut writer = writer(&store, "a").with_capacity(2);
    for _ in 0..3 {
        writer.push(row.clone());
    }
    assert_eq!((writer.buffered(), writer.dropped()), (2, 1));
    // A file where the directory was.
    std::fs::remove_dir_all(directory.path().join("rows")).unwrap();
    std::fs::write(directory.path().join("rows"), "").unwrap();
    writer.flush(NOW).await.unwrap_err();
    assert_eq!(writer.buffered(), 2);
    std::fs::remove_file(directory.path().join("rows")).unwrap();
    assert!(writer.flush(NOW).await.unwrap().is_some());
    assert_eq!(writer.buffered(), 0);
}

#[test]
fn a_replica_has_a_name_that_files_can_have() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for name in ["", "a/b", "a b", "ü"] {
        assert!(Writer::new(Arc::clone(&store), name).is_err(), "{name}");
    }
    assert!(Writer::new(store, "gearshift-0.eu_1").is_ok());
}
