//! `respawn -f FILE`: runs each line of a file as a command and starts it again when it ends.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use sys::process::Command;

use crate::supervisor::{self, Program};

/// Longest file, in lines.
const MAX_LINES: usize = 256;

/// Runs the file's commands until SIGTERM.
pub(crate) fn main(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let [_, flag, file] = arguments else {
        bail!("usage: respawn -f FILE")
    };
    if flag != "-f" {
        bail!("usage: respawn -f FILE");
    }
    let path = Path::new(file);
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    supervisor::main(programs(&text)?, || ())
}

fn programs(text: &str) -> anyhow::Result<Vec<Program>> {
    let mut programs = Vec::new();
    for (number, line) in text.lines().enumerate().take(MAX_LINES) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = config::words::split(line).with_context(|| format!("line {}", number + 1))?;
        if let Some((program, arguments)) = words.split_first() {
            programs.push(Program {
                name: line.to_owned(),
                command: Command::new(program).args(arguments),
            });
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        let names: Vec<String> = programs("# c\n\n/bin/a 'b c'\n d \n")
            .unwrap()
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names, ["/bin/a 'b c'", "d"]);
        assert!(programs("a 'b\n").is_err());
    }
}
