//! Golden rows: what the network said where it was trained, for whoever loads it to compare.

use gearshift_selector::{
    Correction,
    inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH},
};
use serde::Serialize;

use crate::{
    Error,
    fit::{Fitted, Prepared, TARGETS},
};

/// How many; 32 are the fewest that are taken.
const ROWS: usize = 48;

/// `golden.json`.
#[derive(Debug, Serialize)]
pub(super) struct Golden<'a> {
    rows: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    model: &'a [f32],
    hardware: &'a [f32],
    profile: &'a [f32],
    model_text: &'a str,
    hardware_text: &'a str,
    workload_text: &'a str,
    query: &'a [f32],
    prediction: [f32; TARGETS + 1],
}

impl<'a> Golden<'a> {
    /// Rows evenly spread over those trained on.
    pub(super) fn new(fitted: &Fitted, rows: &'a Prepared) -> Result<Self, Error> {
        if rows.len() < ROWS {
            return Err(Error::Failed(format!("{} rows; a bundle needs {ROWS}", rows.len())));
        }
        let predictions = fitted.predict(rows)?;
        let texts = &rows.texts;
        let name = |number: u32| texts.names.get(number as usize).map_or("", String::as_str);
        let row = |at: usize| Row {
            model: part(&rows.model, MODEL.len(), at),
            hardware: part(&rows.hardware, HARDWARE.len(), at),
            profile: part(&rows.profile, PROFILE.len(), at),
            model_text: name(texts.model[at]),
            hardware_text: name(texts.hardware[at]),
            workload_text: name(texts.workload[at]),
            query: part(&rows.query, QUERY_WIDTH, at),
            prediction: flat(&predictions[at]),
        };
        Ok(Self { rows: (0..ROWS).map(|at| row(at * rows.len() / ROWS)).collect() })
    }
}

fn part(values: &[f32], width: usize, row: usize) -> &[f32] {
    &values[row * width..][..width]
}

/// In the order of [`gearshift_selector::OUTPUTS`].
pub(super) fn flat(said: &Correction) -> [f32; TARGETS + 1] {
    let Correction { relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread } = *said;
    [relative, ttft, tpot, ttft_p90, tpot_p90, saturation, spread]
}
