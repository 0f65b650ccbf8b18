//! One current-thread runtime per core: what runs there stays there, and needs no locks.

use hyper::rt::Executor;

/// Runs hyper's own tasks (HTTP/2 streams) on the core that accepted the connection.
#[derive(Debug, Clone, Copy)]
pub struct LocalExecutor;

impl<F: Future + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        // hyper's tasks end with their connection, which is tracked.
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
