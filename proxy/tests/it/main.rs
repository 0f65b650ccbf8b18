//! The binary before engines that do what a test says, over real sockets.
//!
//! Nothing sleeps: a test waits for what it expects, with a deadline that only a failure reaches.
#![cfg(test)]

mod admin;
mod advise;
mod bad_input;
mod bundles;
mod claims;
mod common;
mod console;
mod controller;
mod dashboards;
mod dependencies;
mod explain;
mod failure;
mod lifecycle;
mod manual;
mod models;
mod observations;
mod protocols;
mod relay;
mod reload;
mod telemetry;
