//! `gearshift-loadtest collect`: profiles and workloads on a real engine.

use gearshift_loadtests::{
    Error,
    collect::{self, CollectOptions},
};

use super::print;

/// Measures, and prints the report's summary.
pub(super) async fn run(options: &CollectOptions) -> Result<(), Error> {
    print(&collect::run(options).await?)
}
