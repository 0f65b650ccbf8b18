//! How many connections operators may have at once, and what is said to those that are too many.
//!
//! Whoever connects and asks nothing holds a place only until another needs it: probes must get in, and need no token for it.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::Duration,
};

use prometheus::{IntCounter, IntGauge};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Connections at once: Prometheus, probes, scripts, and every console that is looked at (one for its live stream, some for its
/// files).
pub(super) const MOST: usize = 256;
/// Connections at once that are told that they are too many; those beyond are closed without a word.
const TOLD: usize = 32;
/// How long one of those may take to hear it.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long what is sent may lie unread.
const UNREAD: Duration = Duration::from_secs(30);

/// Who has asked nothing for so long makes room for the next, where there is none left.
const SILENT: Duration = Duration::from_secs(1);

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n\
    Connection: close\r\nContent-Length: 59\r\n\r\nas many connections are open as may be: close some of them\n";

/// Counts who is inside.
pub(super) struct Door {
    /// Connections at once.
    most: usize,
    inside: IntGauge,
    refused: IntCounter,
    told: Rc<Cell<usize>>,
    /// Somebody was sent away since there was last room.
    full: Cell<bool>,
    /// Those who have asked nothing yet, in the order in which they came; and some who have, or left.
    silent: RefCell<Vec<Weak<Guest>>>,
}

/// One who is inside, until it is dropped.
pub(super) struct Inside {
    guest: Rc<Guest>,
    count: IntGauge,
}

struct Guest {
    since: Instant,
    asked: Cell<bool>,
    leave: CancellationToken,
}

impl Inside {
    /// It has asked for something.
    pub(super) fn asks(&self) {
        self.guest.asked.set(true);
    }

    /// Until its place is needed.
    pub(super) async fn shown_out(&self) {
        self.guest.leave.cancelled().await;
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.count.dec();
    }
}

impl Door {
    pub(super) fn new(inside: IntGauge, refused: IntCounter) -> Self {
        Self {
            most: MOST,
            inside,
            refused,
            told: Rc::default(),
            full: Cell::default(),
            silent: RefCell::default(),
        }
    }

    /// Lets somebody in; `None` where as many are inside as may be, and it was sent away. Needs a `LocalSet`.
    pub(super) fn enter(&self, stream: TcpStream) -> Option<(TcpStream, Inside)> {
        if usize::try_from(self.inside.get()).unwrap_or(0) < self.most {
            self.full.set(false);
        } else if !self.show_out_a_silent_one() {
            self.send_away(stream);
            return None;
        }
        // Who does not read what was asked for is let go by the kernel; where that is not to be had, they stay.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
        self.inside.inc();
        let guest = Guest { since: Instant::now(), asked: Cell::default(), leave: CancellationToken::new() };
        let guest = Rc::new(guest);
        let mut silent = self.silent.borrow_mut();
        silent.retain(|one| one.upgrade().is_some_and(|one| !one.asked.get()));
        silent.push(Rc::downgrade(&guest));
        Some((stream, Inside { guest, count: self.inside.clone() }))
    }

    /// Makes room by ending the connection that has been silent the longest; `false` where none has been for long.
    fn show_out_a_silent_one(&self) -> bool {
        let mut silent = self.silent.borrow_mut();
        silent.retain(|one| one.upgrade().is_some_and(|one| !one.asked.get()));
        let Some(oldest) = silent.first().and_then(Weak::upgrade).filter(|one| one.since.elapsed() >= SILENT)
        else {
            return false;
        };
        silent.remove(0);
        oldest.leave.cancel();
        true
    }

    /// Counts it, and says it as far as that goes.
    fn send_away(&self, stream: TcpStream) {
        self.refused.inc();
        if !self.full.replace(true) {
            tracing::warn!(
                connections = self.most,
                "operators have as many connections as may be: more are sent away"
            );
        }
        if self.told.get() >= TOLD {
            return;
        }
        let told = self.told.clone();
        told.set(told.get() + 1);
        tokio::task::spawn_local(async move {
            // One that takes no more of our time has heard enough.
            let _ = timeout(FAREWELL, farewell(stream)).await;
            told.set(told.get() - 1);
        });
    }
}

/// Says it, and reads what was asked until the other side closes: a close before that would take back what was said.
async fn farewell(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    let mut asked = [0; 1024];
    while stream.read(&mut asked).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection as the listener gets it, and the other side's end of it.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let asking = TcpStream::connect(listener.local_addr().unwrap());
        let (asking, accepted) = tokio::join!(asking, listener.accept());
        (accepted.unwrap().0, asking.unwrap())
    }

    fn door(most: usize) -> Door {
        let inside = IntGauge::new("inside", "Inside.").unwrap();
        Door { most, ..Door::new(inside, IntCounter::new("refused", "Refused.").unwrap()) }
    }

    #[tokio::test]
    async fn who_does_not_read_is_let_go() {
        let (door, (accepted, asking)) = (door(MOST), connection().await);
        let (stream, place) = door.enter(accepted).unwrap();
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(UNREAD));
        assert_eq!(door.inside.get(), 1);
        drop((place, asking));
        assert_eq!(door.inside.get(), 0);
    }

    async fn is_shown_out(inside: &Inside) -> bool {
        timeout(Duration::ZERO, inside.shown_out()).await.is_ok()
    }

    #[tokio::test]
    async fn who_asks_nothing_makes_room_for_the_next() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (door, mut kept) = (door(3), Vec::new());
                let mut enter = async || {
                    let (accepted, asking) = connection().await;
                    kept.push(asking);
                    door.enter(accepted).map(|(_, inside)| inside)
                };
                let (asked, first, second) =
                    (enter().await.unwrap(), enter().await.unwrap(), enter().await.unwrap());
                asked.asks();
                assert!(enter().await.is_none(), "nobody has been silent for long");
                // From here on time is the test's: sockets are slower than a clock that runs ahead.
                tokio::time::pause();
                tokio::time::advance(SILENT).await;
                tokio::time::resume();
                let third = enter().await.expect("room");
                assert!(is_shown_out(&first).await, "it has been silent for the longest");
                assert!(!is_shown_out(&second).await && !is_shown_out(&asked).await);
                drop(first);
                let fourth = enter().await.expect("room");
                assert!(is_shown_out(&second).await && !is_shown_out(&third).await);
                drop(second);
                fourth.asks();
                assert!(enter().await.is_none(), "the third has only just come");
                assert_eq!((door.inside.get(), door.refused.get()), (3, 2), "who is let in is not refused");
            })
            .await;
    }

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{} {head}", body.len());
    }
}
