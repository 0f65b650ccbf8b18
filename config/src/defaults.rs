//! What a file that says nothing means.

use std::time::Duration;

use crate::{Fleet, Learner, Limits, Retries, Timeouts};

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
