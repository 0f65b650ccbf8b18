//! `gearshift-loadtest sweep`: rows of the performance database from simulated engines.

use gearshift_loadtests::{
    Error,
    sweep::{self, SweepOptions},
};

/// Runs the sweep.
pub(crate) async fn run(options: SweepOptions) -> Result<(), Error> {
    // On a thread of its own, and not waited for: signals end the process at once.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("sweep".into()).spawn(move || sender.send(sweep::run(&options)))?;
    let text = receiver.await.map_err(|_| Error::Failed("the sweep did not end".into()))??;
    super::print(&text)
}
