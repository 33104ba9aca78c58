//! `ros os` and `ros --version`.

use std::process::ExitCode;

use config::VERSION;

/// `ros -v`, in RancherOS's words.
pub(crate) fn print_version() -> anyhow::Result<ExitCode> {
    println!("version v{VERSION} from os image rancher/os:v{VERSION}");
    Ok(ExitCode::SUCCESS)
}

/// `ros os version`.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    println!("v{VERSION}");
    Ok(ExitCode::SUCCESS)
}
