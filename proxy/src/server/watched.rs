//! What a client connection is doing, so that silent ones can be told from slow ones without a timer for each.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// What a connection is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Finish the request under way, then close.
    Retire,
    /// Close now.
    Abort,
}

/// One connection, seen from outside.
#[derive(Debug)]
pub(super) struct Watch {
    /// Requests under way.
    busy: Cell<u32>,
    /// When the last request ended, or the connection began.
    idle_since: Cell<Instant>,
    /// When the first byte of the next request came.
    heard: Cell<Option<Instant>>,
    /// Since when the client has taken nothing of what is ready for it.
    stalled: Cell<Option<Instant>>,
    /// HTTP/2, whose control frames are no request head.
    multiplexed: Cell<bool>,
    begun: Cell<bool>,
    command: Cell<Option<Command>>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            busy: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            heard: Cell::new(None),
            stalled: Cell::new(None),
            multiplexed: Cell::new(false),
            begun: Cell::new(false),
            command: Cell::new(None),
            waker: RefCell::new(None),
        })
    }

    /// Tells the connection what to do.
    pub(super) fn tell(&self, command: Command) {
        self.command.set(Some(command));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// What the connection was told, once; leaves the caller to be woken by the next word.
    pub(super) fn told(&self, cx: &Context<'_>) -> Option<Command> {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.command.take()
    }

    /// A request begins; it ends when the guard is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        self.heard.set(None);
        Busy(self.clone())
    }

    /// Ends what has been silent or slow for too long.
    pub(super) fn check(&self, now: Instant, head: Duration, idle: Duration) {
        if self.stalled.get().is_some_and(|since| now.duration_since(since) > idle) {
            // It would hold its place, and the engine's, for as long as it likes.
            return self.tell(Command::Abort);
        }
        if self.busy.get() > 0 {
            return;
        }
        match self.heard.get() {
            Some(heard) if now.duration_since(heard) > head => self.tell(Command::Abort),
            None if !self.begun.get() && now.duration_since(self.idle_since.get()) > head => {
                self.tell(Command::Abort);
            }
            _ if now.duration_since(self.idle_since.get()) > idle => self.tell(Command::Retire),
            _ => {}
        }
    }

    /// The connection turned out to speak HTTP/2. Told, not guessed from its first bytes: an HTTP/1 method may begin
    /// like the preface, and be dripped.
    pub(super) fn multiplex(&self) {
        self.multiplexed.set(true);
        self.heard.set(None);
    }

    /// A write went on, or has to wait for the client.
    fn wrote<R>(&self, polled: Poll<R>) -> Poll<R> {
        match polled {
            Poll::Ready(_) => self.stalled.set(None),
            Poll::Pending if self.stalled.get().is_none() => self.stalled.set(Some(Instant::now())),
            Poll::Pending => {}
        }
        polled
    }

    fn hear(&self) {
        self.begun.set(true);
        if self.busy.get() == 0 && self.heard.get().is_none() && !self.multiplexed.get() {
            self.heard.set(Some(Instant::now()));
        }
    }
}

/// A request under way on a connection.
#[derive(Debug)]
pub(super) struct Busy(Rc<Watch>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}

/// A stream whose reads are watched.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: T,
    watch: Rc<Watch>,
    /// Read before, and to be read again.
    prefix: Bytes,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, watch: Rc<Watch>) -> Self {
        Self { inner, watch, prefix: Bytes::new() }
    }

    /// Puts bytes back.
    pub(super) fn with_prefix(self, prefix: Bytes) -> Self {
        Self { prefix, ..self }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let length = buf.remaining().min(self.prefix.len());
            buf.put_slice(&self.prefix.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.hear();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn verdict(watch: &Watch) -> Option<Command> {
        watch.check(Instant::now(), HEAD, IDLE);
        watch.told(&Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_cut_and_an_idle_connection_retires() {
        let watch = Watch::new();
        watch.hear();
        assert_eq!(verdict(&watch), None);
        advance(HEAD + Duration::from_secs(1)).await;
        watch.hear();
        assert_eq!(verdict(&watch), Some(Command::Abort));

        let watch = Watch::new();
        watch.hear();
        drop(watch.begin());
        advance(HEAD * 2).await;
        assert_eq!(verdict(&watch), None);
        advance(IDLE).await;
        assert_eq!(verdict(&watch), Some(Command::Retire));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_cut_and_a_busy_one_is_left_alone() {
        let silent = Watch::new();
        let watch = Watch::new();
        watch.hear();
        let busy = watch.begin();
        advance(IDLE * 100).await;
        assert_eq!(verdict(&silent), Some(Command::Abort));
        assert_eq!(verdict(&watch), None);
        drop(busy);
        assert_eq!(verdict(&watch), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_and_a_slow_one_is_not() {
        let watch = Watch::new();
        let _busy = watch.begin();
        let blocked = || watch.wrote(Poll::<()>::Pending);
        assert!(blocked().is_pending());
        advance(IDLE * 3 / 4).await;
        assert!(watch.wrote(Poll::Ready(())).is_ready());
        assert!(blocked().is_pending());
        advance(IDLE * 3 / 4).await;
        assert_eq!(verdict(&watch), None);
        assert!(blocked().is_pending());
        advance(IDLE / 2).await;
        assert_eq!(verdict(&watch), Some(Command::Abort));
    }

    #[tokio::test(start_paused = true)]
    async fn http2_control_frames_are_no_request_head() {
        let watch = Watch::new();
        watch.hear();
        watch.multiplex();
        advance(HEAD * 2).await;
        watch.hear();
        assert_eq!(verdict(&watch), None);
        advance(IDLE).await;
        assert_eq!(verdict(&watch), Some(Command::Retire));
    }
}
