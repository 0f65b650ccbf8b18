//! Everything that goes wrong on either side while a request is under way.

mod counted;
mod cut;
mod disconnect;
mod isolation;
mod limits;
mod retry;

use crate::common::{CHAT, Engine, Exchange, Gearshift, QUESTION, Yaml};

/// Two engines that serve the same model, and the binary before them.
struct Pair {
    a: Engine,
    b: Engine,
    proxy: Gearshift,
}

/// One of a [`Pair`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::A => "backend=\"a\"",
            Self::B => "backend=\"b\"",
        }
    }
}

impl Pair {
    async fn new() -> Self {
        Self::with(|yaml| yaml).await
    }

    async fn with(change: impl FnOnce(Yaml) -> Yaml) -> Self {
        let (a, b) = (Engine::start().await, Engine::start().await);
        let proxy = Gearshift::start(change(Yaml::of(&[&a, &b]))).await;
        proxy.fleet_ready().await;
        Self { a, b, proxy }
    }

    fn engine(&mut self, side: Side) -> &mut Engine {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// The next request at either engine.
    async fn next(&mut self) -> (Side, Exchange) {
        tokio::select! {
            exchange = self.a.next() => (Side::A, exchange),
            exchange = self.b.next() => (Side::B, exchange),
        }
    }

    /// Keeps one engine busy with a request, so that the next goes to the other, the idle one.
    async fn occupy(&mut self) -> Occupied {
        let mut client = crate::common::Client::http1(self.proxy.address).await;
        let request = crate::common::beside(async move {
            // It ends with the test.
            let _ = client.try_send(crate::common::post(CHAT, QUESTION)).await;
        });
        let (busy, exchange) = self.next().await;
        Occupied { busy, idle: busy.other(), exchange, request }
    }
}

/// A request that is held at one engine.
struct Occupied {
    busy: Side,
    idle: Side,
    exchange: Exchange,
    request: tokio::task::JoinHandle<()>,
}

impl Occupied {
    /// Lets the held request go.
    async fn release(self) {
        self.exchange.json(200, "{}");
        self.request.await.unwrap();
    }
}
