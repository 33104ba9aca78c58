//! The engine's worker: talks to registries and reads archives, so that PID 1 need not. A program of its own, so that TLS
//! and the archives' formats are no part of PID 1, which stays in memory.
//!
//! This program does not run by itself: the engine starts one for each task.

use std::process::ExitCode;

fn main() -> ExitCode {
    engine::image::worker::main(std::env::args_os().skip(1))
}
