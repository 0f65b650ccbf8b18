//! `gearshift-loadtest validate`: the simulated engine against real ones.

use gearshift_loadtests::{
    Error,
    validate::{self, ValidateOptions},
};

use super::print;

/// Compares, and prints the report's table.
pub(super) async fn run(options: &ValidateOptions) -> Result<(), Error> {
    print(&validate::run(options).await?)
}
