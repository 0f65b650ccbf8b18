use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::{task::LocalSet, time::Instant};

use super::*;

/// Counts how often it is looked at; a decision is made between two looks.
#[derive(Default)]
struct Fake {
    looks: Cell<u64>,
}

impl Feed for Fake {
    fn states(&self) -> Vec<(&'static str, Rc<str>)> {
        let fleet = json!({"in_flight": self.looks.get() / 2}).to_string();
        vec![("fleet", fleet.into()), ("config", "\"same\"".into())]
    }

    fn decisions(&self, seen: &mut u64) -> Vec<Value> {
        self.looks.set(self.looks.get() + 1);
        let new = (*seen..self.looks.get()).map(|number| json!(number)).collect();
        *seen = self.looks.get();
        new
    }
}

/// The next that is told, as text.
async fn next(events: &mut Events) -> String {
    let frame = events.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

async fn read(events: &mut Events, frames: usize) -> String {
    let mut text = String::new();
    for _ in 0..frames {
        text += &next(events).await;
    }
    text
}

const FIRST: &str =
    "event: fleet\ndata: {\"in_flight\":0}\n\nevent: config\ndata: \"same\"\n\nevent: decision\ndata: 0\n\n";

#[tokio::test(start_paused = true)]
async fn only_news_is_told() {
    let tell = async {
        let mut events = Broadcast::new(Rc::new(Fake::default()), 1).follow().unwrap();
        assert_eq!(read(&mut events, 3).await, FIRST);
        assert_eq!(next(&mut events).await, "event: decision\ndata: 1\n\n");
        assert_eq!(
            read(&mut events, 2).await,
            "event: fleet\ndata: {\"in_flight\":1}\n\nevent: decision\ndata: 2\n\n"
        );
    };
    LocalSet::new().run_until(tell).await;
}

#[tokio::test(start_paused = true)]
async fn many_readers_cost_one_look_and_a_late_one_is_told_all() {
    let tell = async {
        let feed = Rc::new(Fake::default());
        let broadcast = Broadcast::new(feed.clone(), 64);
        let mut readers: Vec<Events> = (0..40).map(|_| broadcast.follow().unwrap()).collect();
        for reader in &mut readers {
            assert_eq!(read(reader, 3).await, FIRST);
        }
        assert_eq!(feed.looks.get(), 1);
        let mut late = broadcast.follow().unwrap();
        assert_eq!(read(&mut late, 3).await, FIRST);
        for reader in &mut readers {
            next(reader).await;
        }
        assert_eq!((next(&mut late).await.as_str(), feed.looks.get()), ("event: decision\ndata: 1\n\n", 2));
        // Nobody looks, so nobody renders; whoever comes then is told what is, and what was.
        drop((readers, late));
        sleep(10 * EVERY).await;
        assert_eq!((feed.looks.get(), broadcast.readers.get()), (2, 0));
        let text = read(&mut broadcast.follow().unwrap(), 3).await;
        assert!(
            text.contains("{\"in_flight\":1}") && text.contains("data: 0") && text.ends_with("data: 2\n\n"),
            "{text}"
        );
    };
    LocalSet::new().run_until(tell).await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_is_told_less_often_and_who_reads_nothing_is_let_go() {
    let tell = async {
        let broadcast = Broadcast::new(Rc::new(Fake::default()), 1);
        let mut slow = broadcast.follow().unwrap();
        assert!(broadcast.follow().is_none(), "there is room for one");
        assert_eq!(read(&mut slow, 3).await, FIRST);
        sleep(6 * EVERY).await;
        // What was on its way when it stopped reading, then everything else at once.
        read(&mut slow, 3).await;
        let text = read(&mut slow, 2).await;
        assert_eq!(text.matches("event: fleet").count(), 1, "{text}");
        assert!(text.matches("event: decision").count() > 3, "{text}");
        // Its place is given to others once it has taken nothing for a while.
        let stopped = Instant::now();
        while broadcast.follow().is_none() {
            sleep(EVERY).await;
        }
        assert!(stopped.elapsed() >= STALLED && stopped.elapsed() < STALLED * 2);
    };
    LocalSet::new().run_until(tell).await;
}
