//! Bundles of the meta-learner come and go while requests are served. These need ONNX Runtime: without ORT_DYLIB_PATH they
//! say that they are skipped.

mod advise;
mod cli;
mod contract;
mod drop_in;
mod failing;
mod make;
mod onnx;
mod operators;
mod refused;
mod texts;

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::common::{
    Answer, CHAT, COMPLETION, Client, Engine, Gearshift, QUESTION, STREAMED, Yaml, beside, request, within,
};

const EVENTS: [&str; 2] = ["data: {}\n\n", "data: [DONE]\n\n"];

/// ONNX Runtime's library, or a word on why nothing is tested.
fn onnxruntime() -> Option<PathBuf> {
    let path = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: bundles; set ORT_DYLIB_PATH to libonnxruntime.so to run it");
    }
    path
}

/// A proxy before two engines whose numbers are known, and a folder for bundles.
struct Stage {
    proxy: Gearshift,
    folder: tempfile::TempDir,
    engines: Vec<JoinHandle<()>>,
}

impl Stage {
    /// With this section `learner`; `None` where there is no ONNX Runtime.
    async fn set(learner: &str) -> Option<Self> {
        Self::set_in(tempfile::tempdir().unwrap(), learner, "").await
    }

    /// With a folder that is there already, and more of a configuration.
    async fn set_in(folder: tempfile::TempDir, learner: &str, more: &str) -> Option<Self> {
        let library = onnxruntime()?;
        let (a, b) = (Engine::start().await, Engine::start().await);
        let yaml = yaml(&[&a, &b], &library, &folder.path().join("models"), learner).with(more);
        let proxy = Gearshift::start(yaml).await;
        Some(Self { proxy, folder, engines: [a, b].map(|engine| beside(answer(engine))).into() })
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    async fn bundles(&self) -> Value {
        self.proxy.operate("/bundles").await.json()
    }

    async fn active(&self) -> Value {
        self.bundles().await["active"]["id"].clone()
    }

    /// Waits until this one decides.
    async fn decides(&self, name: &str) {
        let told = format!("{name} to decide");
        within(&told, async { while self.active().await != name {} }).await;
    }

    /// Waits until a bundle stands like this, and gives the reason.
    async fn stands(&self, name: &str, status: &str) -> String {
        let told = format!("{name} to be {status}");
        let stood = async {
            loop {
                let bundles = self.bundles().await;
                let listed =
                    bundles["bundles"].as_array().unwrap().iter().find(|one| one["id"] == name).cloned();
                if let Some(listed) = listed.filter(|listed| listed["status"] == status) {
                    return listed["reason"].as_str().unwrap_or_default().to_owned();
                }
            }
        };
        within(&told, stood).await
    }

    /// Asks a question and gives the reason why the bundle had no say; `none` where it had.
    async fn ask(&self) -> String {
        self.ask_this(QUESTION).await
    }

    /// As [`Self::ask`], this question.
    async fn ask_this(&self, question: &str) -> String {
        let reasons = async || {
            let scrape = self.proxy.scrape().await;
            [
                "none",
                "no_bundle",
                "over_budget",
                "low_confidence",
                "no_say",
                "learner_failed",
                "unknown_facts",
                "none_ready",
            ]
            .map(|reason| {
                (reason, scrape.sum("gearshift_decisions_total", &[&format!("fallback=\"{reason}\"")]))
            })
        };
        let before = reasons().await;
        let answer = self.proxy.post(CHAT, question.to_owned()).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, answer_to(question)));
        let after = reasons().await;
        let grown = before.iter().zip(&after).find(|(before, after)| after.1 > before.1);
        grown.map(|(reason, _)| reason.0.to_owned()).unwrap()
    }

    async fn count(&self, family: &str, labels: &[&str]) -> f64 {
        self.proxy.scrape().await.sum(family, labels)
    }

    /// An operator's wish.
    async fn wish(&self, path: &str) -> Answer {
        Client::http1(self.proxy.admin).await.ask(request(Method::POST, path, "")).await
    }

    /// Ends the proxy, and gives what outlives it.
    async fn end(mut self) -> tempfile::TempDir {
        self.engines.iter().for_each(JoinHandle::abort);
        self.proxy.signal(rustix::process::Signal::TERM);
        self.proxy.ended().await;
        self.folder
    }
}

/// A question of `words` words.
fn long(words: usize) -> String {
    QUESTION.replace("hi", "word ".repeat(words).trim())
}

/// What engines answer. Of long questions they do not count the tokens, or would teach what is wrong.
fn answer_to(question: &str) -> &'static str {
    if question.len() > 1000 { r#"{"object":"chat.completion","choices":[]}"# } else { COMPLETION }
}

fn yaml(engines: &[&Engine], library: &Path, models: &Path, learner: &str) -> Yaml {
    const MODEL: &str = "{numbers: {parameters_b: 1, layers: 16, hidden: 2048, heads: 32, context: 4096}}";
    const CARD: &str = "{vendor: test, architecture: test, description: A card., source: this test, bf16_tflops: 100, \
        memory_gb_per_s: 1000, memory_gib: 80, interconnect_gb_per_s: 50, price_usd_per_hour: 1, tdp_w: 300, idle_w: 50}";
    let entry = |(engine, name): (&&Engine, char)| {
        format!("{{name: {name}, url: \"http://{}\", model: stub, hardware: card}}", engine.address)
    };
    let yaml = engines.iter().zip('a'..).fold(Yaml::new(), |yaml, one| yaml.entry(&entry(one)));
    yaml.model(MODEL)
        .with(&format!("hardware: {{card: {CARD}}}"))
        .with(&format!("learner: {learner}"))
        .with(&format!("paths: {{models: \"{}\", onnxruntime: \"{}\"}}", models.display(), library.display()))
}

/// An engine that answers whatever comes.
async fn answer(mut engine: Engine) {
    loop {
        let exchange = engine.next_whenever().await;
        if exchange.text() == STREAMED {
            beside(exchange.events().finish(&EVENTS));
        } else {
            let answer = answer_to(exchange.text());
            exchange.json(200, answer);
        }
    }
}

/// Time enough for any machine; what takes long is not what most tests are about.
const PATIENT: &str = "{budget: 50ms}";
