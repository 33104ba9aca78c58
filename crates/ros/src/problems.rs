//! What the owner of the machine must know: what PID 1 and the programs of the console found, and what is wrong now.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use sys::kmsg::{self, Priority};
use sys::mount::MountEntry;

/// One file a subject, one line a problem; PID 1 adds its own (crate init, warnings.rs). Gone with the boot.
const DIRECTORY: &str = "/run/rancher/warnings";
/// A directory that is on the state disk when there is one.
const STATE: &str = "/var/lib/rancher";
/// Most bytes of one file that are read.
const MAX_BYTES: u64 = 64 << 10;
/// Most lines of one file that are shown.
const MAX_LINES: usize = 20;
/// The state disk counts as nearly full below this, or below the part that follows.
const NEARLY_FULL_BYTES: u64 = 64 << 20;
const NEARLY_FULL_PART: u64 = 50;

/// Says a problem on the machine's console and keeps it for `ros status`, each once. `subject` is one word.
pub(crate) fn warn(subject: &str, message: &str) {
    let message = message.replace('\n', " ");
    if cfg!(test) {
        eprintln!("{subject}: {message}");
        return; // a test's words are not the developer's machine's
    }
    let path = Path::new(DIRECTORY).join(subject);
    let known = text_of(&path);
    if known.lines().any(|line| line == message) {
        return;
    }
    kmsg::log(Priority::Error, &format!("{subject}: {message}"));
    // When it is there already, or cannot be made, the file says so.
    let _ = fs::create_dir_all(DIRECTORY);
    if let Err(error) = sys::regular::append(&path, format!("{message}\n").as_bytes(), 0o644) {
        eprintln!("{error}");
    }
}

/// The text of one subject. Services write here, too: a pipe is not waited for, a link not followed, and what has no end is cut.
fn text_of(path: &Path) -> String {
    let mut text = Vec::new();
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        && let Ok(file) = sys::regular::open(path)
    {
        // What cannot be read is as good as absent.
        let _ = file.take(MAX_BYTES).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Takes back what was said of a subject.
pub(crate) fn clear(subject: &str) {
    // Absent when all was well.
    let _ = fs::remove_file(Path::new(DIRECTORY).join(subject));
}

/// Where the versions of an installed machine are.
const STORE: &str = "/run/rancher/os";

/// Errors that the kernel has met in the file system of the versions.
pub(crate) fn store_errors() -> u64 {
    mounted(STORE).map_or(0, |mount| errors(&mount.device))
}

fn of_store() -> Option<String> {
    (store_errors() > 0).then(|| {
        "os-disk: the partition of the versions gives errors (`dmesg`, `ros os verify`): reboot to check it".to_owned()
    })
}

/// Everything that is known to be wrong, as `subject: message`.
pub(crate) fn all() -> Vec<String> {
    let mut problems = kept(Path::new(DIRECTORY));
    if let Some(state) = state_mount() {
        problems.extend(of_state(&state));
    }
    problems.extend(of_store());
    problems
}

fn kept(directory: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let mut problems = Vec::new();
    for file in files {
        let subject = file.file_name().unwrap_or_default().to_string_lossy();
        let text = text_of(&file);
        // PID 1 says again in its log what happens again, and it is one problem.
        let mut lines: Vec<&str> = Vec::new();
        for line in text.lines() {
            if lines.len() < MAX_LINES && !lines.contains(&line) {
                lines.push(line);
            }
        }
        problems.extend(lines.iter().map(|line| format!("{subject}: {line}")));
    }
    problems
}

/// The mount that keeps the machine's state.
pub(crate) fn state_mount() -> Option<MountEntry> {
    mounted(STATE)
}

fn mounted(target: &str) -> Option<MountEntry> {
    let entries = sys::mount::mountinfo().ok()?;
    // The last one is on top.
    entries
        .into_iter()
        .rev()
        .find(|entry| entry.target == Path::new(target))
}

/// Whether the mount is a disk, and not RAM or a disk's content with changes in RAM.
pub(crate) fn is_disk(mount: &MountEntry) -> bool {
    mount.source.starts_with("/dev/")
}

/// What is wrong with the state disk at this moment.
fn of_state(mount: &MountEntry) -> Option<String> {
    if !is_disk(mount) {
        return None;
    }
    let device = &mount.source;
    if mount.super_options.split(',').any(|option| option == "ro") {
        return Some(format!(
            "state: {device} has become read-only: the kernel found it damaged or unwritable (`dmesg`); reboot to check it"
        ));
    }
    if errors(&mount.device) > 0 {
        return Some(format!(
            "state: {device} gives errors (`dmesg`): nothing more is kept on it; save what matters, and reboot to check it"
        ));
    }
    let space = sys::fs::space(Path::new(STATE)).ok()?;
    let few = space.total / NEARLY_FULL_PART;
    if space.available < few.min(NEARLY_FULL_BYTES) {
        return Some(format!(
            "state: {device} is nearly full: {} left of {}: `docker system prune`, `system-docker system prune`",
            mib(space.available),
            mib(space.total)
        ));
    }
    space
        .files_left
        .filter(|files| *files < 1000)
        .map(|files| format!("state: {device} has room for {files} more files only"))
}

/// Errors that ext4 has met on this device (`8:0`) since its last check: from Linux 6.12 on its mount still says `rw` when it takes no
/// more writes. Other file systems have no such number.
fn errors(device: &str) -> u64 {
    let link = Path::new("/sys/dev/block").join(device);
    fs::read_link(link)
        .ok()
        .and_then(|target| {
            let name = target.file_name()?;
            let path = Path::new("/sys/fs/ext4").join(name).join("errors_count");
            fs::read_to_string(path).ok()
        })
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// `12 MiB`, `3.5 GiB`.
pub(crate) fn mib(bytes: u64) -> String {
    let mib = bytes >> 20;
    if mib < 1024 {
        format!("{mib} MiB")
    } else {
        format!("{}.{} GiB", mib >> 10, ((mib & 1023) * 10) >> 10)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn mount(source: &str, options: &str) -> MountEntry {
        MountEntry {
            id: 1,
            parent: 0,
            device: "254:0".into(),
            root: "/".into(),
            target: STATE.into(),
            options: "rw".into(),
            propagation: Vec::new(),
            fstype: "ext4".into(),
            source: source.into(),
            super_options: options.into(),
        }
    }

    #[test]
    fn problems_are_in_order_of_their_subjects() {
        let folder = tempfile::tempdir().unwrap();
        // PID 1 has met the same twice.
        fs::write(folder.path().join("state"), "full\nhurt\nfull\n").unwrap();
        fs::write(folder.path().join("docker"), "down\n").unwrap();
        assert_eq!(
            kept(folder.path()),
            ["docker: down", "state: full", "state: hurt"]
        );
        assert!(kept(&folder.path().join("none")).is_empty());
        // A service that writes here may put anything in the place of a file.
        let pipe = sys::fs::NodeKind::Fifo;
        let here = fs::File::open(folder.path()).unwrap();
        let own = fs::metadata(folder.path()).unwrap();
        let own = (own.uid(), own.gid());
        sys::fs::make_node(here.as_fd(), Path::new("pipe"), pipe, 0o600, own).unwrap();
        std::os::unix::fs::symlink("state", folder.path().join("link")).unwrap();
        let long: String = (0..100_000).map(|line| format!("{line}\n")).collect();
        fs::write(folder.path().join("long"), long).unwrap();
        assert_eq!(kept(folder.path()).len(), 3 + MAX_LINES);
    }

    #[test]
    fn a_disk_that_became_read_only_is_a_problem_and_ram_is_not() {
        assert!(of_state(&mount("/dev/sda", "ro,errors=remount-ro")).is_some());
        assert_eq!(of_state(&mount("tmpfs", "ro")), None);
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(mib(12 << 20), "12 MiB");
        assert_eq!(mib(3584 << 20), "3.5 GiB");
    }
}
