//! Backends are put into other profiles, while requests come and things die.
//!
//! These tests wait for real processes and look again every few milliseconds; they need Linux, as the `process` actuator
//! does.

mod crashes;
mod crashes_elsewhere;
mod fake;
mod house;
mod operators;
mod others;
mod switches;

/// Whether this machine can run engines for Gearshift.
fn linux() -> bool {
    let there = std::path::Path::new("/proc/self/stat").exists();
    if !there {
        println!("skipped: the process actuator needs Linux's /proc");
    }
    there
}
