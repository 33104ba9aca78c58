//! Installation without a person: `rancher.install.*` on the kernel's command line, for farms that boot from the network or
//! from one ISO.

use std::path::Path;

use config::CommandLine;
use sys::process::Command;

use super::Options;
use crate::supervisor;

/// The parameter that asks for it.
const DEVICE: &str = "rancher.install.device";

/// Whether the command line asks for an installation. On an installed disk it does not: the medium may still be named there.
fn is_asked_for(line: &CommandLine) -> bool {
    line.values(DEVICE).next().is_some() && line.values("rancher.slot").next().is_none()
}

/// Starts an installation on the machine's console when the command line asks for one; it ends in a reboot.
pub(crate) fn start(line: &CommandLine) -> anyhow::Result<()> {
    if is_asked_for(line) {
        let command = Command::new("ros")
            .args(["install", "--unattended"])
            .terminal(Path::new("/dev/console"));
        supervisor::once(&command)?;
    }
    Ok(())
}

/// What the command line says, as flags.
pub(super) fn options(line: &CommandLine) -> Options {
    let text = |key: &str| line.values(key).last().map(str::to_owned);
    let flag = |key: &str| {
        line.parameters()
            .iter()
            .any(|p| p.key == key && p.value.as_deref() != Some("false"))
    };
    Options {
        image: text("rancher.install.image"),
        install_type: "generic".to_owned(),
        cloud_config: text("rancher.install.cloud_config"),
        device: text(DEVICE),
        append: text("rancher.install.append"),
        force: flag("rancher.install.force"),
        no_reboot: flag("rancher.install.no_reboot"),
        keep_state: flag("rancher.install.keep_state"),
        unattended: true,
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_same_as_the_flags() {
        let line = CommandLine::parse(
            "rancher.install.device=smallest rancher.install.cloud_config=http://10.0.0.1/c.yml rancher.install.force",
        );
        assert!(is_asked_for(&line));
        let options = options(&line);
        assert_eq!(options.device.as_deref(), Some("smallest"));
        assert_eq!(
            options.cloud_config.as_deref(),
            Some("http://10.0.0.1/c.yml")
        );
        assert!(options.force && !options.keep_state && !options.no_reboot);
        // The console that it runs on is a terminal, at which nobody answers
        assert!(options.unattended);
        assert!(!is_asked_for(&CommandLine::parse("console=tty0")));
        assert!(!is_asked_for(&CommandLine::parse(
            "rancher.install.device=/dev/sda rancher.slot=4"
        )));
    }
}
