//! What a file that says nothing means.

use std::{path::PathBuf, time::Duration};

use crate::{Controller, ControllerMode, Fleet, Learner, Limits, Observations, Retries, Timeouts};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_buffered_bytes: 2 << 30,
            max_header_bytes: 64 << 10,
            max_headers: 100,
            max_in_flight: 16_384,
            max_connections: 16_384,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: seconds(10),
            body_idle: seconds(30),
            body: seconds(120),
            connect: seconds(3),
            response_head: seconds(600),
            response_idle: seconds(300),
            pool_idle: seconds(4),
            client_idle: seconds(300),
            drain: seconds(120),
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 2, budget: 0.2 }
    }
}

impl Default for Learner {
    fn default() -> Self {
        Self { enabled: true, budget: Duration::from_micros(100), shadow_requests: 0 }
    }
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            mode: ControllerMode::Advisory,
            every: seconds(60),
            min_gain: 0.03,
            min_dwell: seconds(15 * 60),
            payback: seconds(60 * 60),
            max_unavailable: 1,
            drain: seconds(10 * 60),
            slow_start: seconds(30),
            warm_up_requests: 2,
            state: PathBuf::from("controller-state.json"),
        }
    }
}

impl Observations {
    /// [`Observations::explore`] where rows are kept and the file says nothing.
    pub const EXPLORE: f64 = 0.01;
}

impl Default for Observations {
    fn default() -> Self {
        Self {
            url: None,
            sample: 1.0,
            flush_every: seconds(60),
            flush_rows: 5_000,
            max_pending: 20_000,
            explore: 0.0,
            explore_max_loss: 0.2,
            half_life: seconds(300),
        }
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            health_interval: seconds(2),
            health_timeout: seconds(5),
            unhealthy_after: 3,
            scrape_interval: seconds(1),
            hang_after: seconds(60),
            detect_interval: seconds(30),
        }
    }
}
