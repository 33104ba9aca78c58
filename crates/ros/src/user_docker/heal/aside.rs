//! Setting aside, and the report.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{Healer, Report, entries};

/// Where what is damaged goes, below Docker's data: dockerd does not look at what it does not know.
const FOLDER: &str = "damaged";
/// Each healing's sentences, next to what it set aside.
const REPORT: &str = "report.txt";

impl Healer {
    /// Moves something out of dockerd's way and says why, and what follows. Whether it is out of the way.
    pub(super) fn set_aside(&mut self, path: &Path, why: &str, then: &str) -> bool {
        let moved = self.place_for(path).and_then(|target| {
            fs::rename(path, &target)?;
            Ok(target)
        });
        let shown = path.display();
        let then = if then.is_empty() {
            String::new()
        } else {
            format!("; {then}")
        };
        // A file of another file system, as of /etc/docker, stays next to its place.
        match moved.or_else(|_| self.beside(path)) {
            Ok(target) => {
                self.say(format!(
                    "{shown} was damaged ({why}): it is now {}{then}",
                    target.display()
                ));
                true
            }
            Err(error) => {
                self.say(format!(
                    "{shown} is damaged ({why}) and cannot be moved: {error}"
                ));
                false
            }
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(FOLDER).join(&self.stamp)
    }

    fn place_for(&self, path: &Path) -> std::io::Result<PathBuf> {
        let below = path
            .strip_prefix(&self.root)
            .map_err(|_| std::io::Error::other("it is not Docker's data"))?;
        if below.as_os_str().is_empty() {
            return Err(std::io::Error::other("it is all of Docker's data"));
        }
        let target = self.folder().join(below);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(target.parent().unwrap_or(&self.root))?;
        if fs::symlink_metadata(&target).is_ok() {
            return Err(std::io::ErrorKind::AlreadyExists.into());
        }
        Ok(target)
    }

    /// Renames something where it is: `NAME.damaged-DATE`.
    fn beside(&self, path: &Path) -> std::io::Result<PathBuf> {
        let name = super::name(path);
        let target = path.with_file_name(format!("{name}.damaged-{}", self.stamp));
        if fs::symlink_metadata(&target).is_ok() {
            return Err(std::io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(path, &target)?;
        Ok(target)
    }

    /// Removes what an interrupted write of Docker's has left: the file that it was for is whole.
    pub(super) fn clear_temporary(&mut self, directory: &Path) {
        for path in entries(directory) {
            let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
            // pkg/ioutils/fswriters.go: AtomicWriteFile.
            if is_file
                && super::name(&path).starts_with(".tmp-")
                && let Err(error) = fs::remove_file(&path)
            {
                self.say(format!("cannot remove {}: {error}", path.display()));
            }
        }
    }

    /// Adds what was said to the report, keeps it next to what was set aside, and tells what earlier runs have left there.
    pub(super) fn finish(self, report: &mut Report) {
        let folder = self.root.join(FOLDER);
        if !self.said.is_empty() {
            let mut text = String::new();
            for line in &self.said {
                let _ = writeln!(text, "{line}");
            }
            let path = self.folder().join(REPORT);
            let _ = fs::create_dir_all(self.folder());
            if let Err(error) = fs::write(&path, text) {
                eprintln!("user-docker: {}: {error}", path.display());
            }
        }
        report.said.extend(self.said);
        report.lost_images.extend(self.lost_images);
        let earlier = entries(&folder)
            .iter()
            .filter(|path| path.is_dir() && super::name(path) != self.stamp)
            .count();
        if earlier > 0 {
            report.said.push(format!(
                "{} has what was damaged at {earlier} earlier starts of Docker; delete it when you do not need it",
                folder.display()
            ));
        }
    }
}
