//! Spans on their way to a collector.

use std::{cell::Cell, collections::HashMap, io, pin::pin};

use gearshift_config::Tracing;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Inboxes, LAST, TICK, Wall, spans::spans};
use crate::metrics::Told;

/// Spans of one request to the collector.
const BATCH: usize = 512;
/// Spans that wait at most: about 10 MB. Ten seconds at 800 requests a second.
const PENDING: usize = 16_384;
/// A batch that is not full is sent after this time.
const DELAY: std::time::Duration = std::time::Duration::from_secs(1);

/// Makes spans of records and sends them, a batch at a time. A thread has it to itself.
pub(super) struct Exporter {
    otlp: Otlp,
    scope: InstrumentationScope,
    told: Told,
    /// So that an outage is logged once.
    failing: Cell<bool>,
}

impl Exporter {
    pub(super) fn new(settings: &Tracing, told: Told) -> io::Result<Self> {
        // The HTTP client takes the process's; another one that is there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(settings.timeout)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(io::Error::other)?;
        let headers: HashMap<_, _> =
            settings.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        let mut otlp = Otlp::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(settings.endpoint.to_string())
            .with_timeout(settings.timeout)
            .with_headers(headers)
            .build()
            .map_err(io::Error::other)?;
        otlp.set_resource(&resource(settings));
        let scope =
            InstrumentationScope::builder("gearshift").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { otlp, scope, told, failing: Cell::new(false) })
    }

    /// Runs until `stop`; then sends what is left, for a time.
    pub(super) async fn run(self, inboxes: Inboxes, stop: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Waiting::default();
        while !stop.is_cancelled() {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => {}
            }
            self.take_in(&inboxes, &mut waiting);
            let Some(batch) = waiting.due() else { continue };
            let count = batch.len();
            // While the collector takes its time, what comes is taken in.
            let mut sending = pin!(self.send(batch));
            let sent = loop {
                tokio::select! {
                    () = &mut sending => break true,
                    () = stop.cancelled() => break timeout(LAST, &mut sending).await.is_ok(),
                    _ = tick.tick() => self.take_in(&inboxes, &mut waiting),
                }
            };
            if !sent {
                return self.give_up(count, &inboxes, waiting);
            }
        }
        self.take_in(&inboxes, &mut waiting);
        let end = Instant::now() + LAST;
        while let Some(batch) = waiting.any() {
            let count = batch.len();
            if timeout_at(end, self.send(batch)).await.is_err() {
                return self.give_up(count, &inboxes, waiting);
            }
        }
    }

    /// Time is up: so many are under way, and others wait.
    fn give_up(&self, under_way: usize, inboxes: &Inboxes, mut waiting: Waiting) {
        self.take_in(inboxes, &mut waiting);
        self.told.failed(under_way + waiting.spans.len());
    }

    fn take_in(&self, inboxes: &Inboxes, waiting: &mut Waiting) {
        let wall = Wall::read();
        for record in inboxes.take() {
            let made = spans(&record, wall, &self.scope);
            if waiting.spans.len() + made.len() > PENDING {
                self.told.overflowed(made.len());
            } else {
                waiting.since.get_or_insert_with(Instant::now);
                waiting.spans.extend(made);
            }
        }
    }

    async fn send(&self, batch: Vec<SpanData>) {
        let count = batch.len();
        match self.otlp.export(batch).await {
            Ok(()) => {
                self.told.told(count);
                if self.failing.take() {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(error) => {
                self.told.failed(count);
                if !self.failing.replace(true) {
                    tracing::warn!(%error, "the collector does not take spans; they are dropped");
                }
            }
        }
    }
}

/// Spans that wait for the collector.
#[derive(Default)]
struct Waiting {
    spans: Vec<SpanData>,
    /// When the oldest came in.
    since: Option<Instant>,
}

impl Waiting {
    /// A batch that is full or has waited long enough.
    fn due(&mut self) -> Option<Vec<SpanData>> {
        let old = self.since.is_some_and(|since| since.elapsed() >= DELAY);
        if old || self.spans.len() >= BATCH { self.any() } else { None }
    }

    /// The oldest spans, as many as a batch has.
    fn any(&mut self) -> Option<Vec<SpanData>> {
        let count = self.spans.len().min(BATCH);
        let batch: Vec<_> = self.spans.drain(..count).collect();
        self.since = (!self.spans.is_empty()).then(Instant::now);
        (!batch.is_empty()).then_some(batch)
    }
}

/// Who sends them.
fn resource(settings: &Tracing) -> Resource {
    let stated = settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_service_name(settings.service_name.clone())
        .with_attributes(stated)
        .build()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::Relaxed},
        },
        time::Duration,
    };

    use gearshift_config::BackendUrl;
    use prometheus::Registry;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::sleep,
    };
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::{
        metrics::Metrics,
        telemetry::{Outlets, Record, queues},
    };

    /// Tells of so many requests to a collector that answers each batch so, or never; they end two seconds after. Says how many were told, had
    /// no room and failed, and how long the end took.
    async fn tell(requests: usize, answer: Option<&'static str>) -> ([u64; 3], Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tasks = TaskTracker::new();
        let connections = tasks.clone();
        let answered = Arc::new(AtomicBool::new(false));
        let answers = answered.clone();
        let collector = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answers = answers.clone();
                connections.spawn(async move {
                    let mut buffer = [0; 1 << 16];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        if let Some(answer) = answer {
                            stream.write_all(answer.as_bytes()).await.unwrap();
                            answers.store(true, Relaxed);
                        }
                    }
                });
            }
        };
        let collector = tasks.spawn(collector);
        let endpoint = BackendUrl { tls: false, host: "127.0.0.1".into(), port, path: "/v1/traces".into() };
        let settings = Tracing {
            endpoint,
            sample: 1.0,
            headers: Vec::new(),
            service_name: "g".into(),
            resource: Vec::new(),
            timeout: Duration::from_secs(60),
        };
        let told = Metrics::new(&Registry::new()).unwrap().telemetry.spans;
        let exporter = Exporter::new(&settings, told.clone()).unwrap();
        let mut outlets = [Outlets::default()];
        let inboxes = queues(&mut outlets, &told, |outlets| &mut outlets.spans);
        let outlet = outlets[0].spans.as_ref().unwrap();
        (0..requests).for_each(|_| outlet.put(Arc::new(Record::bare())));
        let stop = CancellationToken::new();
        let ending = async {
            sleep(2 * DELAY).await;
            assert_eq!(answered.load(Relaxed), answer.is_some());
            // One that came last.
            outlet.put(Arc::new(Record::bare()));
            stop.cancel();
            Instant::now()
        };
        let ((), began) = tokio::join!(exporter.run(inboxes, stop.clone()), ending);
        collector.abort();
        (told.counts(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_hangs_is_waited_for_a_while_and_all_it_did_not_take_is_counted() {
        let (counts, took) = tell(2 * BATCH, None).await;
        assert_eq!(counts, [0, 0, 2 * BATCH as u64 + 1]);
        assert!(took <= 2 * LAST, "{took:?}");
    }

    /// Its client waits before it tries again; not with the thread, so that the end is not held up for longer.
    #[tokio::test(start_paused = true)]
    async fn a_collector_that_wants_to_be_asked_later_holds_nothing_up() {
        #[expect(clippy::disallowed_methods, reason = "paused time does not pass while a thread sleeps")]
        let began = std::time::Instant::now();
        let later = "HTTP/1.1 503 Busy\r\nretry-after: 20\r\ncontent-length: 0\r\n\r\n";
        let (counts, took) = tell(3, Some(later)).await;
        assert_eq!(counts, [0, 0, 4]);
        assert!(took <= 2 * LAST, "{took:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "the thread slept");
    }
}
