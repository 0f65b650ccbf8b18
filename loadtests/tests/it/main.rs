//! The driver, the stub engine and the binary, over real sockets.
#![cfg(test)]

mod cli;
mod collect;
mod common;
mod driver;
mod mock;
mod replay;
mod serve;
mod study;
