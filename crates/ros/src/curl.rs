//! curl(1) of the console, which trusts the authorities that the console trusts, with the machine's proxies.

use std::time::Duration;

use config::cloud_config::Network;
use sys::process::Command;

use crate::console::proxies;

/// Longest transfer, and longest run of the program.
const MAX_TIME: &str = "50";
const DEADLINE: Duration = Duration::from_secs(60);

/// A transfer to or from `url` that follows redirections and fails with words; options of `more` are curl's.
pub(crate) fn command(network: &Network, url: &str, more: &[String]) -> Command {
    let command = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--location"])
        .args(["--max-time", MAX_TIME])
        .args(more)
        .arg("--")
        .arg(url)
        .deadline(DEADLINE);
    proxies(network).fold(command, |command, (name, value)| command.env(name, value))
}
