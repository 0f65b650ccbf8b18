//! `gearshift-train inputs`.

use std::{fs::File, io::BufWriter, path::PathBuf};

use gearshift_perfdb::Source;
use gearshift_selector::PriorFactors;
use gearshift_training::{
    Error,
    bundle::Vectors,
    dataset::{Dataset, Protocol, read},
    prepare::prepare,
    table,
};

use super::Output;

/// Writes rows as a table of what a learner is given and should say, to train one with other tools.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the performance database's Parquet files, or one of them.
    #[arg(long, default_value = "perfdb/data")]
    data: PathBuf,
    /// Simulated rows instead of measured ones.
    #[arg(long)]
    simulated: bool,
    /// The table, CSV.
    #[arg(long)]
    out: PathBuf,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Runs it; what came of it. The prior is the shipped one: a bundle made of these rows needs no `prior` in its manifest.
pub(crate) fn run(args: &Args) -> Result<String, Error> {
    let (sources, protocol) = if args.simulated {
        ([Source::Simulated, Source::SimulatedKernel], Protocol::Clean)
    } else {
        ([Source::Measured, Source::Live], Protocol::Era)
    };
    let dataset = Dataset::new(read(&args.data, &sources)?, protocol);
    let rows = prepare(&dataset, &PriorFactors::default(), &Vectors::default());
    if rows.is_empty() {
        return Err(Error::Failed(format!("{}: no such rows", args.data.display())));
    }
    let file = File::create(&args.out).map_err(Error::file(&args.out))?;
    table::write(&rows, BufWriter::new(file))?;
    if args.output == Output::Json {
        let made = serde_json::json!({"file": args.out, "rows": rows.len(), "contexts": rows.contexts()});
        return super::json(&made);
    }
    Ok(format!("{}: {} rows of {} contexts", args.out.display(), rows.len(), rows.contexts()))
}
