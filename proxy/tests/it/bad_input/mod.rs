//! Bad input, all of it in one place, and what becomes of it.
//!
//! | what | what becomes of it | where |
//! | --- | --- | --- |
//! | truncated, empty, several or no JSON objects; invalid UTF-8 where routing looks; a routed key twice; `model` of a wrong type | 400 | [`bodies`] |
//! | unknown fields, deep nesting, invalid UTF-8 and wrong types where routing does not look | passed on byte for byte | [`bodies`] |
//! | unknown model | 404 | [`bodies`] |
//! | wrong or compressed content, a broken form | 415, 400 | [`bodies`] |
//! | 50 MB, announced or not | 413, before it is held | [`bodies`] |
//! | 100,000 headers, one huge header, a huge target | 431, 414 | [`heads`] |
//! | conflicting lengths, malformed chunks, obsolete folding, control characters | 400 | [`heads`] |
//! | `Transfer-Encoding` beside `Content-Length`, chunk extensions, trailers | read as RFC 9112 says, framed anew | [`heads`] |
//! | HTTP/1.0, absolute targets, pipelining | served | [`heads`] |
//! | strange methods and paths | 404 or 405, never forwarded | [`paths`] |
//! | a head that drips or never comes | cut | [`slow`] |
//! | a body that drips or stops | 408 | [`slow`] |
//!
//! After each of them the engine has seen nothing it should not, the proxy serves on, and nothing is left in flight.

mod bodies;
mod heads;
mod paths;
mod slow;

use http::Request;

use crate::common::{Answer, Body, CHAT, COMPLETION, Engine, Gearshift, QUESTION, Yaml};

/// An engine, and the binary before it.
struct Ground {
    engine: Engine,
    proxy: Gearshift,
}

impl Ground {
    async fn new() -> Self {
        Self::with(|yaml| yaml).await
    }

    async fn with(change: impl FnOnce(Yaml) -> Yaml) -> Self {
        let engine = Engine::start().await;
        let proxy = Gearshift::start(change(Yaml::of(&[&engine]))).await;
        Self { engine, proxy }
    }

    /// Sends a request that the proxy must answer itself.
    async fn refused(&mut self, case: &str, request: Request<Body>) -> Answer {
        tokio::select! {
            answer = self.proxy.send(request) => answer,
            exchange = self.engine.next() => panic!("{case} reached the engine: {exchange:?}"),
        }
    }

    /// Checks that nothing has reached the engine.
    #[track_caller]
    fn untouched(&mut self, case: &str) {
        let reached = self.engine.already();
        assert!(reached.is_none(), "{case} reached the engine: {reached:?}");
    }

    /// Checks that nothing more has reached the engine, that the proxy serves, and that nothing is left over.
    async fn unharmed(mut self) {
        self.untouched("something");
        let (answer, ()) = tokio::join!(self.proxy.post(CHAT, QUESTION), async {
            self.engine.next().await.json(200, COMPLETION);
        });
        assert_eq!((answer.status.as_u16(), answer.text()), (200, COMPLETION));
        self.proxy.at_rest().await;
    }
}
