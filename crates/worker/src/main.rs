//! The program `worker`. It does not run by itself: the engine starts one for each task.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker::main(std::env::args_os().skip(1))
}
