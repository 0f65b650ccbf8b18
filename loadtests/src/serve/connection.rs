//! A connection that can be cut like a dying machine cuts it: by a reset, not in order.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How a connection ends; shared by the connection and those who decide.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    own: Rc<Cell<bool>>,
    /// The process died, and all connections with it.
    crashed: Rc<Cell<bool>>,
}

impl Fate {
    /// A connection that ends in order unless the process crashed.
    pub(super) fn new(crashed: Rc<Cell<bool>>) -> Self {
        Self { own: Rc::default(), crashed }
    }

    /// The connection will end with a reset.
    pub(super) fn reset(&self) {
        self.own.set(true);
    }

    fn is_reset(&self) -> bool {
        self.own.get() || self.crashed.get()
    }
}

/// A TCP stream that is reset when dropped, if that is its fate.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    fate: Fate,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, fate: Fate) -> Self {
        Self { stream, fate }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.fate.is_reset() {
            // Without lingering, closing discards what is unsent and resets. Where the system refuses, it closes in
            // order, and the client still misses its answer.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fate.is_reset() {
            return Poll::Ready(Ok(())); // an orderly end would come before the reset
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
