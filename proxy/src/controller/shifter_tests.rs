use std::path::Path;

use super::*;
use crate::{
    controller::{board::Board, journal::Journal},
    fleet::Roster,
    metrics::Metrics,
};

/// Whoever gave it takes no other before.
#[tokio::test]
async fn an_order_to_be_where_it_is_ends() {
    let folder = tempfile::tempdir().unwrap();
    let text = "profiles: {a: {}, b: {}}\nbackends: [{name: x, url: 'http://127.0.0.1:1', profile: a, profiles: [a, b], actuator: \
                {process: {command: [vllm]}}}]";
    let config = Arc::new(gearshift_config::parse("t", text, Path::new("")).unwrap());
    let journal = Journal::open_once_free(&folder.path().join("journal.json"));
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let desk = Desk::new(journal, mpsc::channel(1).0, Roster::default(), metrics.controller, Board::new());
    let id = BackendId::new("x");
    desk.note(&id, |entry| entry.profile = "b".to_owned()).unwrap();
    let hand = Hand::of(&config.backends[0], &desk).unwrap();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut shifter = Shifter::new(id.clone(), desk, watch::Sender::new(config).subscribe(), hand, ended);
    shifter.begin(Order { to: "b".into(), reason: String::new(), planned: true }).await;
    let ended = ends.try_recv().unwrap();
    assert_eq!((ended.backend, ended.outcome, ended.planned), (id, Outcome::Done, false));
}
