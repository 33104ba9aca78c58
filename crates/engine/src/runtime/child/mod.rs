//! The child's side.
use std::ffi::OsString;
use std::process::ExitCode;

/// Entry point.
pub fn main(_args: &[OsString]) -> ExitCode {
    ExitCode::FAILURE
}

/// Entry point of docker-init.
pub fn docker_init(_args: &[OsString]) -> ExitCode {
    ExitCode::FAILURE
}
