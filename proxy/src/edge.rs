//! The protocol-neutral edge: tower layers around the request path.
//!
//! A request id in, a response whatever happens, the id out. Layers that need `Send` (tower-http's) do not fit a
//! request path that stays on its core; these two are all that is needed.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use prometheus::IntCounter;
use tower::{Service, ServiceBuilder, layer::layer_fn};

use crate::{
    endpoint::Dialect,
    error::{ProxyError, Reason},
    pipeline::{self, ProxyResponse, REQUEST_ID, RelayBody, RequestId},
    worker::Worker,
};

/// The whole service of one core.
pub fn service(
    worker: Rc<Worker>,
) -> impl Service<Request<Incoming>, Response = ProxyResponse, Error = Infallible, Future: Unpin + 'static>
+ Clone
+ 'static {
    let ids = worker.clone();
    let bugs = Rc::new(worker.shared.metrics.bugs());
    ServiceBuilder::new()
        .layer(layer_fn(move |inner| WithRequestId { inner, worker: ids.clone() }))
        .layer(layer_fn(move |inner| CatchPanic { inner, bugs: bugs.clone() }))
        .service(tower::service_fn(move |request| {
            let worker = worker.clone();
            // Boxed: kilobytes of state that would be moved through every layer, and kept by the connection for its
            // life, are so allocated once a request and freed when the response head is there.
            Box::pin(async move { Ok(pipeline::answer(worker, request).await) })
        }))
}

/// Gives every request an id: the client's own, where it is fit for logs, or a new one.
#[derive(Debug, Clone)]
struct WithRequestId<S> {
    inner: S,
    worker: Rc<Worker>,
}

/// Longest id taken from a client, bytes.
const MAX_ID: usize = 128;

impl<S, B> Service<Request<B>> for WithRequestId<S>
where
    S: Service<Request<B>, Response = ProxyResponse, Error = Infallible>,
{
    type Response = ProxyResponse;
    type Error = Infallible;
    type Future = Identified<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let given = request.headers().get(REQUEST_ID).filter(|id| fit(id)).cloned();
        let id = given.unwrap_or_else(|| fresh_id(&mut self.worker.rng.borrow_mut()));
        request.extensions_mut().insert(RequestId(id.clone()));
        Identified { inner: self.inner.call(request), id: Some(id) }
    }
}

fn fit(id: &HeaderValue) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn fresh_id(rng: &mut fastrand::Rng) -> HeaderValue {
    let id = format!("{:032x}", rng.u128(..));
    // Hexadecimal digits are always a header value.
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

pin_project! {
    /// A response that gets its request's id.
    struct Identified<F> {
        #[pin]
        inner: F,
        id: Option<HeaderValue>,
    }
}

impl<F: Future<Output = Result<ProxyResponse, Infallible>>> Future for Identified<F> {
    type Output = Result<ProxyResponse, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        if let Some(id) = this.id.take() {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        Poll::Ready(Ok(response))
    }
}

/// Turns a bug in one request into a 500 for that request.
#[derive(Debug, Clone)]
struct CatchPanic<S> {
    inner: S,
    /// Counts them.
    bugs: Rc<IntCounter>,
}

impl<S, B> Service<Request<B>> for CatchPanic<S>
where
    S: Service<Request<B>, Response = ProxyResponse, Error = Infallible>,
{
    type Response = ProxyResponse;
    type Error = Infallible;
    type Future = Caught<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Caught { inner: self.inner.call(request), bugs: self.bugs.clone() }
    }
}

pin_project! {
    struct Caught<F> {
        #[pin]
        inner: F,
        bugs: Rc<IntCounter>,
    }
}

impl<F: Future<Output = Result<ProxyResponse, Infallible>>> Future for Caught<F> {
    type Output = Result<ProxyResponse, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        // The future is dropped after a panic and never polled again, so nothing sees what it left half done.
        catch_unwind(AssertUnwindSafe(|| inner.poll(cx))).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().copied();
            let what =
                what.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown");
            this.bugs.inc();
            tracing::error!(panic = what, "a request panicked; this is a bug");
            let error =
                ProxyError::new(Reason::Internal, "an internal error; the logs have it under the request id");
            Poll::Ready(Ok(error.to_response(Dialect::OpenAi).map(RelayBody::whole)))
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn respond() -> ProxyResponse {
        Response::new(RelayBody::whole(bytes::Bytes::from_static(b"ok")))
    }

    #[tokio::test]
    async fn a_panic_becomes_a_500() {
        let inner = tower::service_fn(|_: Request<()>| async {
            assert!(std::hint::black_box(false), "a bug");
            Ok(respond())
        });
        let bugs = Rc::new(IntCounter::new("bugs", "Bugs.").unwrap());
        let mut service = CatchPanic { inner, bugs: bugs.clone() };
        let response = service.call(Request::new(())).await.unwrap();
        assert_eq!((response.status().as_u16(), bugs.get()), (500, 1));
    }

    #[test]
    fn ids_fit_for_logs_are_kept_and_others_replaced() {
        for (id, kept) in [("abc-1", true), ("", false), ("a b", false), ("a\u{7f}", false)] {
            let value = HeaderValue::from_bytes(id.as_bytes());
            assert_eq!(value.is_ok_and(|value| fit(&value)), kept, "{id:?}");
        }
        assert!(!fit(&HeaderValue::try_from("x".repeat(129)).unwrap()));
        let mut rng = fastrand::Rng::with_seed(1);
        let (one, other) = (fresh_id(&mut rng), fresh_id(&mut rng));
        assert!(fit(&one) && one != other);
    }
}
