//! Feeds made-up input to every parser of what strangers write (`crates/fuzz`), a minute each, on all processors.
//!
//! The targets have cargo-fuzz's layout, and `cargo fuzz run NAME --fuzz-dir crates/fuzz` works with a nightly toolchain.
//! Here they are built by the pinned stable one: coverage needs only a pass of LLVM, and the address sanitizer, which
//! needs nightly, would find nothing in crates without `unsafe`. A C++ compiler builds libFuzzer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::workspace::Build;
use crate::{progress, setup};

/// What makes a program report its coverage to libFuzzer (LLVM, SanitizerCoverage).
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Longest time one input may take, seconds: PID 1 has one thread, so slow is a defect too.
const INPUT_SECONDS: u64 = 10;
/// Most memory a target may use, MiB.
const MEMORY_MIB: u64 = 1024;
/// Longest input that is made up, bytes: a few tar blocks and a large JSON body.
const INPUT_BYTES: u64 = 16 * 1024;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these targets
    targets: Vec<String>,
    /// Time for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Make up the same inputs in the same order each time: CI never fails by luck (default: other inputs each time)
    #[arg(long)]
    seed: Option<u32>,
    /// Only see whether they compile
    #[arg(long)]
    check: bool,
    /// Afterwards add what reached new code to the corpus in the repository: thousands of files, to be chosen from
    #[arg(long)]
    merge: bool,
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    let folder = build.root.join("crates/fuzz");
    if options.check {
        return progress::step("check the fuzz targets", || check(build, &folder));
    }
    setup::ensure(build, &[setup::Purpose::Fuzz])?;
    let known = targets(&folder)?;
    let chosen = match known.iter().filter(|name| options.targets.contains(name)) {
        _ if options.targets.is_empty() => known.clone(),
        chosen => chosen.cloned().collect(),
    };
    if chosen.is_empty() {
        bail!("no such fuzz target: there are {}", known.join(", "));
    }
    let programs = progress::step("build the fuzz targets", || compile(build, &folder))?;
    let fuzzers: Vec<Fuzzer> = chosen
        .into_iter()
        .map(|name| Fuzzer {
            program: programs.join(&name),
            corpus: folder.join("corpus").join(&name),
            found: build.scratch().join("fuzz").join(&name),
            artifacts: folder.join("artifacts").join(&name),
            seed: options.seed,
            name,
        })
        .collect();
    let failed = run_all(&fuzzers, Duration::from_secs(options.seconds.max(1)))?;
    if options.merge {
        for fuzzer in &fuzzers {
            fuzzer.merge()?;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "inputs that break {} are in crates/fuzz/artifacts: mend the code, then move them to crates/fuzz/corpus/TARGET, which \
         `cargo test` runs",
        failed.join(", ")
    )
}

/// Runs as many at the same time as there are processors; the names of those that were broken.
fn run_all(fuzzers: &[Fuzzer], time: Duration) -> Result<Vec<&str>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut failed = Vec::new();
        while let Some(fuzzer) = fuzzers.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !fuzzer.run(time)? {
                failed.push(fuzzer.name.as_str());
            }
        }
        Ok(failed)
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
        let mut failed = Vec::new();
        for worker in workers {
            let broken: Result<_> = match worker.join() {
                Ok(broken) => broken,
                Err(_) => bail!("a thread that runs a target has panicked"),
            };
            failed.extend(broken?);
        }
        Ok(failed)
    })
}

/// Names of the targets, in the order of the alphabet.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("targets");
    let entries = std::fs::read_dir(&path).with_context(|| format!("list {}", path.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Builds all targets; returns the folder of the programs.
fn compile(build: &Build, folder: &Path) -> Result<PathBuf> {
    // With a target named, the flags spare build scripts and procedural macros.
    let triple = host_triple()?;
    let output = build.scratch().join("fuzz/build");
    cmd!(
        "cargo",
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--bins",
        "--target",
        &triple,
        "--target-dir",
        &output
    )
    .dir(folder)
    .env("RUSTFLAGS", FLAGS.join(" "))
    .run()
    .context("build crates/fuzz")?;
    Ok(output.join(triple).join("release"))
}

/// Whether all targets compile with the crates as they are, and their lock file fits: a separate workspace, which no other job looks at.
fn check(build: &Build, folder: &Path) -> Result<()> {
    let output = build.scratch().join("fuzz/check");
    cmd!(
        "cargo",
        "check",
        "--quiet",
        "--locked",
        "--bins",
        "--target-dir",
        &output
    )
    .dir(folder)
    .env("RUSTFLAGS", "--cfg=fuzzing")
    // Nothing is linked, so libFuzzer's own C++ is not built (libfuzzer-sys, build.rs).
    .env("CUSTOM_LIBFUZZER_PATH", "/nonexistent/libFuzzer.a")
    .run()
    .context("check crates/fuzz")?;
    Ok(())
}

fn host_triple() -> Result<String> {
    let version = cmd!("rustc", "-vV").read().context("ask rustc")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// One target with its folders.
struct Fuzzer {
    name: String,
    program: PathBuf,
    corpus: PathBuf,
    /// Inputs of earlier runs on this machine that reached new code.
    found: PathBuf,
    artifacts: PathBuf,
    seed: Option<u32>,
}

impl Fuzzer {
    /// Runs the target; false when an input broke it.
    fn run(&self, time: Duration) -> Result<bool> {
        for folder in [&self.found, &self.artifacts] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make {}", folder.display()))?;
        }
        let started = Instant::now();
        let output = cmd!(
            &self.program,
            format!("-max_total_time={}", time.as_secs()),
            // libFuzzer takes 0 for "choose one".
            format!("-seed={}", self.seed.unwrap_or(0)),
            format!("-timeout={INPUT_SECONDS}"),
            format!("-rss_limit_mb={MEMORY_MIB}"),
            format!("-max_len={INPUT_BYTES}"),
            format!("-artifact_prefix={}/", self.artifacts.display()),
            "-print_final_stats=1",
            "-verbosity=1",
            &self.found,
            &self.corpus
        )
        // Layers are unpacked thousands of times a minute: into memory.
        .env("TMPDIR", memory())
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()
        .with_context(|| format!("run {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let runs = statistic(&text, "stat::number_of_executed_units:");
        let seconds = started.elapsed().as_secs();
        progress::note(&self.name, &format!("{runs} inputs in {seconds} s"));
        if !output.status.success() {
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.len().saturating_sub(60);
            eprintln!("{}", lines.get(last..).unwrap_or_default().join("\n"));
        }
        Ok(output.status.success())
    }

    /// Adds the smallest set of found inputs that reaches new code to the corpus.
    fn merge(&self) -> Result<()> {
        cmd!(
            &self.program,
            "-merge=1",
            "-max_len=4096",
            &self.corpus,
            &self.found
        )
        .stderr_null()
        .run()
        .with_context(|| format!("merge into {}", self.corpus.display()))?;
        Ok(())
    }
}

/// A folder in memory, if the machine has the usual one.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}

fn statistic<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map_or("no", str::trim)
}
