//! Metric families of the operators' listener.

use prometheus::{IntCounter, IntGauge, Registry};

use super::family::register;

/// The families.
#[derive(Debug, Clone)]
pub struct OperatorMetrics {
    /// Open connections.
    pub connections: IntGauge,
    /// Those that were too many.
    pub refused: IntCounter,
}

impl OperatorMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            connections: register(
                registry,
                IntGauge::new("gearshift_admin_connections", "Open connections of operators, 256 at most.")?,
            )?,
            refused: register(
                registry,
                IntCounter::new(
                    "gearshift_admin_connections_refused_total",
                    "Connections of operators that were sent away with 503 or closed, because as many were open as may be and none had been silent for long.",
                )?,
            )?,
        })
    }
}
