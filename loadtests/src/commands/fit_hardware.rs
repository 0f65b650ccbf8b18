//! `gearshift-loadtest fit-hardware`.

use gearshift_loadtests::{
    Error,
    fit::{self, FitOptions},
};

use super::print;

/// Fits the factors and prints what the fit found.
pub(super) fn run(options: &FitOptions) -> Result<(), Error> {
    print(&fit::run(options)?)
}
