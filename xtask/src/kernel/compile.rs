//! Configures, compiles and installs a kernel in a scratch tree.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use duct::{Expression, cmd};

use super::declaration::{Architecture, Declaration, cross_prefix};
use super::options;
use crate::cache;
use crate::debian::deb;
use crate::progress;
use crate::workspace::Build;

/// Lines of the compiler's output that are shown when it fails.
const LAST_LINES: usize = 30;

/// A kernel being built: unpacked source and a build folder next to it. What an interrupted build left is taken up again.
pub(super) struct Tree<'a> {
    build: &'a Build,
    declaration: &'a Declaration,
    arch: &'a Architecture,
    /// Where both folders are.
    folder: PathBuf,
    source: PathBuf,
    output: PathBuf,
}

impl<'a> Tree<'a> {
    /// Unpacks the source package `package` for the kernel called `key`.
    pub(super) fn new(
        build: &'a Build,
        declaration: &'a Declaration,
        package: &Path,
        key: &str,
    ) -> Result<Self> {
        let arch = declaration.arch(build)?;
        let folder = build.scratch().join("kernel").join(&key[..KEY_PART]);
        let tree = Self {
            build,
            declaration,
            arch,
            source: folder.join("source"),
            output: folder.join("build"),
            folder,
        };
        tree.remove_others()?;
        if !tree.source.is_dir() {
            progress::step("kernel source", || tree.unpack(package))?;
        }
        fs::create_dir_all(&tree.output)
            .with_context(|| format!("create {}", tree.output.display()))?;
        Ok(tree)
    }

    /// Takes the source out of Debian's package: a compressed tar in a `.deb`.
    fn unpack(&self, package: &Path) -> Result<()> {
        let name = &self.declaration.source_package;
        let archive = self.folder.join("source.tar.xz");
        deb::extract(package, &format!("usr/src/{name}.tar.xz"), &archive)?;
        let partial = self.folder.join("source.part");
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("remove {}", partial.display()))?;
        }
        fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
        cmd!(
            "tar",
            "--extract",
            "--xz",
            "--strip-components=1",
            "--file",
            &archive,
            "--directory",
            &partial
        )
        .run()
        .with_context(|| format!("unpack {}", archive.display()))?;
        fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))?;
        self.check_series(&partial)?;
        fs::rename(&partial, &self.source)
            .with_context(|| format!("rename to {}", self.source.display()))
    }

    /// Removes what interrupted builds of other kernels left: gigabytes.
    fn remove_others(&self) -> Result<()> {
        let parent = self.folder.parent().context("the tree has no parent")?;
        let Ok(entries) = fs::read_dir(parent) else {
            return Ok(());
        };
        for entry in entries {
            let path = entry
                .with_context(|| format!("list {}", parent.display()))?
                .path();
            if path != self.folder {
                fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn check_series(&self, source: &Path) -> Result<()> {
        let path = source.join("Makefile");
        let makefile =
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let number = |name: &str| {
            makefile
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
                .trim()
        };
        let series = format!("{}.{}", number("VERSION ="), number("PATCHLEVEL ="));
        if series != self.declaration.series {
            bail!(
                "{} holds Linux {series}, kernel.toml wants {}",
                self.declaration.source_package,
                self.declaration.series
            );
        }
        Ok(())
    }

    /// Makes `.config` from the fragments over a configuration of nothing, and checks it.
    pub(super) fn configure(&self, fragments: &str) -> Result<()> {
        let wanted = self.output.join("fragments.config");
        cache::write(&wanted, fragments.as_bytes())?;
        let make = self
            .make(&["allnoconfig"])?
            .env("KCONFIG_ALLCONFIG", &wanted);
        let output = make
            .stderr_to_stdout()
            .stdout_capture()
            .unchecked()
            .run()
            .context("run make")?;
        if !output.status.success() {
            bail!(
                "make allnoconfig failed:\n{}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
        options::check(self.declaration, fragments, &self.read(".config")?)
    }

    /// Compiles image and modules, counting what make prints.
    pub(super) fn compile(&self) -> Result<()> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let make = self.make(&["-j", &jobs.to_string(), &self.arch.target, "modules"])?;
        let path = self.folder.join("build.log");
        let mut log =
            fs::File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let bar = progress::count("compile kernel", self.arch.lines);
        let reader = make.stderr_to_stdout().reader().context("run make")?;
        let mut last = VecDeque::with_capacity(LAST_LINES);
        for line in BufReader::new(reader).lines() {
            // The reader's error is make's failure: what it said last tells more than its exit code
            let Ok(line) = line else {
                let said = Vec::from(last).join("\n  ");
                return Err(anyhow!(
                    "the kernel does not compile, last lines of {}:\n  {said}",
                    path.display()
                ));
            };
            writeln!(log, "{line}").with_context(|| format!("write {}", path.display()))?;
            if line.starts_with("  ") {
                bar.inc(1);
            }
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Puts `vmlinuz`, `modules/<release>`, `config`, `System.map` and `release` into `folder`.
    pub(super) fn install(&self, folder: &Path) -> Result<()> {
        for (from, to) in [
            (self.arch.image.as_path(), "vmlinuz"),
            (Path::new(".config"), "config"),
            (Path::new("System.map"), "System.map"),
        ] {
            let from = self.output.join(from);
            fs::copy(&from, folder.join(to)).with_context(|| format!("copy {}", from.display()))?;
        }
        let release = self
            .read("include/config/kernel.release")?
            .trim()
            .to_owned();
        fs::write(folder.join("release"), &release).context("write the kernel's release")?;
        let staging = self.folder.join("modules");
        self.make(&["INSTALL_MOD_STRIP=1", "modules_install"])?
            .env("INSTALL_MOD_PATH", &staging)
            .stdout_null()
            .run()
            .context("make modules_install")?;
        let installed = staging.join("lib/modules");
        // A link to this machine's build folder
        fs::remove_file(installed.join(&release).join("build")).ok();
        cmd!(
            "depmod",
            "--basedir",
            &staging,
            "--filesyms",
            folder.join("System.map"),
            "--errsyms",
            &release
        )
        .env("PATH", path_with_sbin())
        .run()
        .context("run depmod")?;
        cmd!("cp", "--archive", &installed, folder.join("modules"))
            .run()
            .context("copy modules")?;
        Ok(())
    }

    /// Removes source and build folder: gigabytes that nothing needs once the artifacts are kept.
    pub(super) fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("remove {}", self.folder.display()))
    }

    /// A make in the source tree with everything that must be the same everywhere.
    fn make(&self, arguments: &[&str]) -> Result<Expression> {
        let mut all = vec![
            "--no-print-directory".to_owned(),
            "--directory".to_owned(),
            self.source.display().to_string(),
        ];
        all.push(format!("O={}", self.output.display()));
        all.push(format!("ARCH={}", self.arch.name));
        all.push(format!("CROSS_COMPILE={}", cross_prefix(self.build)?));
        all.push(format!("KCFLAGS={UNWATCHED}"));
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let identity = &self.declaration.identity;
        Ok(cmd("make", all)
            .env("PATH", path_with_sbin())
            .env("LC_ALL", "C")
            .env("KBUILD_BUILD_TIMESTAMP", &identity.timestamp)
            .env("KBUILD_BUILD_USER", &identity.user)
            .env("KBUILD_BUILD_HOST", &identity.host)
            .env("KBUILD_BUILD_VERSION", "1")
            // A make above this one (cargo's job server) is none of its business
            .env_remove("MAKEFLAGS")
            .env_remove("LOCALVERSION"))
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.output.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }
}

/// Flags of gcc for what it says and not for what it makes: no history of macros for its messages, and no warnings about a
/// source that Debian has released; what Kbuild makes an error stays one. An eighth of the compiler's time (twelve files of
/// net/ipv4, gcc 12: 12.7 s, and 11.1 s with these). The bytes are the same except `__LINE__` in macro calls over several
/// lines, which some messages of the kernel name.
const UNWATCHED: &str = "-ftrack-macro-expansion=0 -Wno-all -Wno-extra";

/// Characters of the key in a folder's name: enough to tell kernels of one clone apart.
const KEY_PART: usize = 16;

/// depmod is in /usr/sbin, which is not in every user's PATH.
fn path_with_sbin() -> String {
    format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    )
}
