//! A backend's response body, with the connection it comes over.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{http1::Http1, pool::Pool};

/// The body. Read to its end, the connection goes back to its pool; dropped before, the connection closes
/// (HTTP/1.1) or the stream is reset (HTTP/2), and the engine stops working on it.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    connection: Box<Http1>,
    pool: Rc<Pool>,
}

impl UpstreamBody {
    /// A body over a leased HTTP/1.1 connection.
    pub fn leased(incoming: Incoming, connection: Box<Http1>, pool: Rc<Pool>) -> Self {
        let mut body = Self { incoming, lease: Some(Lease { connection, pool }) };
        body.release_at_end();
        body
    }

    /// A body over a multiplexed connection.
    pub fn multiplexed(incoming: Incoming) -> Self {
        Self { incoming, lease: None }
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(Lease { connection, pool }) = self.lease.take() {
            pool.give_back(connection);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let mut polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(lease) = &mut this.lease
        {
            lease.connection.drive(cx);
            polled = Pin::new(&mut this.incoming).poll_frame(cx);
        }
        match &polled {
            Poll::Ready(Some(Ok(_))) => this.release_at_end(),
            Poll::Ready(None) => this.release(),
            Poll::Ready(Some(Err(_))) => this.lease = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
