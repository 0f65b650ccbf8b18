//! Reports: statistics, tables and plots, and the files they go to.
//!
//! ```
//! use gearshift_loadtests::report::{Axis, Chart, Column, Document, ReportFiles, Table, duration, median};
//!
//! let ttft = [0.21, 0.25, 0.24, 0.90];
//! let mut table = Table::new([Column::text("policy"), Column::number("TTFT p50")]);
//! table.row(["gearshift".to_owned(), duration(median(&ttft))]);
//! let plot = Chart::new("Time to first token", Axis::log("TTFT (s)"), Axis::share("requests within"))
//!     .distribution("gearshift", &ttft)
//!     .svg();
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! let files = ReportFiles::create(folder, "route")?;
//! files.svg("ttft", plot)?;
//! files.json(&serde_json::json!({ "ttft_s": ttft }))?;
//! files.markdown(Document::new("Routing").table(&table).image("TTFT", &files.svg_name("ttft")))?;
//! # Ok::<(), gearshift_loadtests::Error>(())
//! ```

mod files;
mod latencies;
mod number;
mod plot;
mod spread;
mod statistics;
mod table;

pub use files::{Document, ReportFiles, json};
pub use latencies::Latencies;
pub use number::{duration, number, significant};
pub use plot::{Axis, Bar, Bars, Chart};
pub use spread::Spread;
pub use statistics::{Interval, Summary, bootstrap, mean, median, quantile, quantile_sorted};
pub use table::{Column, Table};
