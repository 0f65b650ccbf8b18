//! Gearshift's performance database: what one row is, and how rows are written.
//!
//! A row ([`Observation`]) says what one workload did on one model, hardware and profile at one load. Rows are Parquet
//! files in a directory or a bucket: any engine reads them. Each row stands alone: it carries the numbers of its model
//! and hardware, so that rows about hardware no catalog knows can be learned from as well.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), gearshift_perfdb::Error> {
//! let store = gearshift_perfdb::open("memory:///")?; // a directory, or a bucket's URL
//! let mut writer = gearshift_perfdb::Writer::new(store, "replica-1")?;
//! let rows = [gearshift_perfdb::Observation::default()];
//! let file = gearshift_perfdb::to_parquet(&rows)?; // one row group
//! writer.put(file, 1_780_000_000_000).await?; // the time comes from the caller
//! # Ok(())
//! # }
//! ```
//!
//! The files are tables of flat columns, named with their units ([`columns`]; `perfdb/README.md` lists them). What is not
//! known is NULL. With DuckDB:
//!
//! ```sql
//! SELECT hardware, hardware_count, action,
//!        median(ttft_s) AS ttft_s, median(tpot_s) AS tpot_s,
//!        median(hardware_count * hardware_price_usd_per_hour / 3.6 / output_tokens_per_s) AS usd_per_1000_tokens
//! FROM 'perfdb/data/*.parquet'
//! WHERE source = 'measured' AND model = 'deepseek-v3' AND prompt_tokens = 8192 AND concurrency = 64
//! GROUP BY ALL ORDER BY tpot_s;
//! ```
//!
//! The schema's version stands in each file's key-value metadata ([`SCHEMA_KEY`]). A new column that needs no value leaves it as it is:
//! older files are read as if it were NULL there. Reading is offline work, and lives in `selector/training`.

mod cell;
mod columns;
mod decided;
mod encode;
mod error;
#[cfg(test)]
mod example;
mod live;
mod names;
mod observation;
mod row;
mod store;
mod writer;

pub use cell::{Cell, Kind};
pub use columns::{Column, columns};
pub use encode::{SCHEMA_KEY, SCHEMA_VERSION, schema, to_batch, to_parquet};
pub use error::Error;
pub use live::{Candidates, Ended, Live, Prediction};
pub use names::Named;
pub use observation::{Facts, Grain, Load, Observation, Outcome, Source, Workload};
pub use row::{BadCell, Cells};
pub use store::open;
pub use writer::Writer;

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    /// README.md has the table of columns, word for word.
    #[test]
    fn the_readme_lists_every_column() {
        let mut table = String::from("| column | type | | meaning |\n| --- | --- | --- | --- |\n");
        for column in super::columns() {
            let nullable = if column.required { "" } else { "nullable" };
            writeln!(
                table,
                "| `{}` | {} | {nullable} | {} |",
                column.name,
                column.kind.sql(),
                column.meaning
            )
            .unwrap();
        }
        let readme = include_str!("../README.md");
        assert!(readme.contains(&table), "perfdb/README.md lacks this table:\n{table}");
    }
}
