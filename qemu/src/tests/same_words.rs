//! The stock client hears the same from System Docker as from the Docker Engine on the same machine: answers and, above all, refusals.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, shared};
use crate::guest::{BOOT_DEADLINE, Guest};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![shared(
        context,
        "same_words_from_both_engines",
        from_both_engines,
    )]
}

const LINES: &str = include_str!("same_words.txt");
/// Lines in one command, which has a deadline.
const AT_ONCE: usize = 20;
/// Between the answers to two lines.
const MARK: &str = "=-=-=";

fn from_both_engines(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    guest.run("docker tag busybox words && docker save words | system-docker load -q")?;
    let lines: Vec<&str> = LINES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let mut different = String::new();
    for some in lines.chunks(AT_ONCE) {
        let (user, system) = (
            answers(guest, "docker", some)?,
            answers(guest, "system-docker", some)?,
        );
        for ((line, theirs), ours) in some.iter().zip(user).zip(system) {
            if theirs != ours {
                write!(
                    different,
                    "\n{line}\n  Docker Engine: {theirs}\n  System Docker: {ours}"
                )?;
            }
        }
    }
    ensure!(different.is_empty(), "not the same words:{different}");
    Ok(())
}

/// What the lines print, and how they end.
fn answers(guest: &Guest, engine: &str, lines: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut script = format!("export DOCKER_HOST=unix:///var/run/{engine}.sock\n");
    for line in lines {
        writeln!(
            script,
            "{{ {line}\n}} </dev/null 2>&1; echo \"exit code $? {MARK}\""
        )?;
    }
    let said = guest.run(&script)?;
    Ok(said
        .split(MARK)
        .map(|answer| without_ids(answer.trim()))
        .collect())
}

/// The text with `ID` for every identifier: 12 or 64 hexadecimal digits.
fn without_ids(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_word = |c: char| c.is_ascii_alphanumeric();
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (this, after) = rest.split_at(word.max(rest.chars().next().map_or(0, char::len_utf8)));
        let is_id = matches!(this.len(), 12 | 64) && this.chars().all(|c| c.is_ascii_hexdigit());
        shown.push_str(if is_id { "ID" } else { this });
        rest = after;
    }
    shown
}
