use super::*;

#[test]
fn what_is_noted_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/journal.json");
    let engine = Engine { pid: 7, started: 9 };
    let mut journal = Journal::open(&path).unwrap();
    journal.note("a", |entry| (entry.profile, entry.engine) = ("fast".into(), Some(engine))).unwrap();
    journal.change(|book| book.paused = true).unwrap();
    let (book, path_of_lock) = (journal.book().clone(), beside(&path, "lock"));
    assert!(matches!(Journal::open(&path), Err(JournalError::Taken(_))), "one acts, not two");
    drop(journal);
    assert!(path_of_lock.exists());
    assert_eq!(Journal::open_once_free(&path).book(), &book);
}

#[test]
fn a_crash_while_writing_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.json");
    Journal::open(&path).unwrap().note("a", |entry| entry.since = 5).unwrap();
    fs::write(beside(&path, "1-2.new"), "{\"backends\": {\"a\"").unwrap();
    assert_eq!(Journal::open_once_free(&path).entry("a").since, 5);
}

#[test]
fn one_that_makes_no_sense_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.json");
    fs::write(&path, "{\"backends\": [").unwrap();
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!(journal.book(), &Book { boot: boot().unwrap_or_default(), ..Book::default() });
    journal.change(|book| book.paused = true).unwrap();
    assert_eq!(fs::read_to_string(beside(&path, "bad")).unwrap(), "{\"backends\": [");
}

#[test]
fn a_change_that_cannot_be_written_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.json");
    let mut journal = Journal::open(&path).unwrap();
    // A folder in its place.
    fs::create_dir(&path).unwrap();
    assert!(journal.change(|book| book.paused = true).is_err());
    assert!(!journal.book().paused);
}

#[test]
fn the_history_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal.json")).unwrap();
    let now = clock::unix_seconds();
    let record = |id: usize| Record {
        backend: if id < 60 { "a" } else { "b" }.into(),
        id: id.to_string(),
        from: "x".into(),
        to: "y".into(),
        reason: String::new(),
        planned: true,
        began: if id < 60 { 0 } else { now },
        seconds: 0,
        outcome: Outcome::Done,
        problem: None,
        verified: Vec::new(),
        declared: Vec::new(),
    };
    journal.change(|book| book.history.extend((0..60).map(record))).unwrap();
    assert_eq!((journal.book().history.len(), journal.book().history[0].id.as_str()), (50, "10"));
    // A busy neighbour takes nothing of the day's away.
    let busy = (0..60).map(|id| Record { backend: "c".into(), ..record(60 + id) });
    journal.change(|book| book.history.extend([record(60), record(61)].into_iter().chain(busy))).unwrap();
    let of = |name: &str| journal.book().history.iter().filter(|record| record.backend == name).count();
    assert_eq!((of("a"), of("b"), of("c")), (0, 2, 50));
}

/// A process of this boot may have the number and the ticks of one before.
#[test]
fn what_ran_before_the_system_started_has_ended() {
    let engine = Engine { pid: 7, started: 9 };
    let entry = Entry {
        profile: "fast".into(),
        engine: Some(engine),
        held: Some(Held::default()),
        ..Entry::default()
    };
    let book = |boot: &str| Book {
        boot: boot.to_owned(),
        backends: BTreeMap::from([("a".to_owned(), entry.clone())]),
        ..Book::default()
    };
    for (before, now, runs) in [
        ("one", Some("one"), true),
        ("one", Some("two"), false),
        // It is not known, or an earlier version did not ask.
        ("one", None, true),
        ("", Some("two"), true),
    ] {
        let mut book = book(before);
        book.wakes(now.map(str::to_owned));
        let entry = &book.backends["a"];
        assert_eq!((entry.engine.is_some(), entry.held.is_some()), (runs, runs), "{before} {now:?}");
        assert_eq!((entry.profile.as_str(), book.boot.as_str()), ("fast", now.unwrap_or(before)));
    }
}
