//! Rows as a table of what a learner is given and what it should say, for whoever trains with other tools.

use std::io::Write;

use gearshift_selector::{
    OUTPUTS,
    inputs::{HARDWARE, MODEL, PROFILE, QUERY_WIDTH, query_names},
};

use crate::{
    Error,
    fit::{Prepared, TARGETS},
};

/// Writes CSV: `context` (rows with equal numbers are candidates of one decision), the inputs by name in the order of an
/// unsplit graph's `features`, the outputs but for `spread` by name, empty where they are not known.
///
/// # Errors
/// Where it cannot be written.
pub fn write(rows: &Prepared, into: impl Write) -> Result<(), Error> {
    let failed = |error: csv::Error| Error::Failed(format!("the table cannot be written: {error}"));
    let mut table = csv::Writer::from_writer(into);
    let statics = MODEL.iter().chain(&HARDWARE).chain(&PROFILE).map(|&name| name.to_owned());
    let outputs = OUTPUTS[..TARGETS].iter().map(|&name| name.to_owned());
    let header = std::iter::once("context".to_owned()).chain(statics).chain(query_names()).chain(outputs);
    table.write_record(header).map_err(failed)?;
    for (context, bounds) in rows.offsets.windows(2).enumerate() {
        for row in bounds[0]..bounds[1] {
            let inputs = [
                part(&rows.model, MODEL.len(), row),
                part(&rows.hardware, HARDWARE.len(), row),
                part(&rows.profile, PROFILE.len(), row),
                part(&rows.query, QUERY_WIDTH, row),
            ];
            let outputs = part(&rows.targets, TARGETS, row).iter().zip(part(&rows.masks, TARGETS, row));
            let known = |(value, mask): (&f32, &f32)| (*mask > 0.0).then_some(*value);
            let cells = inputs.into_iter().flatten().copied().map(Some).chain(outputs.map(known));
            let cells = cells.map(|value| value.map_or_else(String::new, |value| value.to_string()));
            table.write_record(std::iter::once(context.to_string()).chain(cells)).map_err(failed)?;
        }
    }
    table.flush().map_err(|error| failed(error.into()))
}

fn part(values: &[f32], width: usize, row: usize) -> &[f32] {
    &values[row * width..][..width]
}

#[cfg(test)]
mod tests {
    use gearshift_selector::PriorFactors;

    use super::*;
    use crate::{
        bundle::Vectors,
        dataset::{Dataset, Protocol, tests::row},
        prepare::prepare,
    };

    #[test]
    fn a_line_has_what_training_takes() {
        let samples = ["a", "b"].map(|context| row(context, "x")).into_iter().chain([row("b", "y")]);
        let dataset = Dataset::new(samples.collect(), Protocol::Clean);
        let rows = prepare(&dataset, &PriorFactors::default(), &Vectors::default());
        let mut written = Vec::new();
        write(&rows, &mut written).unwrap();
        let mut table = csv::Reader::from_reader(&written[..]);
        let header = table.headers().unwrap().clone();
        assert_eq!((&header[0], &header[1]), ("context", MODEL[0]));
        let width = MODEL.len() + HARDWARE.len() + PROFILE.len() + QUERY_WIDTH;
        assert_eq!(header.iter().skip(1 + width).collect::<Vec<_>>(), OUTPUTS[..TARGETS]);
        let lines: Vec<_> = table.records().map(|line| line.unwrap()).collect();
        let contexts: Vec<_> = lines.iter().map(|line| &line[0]).collect();
        let per_context: Vec<_> = rows.offsets.windows(2).map(|bounds| bounds[1] - bounds[0]).collect();
        assert_eq!(contexts.len(), rows.len());
        for (context, count) in per_context.iter().enumerate() {
            assert_eq!(contexts.iter().filter(|name| **name == context.to_string()).count(), *count);
        }
        for (at, line) in lines.iter().enumerate() {
            assert_eq!(line[1].parse(), Ok(rows.model[at * MODEL.len()]));
            assert_eq!(line[width].parse(), Ok(rows.query[(at + 1) * QUERY_WIDTH - 1]));
            for output in 0..TARGETS {
                let (value, known) = (rows.targets[at * TARGETS + output], rows.masks[at * TARGETS + output]);
                let cell = &line[1 + width + output];
                assert_eq!(cell.parse().ok(), (known > 0.0).then_some(value), "{cell}");
            }
        }
    }
}
