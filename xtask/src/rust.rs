//! Builds our own programs for the machine: static, so that they run on a bare root file system.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::workspace::{Arch, Build};

/// First glibc whose static programs relocate themselves from a packed table (DT_RELR, NEWS of glibc 2.36).
const PACKED_RELOCATIONS: (u32, u32) = (2, 36);

/// Packages whose one program has a fixed address. It has no addresses to write at its start, and an emulated machine, which
/// keeps translated code by its address, translates it once and not at each start: cloud-init, started again, took 1.3 s
/// there, now 0.4. It hardens less, so no program that serves strangers is here.
const FIXED: [&str; 1] = ["ros"];

/// What the profile's `lto` is where the linker does it.
const LTO_BY_LLD: &str = "off";

/// Packages whose programs count by their size more than by their speed: `init` is in RAM, both are in all images.
const SMALL: [&str; 2] = ["init", "ros"];

/// Functions of more instructions than this stay in their crate instead of being copied to where they are called (LLVM's limit
/// is 100): PID 1's program is 87 kB smaller with 15, 51 with 35, and 24 kB larger with 0.
const IMPORT_LIMIT: &str = "-Clink-arg=-Wl,-mllvm,-import-instr-limit=15";

/// Builds the programs of `package` in release mode and returns the path of the one that has its name. Others of a package that is in
/// neither list above are next to it.
pub(crate) fn build(build: &Build, package: &str) -> Result<PathBuf> {
    let shell = Shell::new().context("open a shell")?;
    shell.change_dir(&build.root);
    let target = build.arch.target();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let locked = build.locked.then_some("--locked");
    let (mut flags, lto) = optimization(build.arch);
    let remap = remap()?;
    flags.push(&remap);
    // Flags for the program alone: its dependencies are compiled once for all programs.
    let mut own = Vec::new();
    if FIXED.contains(&package) {
        own.push("-Crelocation-model=static");
    }
    if SMALL.contains(&package) && lto == LTO_BY_LLD {
        own.push(IMPORT_LIMIT);
    }
    let (verb, programs) = if own.is_empty() {
        ("build", vec!["--bins"])
    } else {
        ("rustc", [vec!["--bin", package, "--"], own].concat())
    };
    cmd!(
        shell,
        "{cargo} {verb} --quiet --release {locked...} --target {target} --package {package} {programs...}"
    )
    // With --target, host programs (xtask, macros) stay as they are. This form allows for spaces in paths.
    .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
    .env("CARGO_PROFILE_RELEASE_LTO", lto)
    .quiet()
    .run()
    .with_context(|| format!("build {package} for {target}"))?;
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| build.root.join("target"), PathBuf::from);
    let path = folder.join(target).join("release").join(package);
    if !path.is_file() {
        bail!("cargo built {package} but {} is missing", path.display());
    }
    Ok(path)
}

/// Flags of rustc for the machine's programs, and the profile's `lto`.
///
/// For x86_64 rustc links with its own lld, which optimizes across crates by itself (`linker-plugin-lto`) and keeps what
/// has not changed: PID 1's program is linked in 20 s after an edit, not 80, and is 470 kB smaller than by rustc's own
/// thin LTO (7.38 MB instead of 7.86). Folding functions of the same instructions (`--icf`) saves 160 kB and, where the host's
/// glibc can, a packed table of relocations 240 kB (both measured without LTO).
fn optimization(arch: Arch) -> (Vec<&'static str>, &'static str) {
    let mut flags = vec!["-Ctarget-feature=+crt-static"];
    if arch != Arch::X86_64 {
        return (flags, "thin");
    }
    flags.extend(["-Clinker-plugin-lto", "-Clink-arg=-Wl,--icf=all"]);
    // Relative to the workspace, where rustc runs: an absolute path would make the program differ between two folders.
    flags.push("-Clink-arg=-Wl,--thinlto-cache-dir=target/thinlto");
    if glibc().is_some_and(|version| version >= PACKED_RELOCATIONS) {
        flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs");
    }
    (flags, LTO_BY_LLD)
}

/// The flag that keeps the place of this user's crates out of the programs: messages of panics name source files, and two
/// users' ISOs would differ.
fn remap() -> Result<String> {
    let cargo_home = match std::env::var_os("CARGO_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
            PathBuf::from(home).join(".cargo")
        }
    };
    Ok(format!(
        "--remap-path-prefix={}=/cargo",
        cargo_home.display()
    ))
}

/// Version of the host's glibc, from getconf(1)'s "glibc 2.36".
fn glibc() -> Option<(u32, u32)> {
    let text = duct::cmd!("getconf", "GNU_LIBC_VERSION").read().ok()?;
    let (major, minor) = text.split_whitespace().nth(1)?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
