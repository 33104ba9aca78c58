//! Runs everything that continuous integration runs, and says how long each job took.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::engine::is_root;
use crate::progress;
use crate::workspace::Build;
use crate::{size, tidy};

/// Options of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these jobs
    jobs: Vec<String>,
}

/// One job: its name and the commands it runs.
struct Job {
    name: &'static str,
    run: fn(&Build) -> Result<()>,
}

/// In order; the first failure ends the run. Quick checks come first.
const JOBS: &[Job] = &[
    Job {
        name: "setup",
        run: |build| xtask(build, &["setup"]),
    },
    Job {
        name: "fmt",
        run: |build| cargo(build, &["fmt", "--all", "--check"]),
    },
    Job {
        name: "tidy",
        // Titles are not read here: a merge of a host's has its own, and nobody can change it (`cargo xtask tidy --commits`).
        run: tidy::check,
    },
    Job {
        name: "clippy",
        run: |build| {
            cargo(
                build,
                &[
                    "clippy",
                    "--quiet",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ],
            )
        },
    },
    Job {
        name: "test",
        run: tests,
    },
    Job {
        name: "fuzz",
        run: |build| xtask(build, &["fuzz", "--seconds", "60", "--seed", "1"]),
    },
    Job {
        name: "grub-test",
        run: |build| xtask(build, &["grub-test", "--short"]),
    },
    Job {
        name: "crash-test",
        run: |build| xtask(build, &["crash-test", "--short"]),
    },
    Job {
        name: "iso",
        run: |build| xtask(build, &["iso"]),
    },
    Job {
        name: "size",
        run: size::check,
    },
    Job {
        name: "qemu-test",
        // An emulated guest on a starved machine fails in ways that tests cannot help: two second tries, each of them reported.
        run: |build| xtask(build, &["qemu-test", "--second-try"]),
    },
];

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    if let Some(unknown) = options
        .jobs
        .iter()
        .find(|name| !JOBS.iter().any(|job| job.name == name.as_str()))
    {
        let known: Vec<&str> = JOBS.iter().map(|job| job.name).collect();
        bail!("there is no job {unknown}, known are {}", known.join(", "));
    }
    let mut times = Vec::new();
    let start = Instant::now();
    let mut outcome = Ok(());
    for job in JOBS
        .iter()
        .filter(|job| options.jobs.is_empty() || options.jobs.iter().any(|name| name == job.name))
    {
        let begin = Instant::now();
        outcome = progress::step(job.name, || (job.run)(build))
            .with_context(|| format!("job {}", job.name));
        times.push((job.name, begin.elapsed()));
        if outcome.is_err() {
            break;
        }
    }
    eprintln!();
    for (name, time) in times {
        eprintln!("{name:>12} {:>8.1} s", time.as_secs_f64());
    }
    eprintln!("{:>12} {:>8.1} s", "all", start.elapsed().as_secs_f64());
    outcome
}

/// Tests that need what a build puts into `dist`, which is made later: `cargo test -p CRATE NAME -- --ignored`.
const WITH_DIST: [&str; 4] = [
    "the_tools_of_a_version_make_a_file_system",
    "dockerd_starts_on_what_was_healed",
    "a_registry_has_every_architecture_that_was_pushed_and_its_signature",
    "a_registry_has_signatures_of_the_index_and_of_each_architecture",
];

/// Tests of every crate, qemu-test's unit tests among them. What needs root, loop devices or a host's program is ignored by `cargo test` and says so; here root runs
/// it, too. The tests of the kind `long` take minutes: `cargo xtask soak`.
fn tests(build: &Build) -> Result<()> {
    let mut arguments = vec!["test", "--quiet", "--workspace"];
    if is_root() {
        arguments.extend(["--", "--include-ignored", "--skip", "[long]"]);
        for name in WITH_DIST {
            arguments.extend(["--skip", name]);
        }
    } else {
        progress::note("test", "not root: what needs it is ignored");
    }
    cargo(build, &arguments)
}

/// Runs cargo in the workspace.
fn cargo(build: &Build, arguments: &[&str]) -> Result<()> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    cmd(program, arguments)
        .dir(&build.root)
        .run()
        .with_context(|| format!("cargo {}", arguments.join(" ")))?;
    Ok(())
}

/// Runs a command of this program as a user would.
fn xtask(build: &Build, arguments: &[&str]) -> Result<()> {
    let mut all = vec!["xtask", "--arch", build.arch.name()];
    all.extend(arguments);
    cargo(build, &all)
}
