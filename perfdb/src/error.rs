//! Why rows were not written.

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is no directory and no URL of a kind that is built in.
    #[error("{url}: {problem}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The replica's name cannot be part of a file's.
    #[error("replica {0:?}: letters, digits, '.', '_' and '-' only, and at least one")]
    Replica(String),
    /// The store refused.
    #[error("the performance database: {0}")]
    Store(#[from] object_store::Error),
    /// Rows are no table.
    #[error("the performance database: {0}")]
    Table(#[from] arrow_schema::ArrowError),
    /// The table is no file.
    #[error("the performance database: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}
