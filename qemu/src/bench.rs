//! `cargo xtask bench`: ours beside the peer, in turn, on the same machine; medians and ratios.

use crate::artifacts::Artifacts;

/// Runs the benchmark that the first argument names.
///
/// # Errors
/// When a machine does not come up, or the name is unknown.
pub(crate) fn run(_artifacts: &Artifacts, arguments: &[String]) -> anyhow::Result<()> {
    anyhow::bail!("no benchmark is named {arguments:?}")
}
