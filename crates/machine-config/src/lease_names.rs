//! Names that DHCP servers give the machine. The service network notes them, and they count where nobody else names it.
//!
//! A server is a stranger: a name is checked when it is noted, and again by whoever reads it.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// The directory that the service network writes and everybody may read; gone with the boot.
pub const DIRECTORY: &str = "/run/rancher/network";
/// Its file of names.
pub const FILE: &str = "hostnames";

/// A machine has some dozens of links at most, and a line less than 100 bytes.
const LONGEST_BYTES: u64 = 16 << 10;
/// Longest part of a name in bytes (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;
/// Longest host name in bytes (sethostname(2), `HOST_NAME_MAX`).
pub(crate) const LONGEST_NAME: usize = 64;

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseName {
    /// Metric of the link's routes: the lowest one's name counts.
    pub metric: u32,
    /// The link.
    pub link: String,
    /// The name.
    pub name: String,
}

impl LeaseName {
    /// The name that counts, of the links with one.
    pub fn load(directory: &Path) -> Option<LeaseName> {
        Self::read(directory).into_iter().next()
    }

    /// All of them, the one that counts first. Lines that are not whole are left out.
    pub fn read(directory: &Path) -> Vec<LeaseName> {
        // An error: no server said anything.
        let text = text(&directory.join(FILE)).unwrap_or_default();
        let mut names: Vec<LeaseName> = text.lines().filter_map(Self::parse).collect();
        names.sort();
        names
    }

    fn parse(line: &str) -> Option<LeaseName> {
        let mut words = line.split(' ');
        let (metric, link, name) = (words.next()?, words.next()?, words.next()?);
        let is_whole = words.next().is_none() && host_name(name).as_deref() == Some(name);
        is_whole.then_some(LeaseName {
            metric: metric.parse().ok()?,
            link: link.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The file with these names.
    pub fn text(names: &[LeaseName]) -> String {
        let line = |name: &LeaseName| format!("{} {} {}\n", name.metric, name.link, name.name);
        names.iter().map(line).collect()
    }
}

/// The text of a regular file. The service network can put anything in its place, and PID 1 reads it: a pipe must not keep
/// it waiting.
fn text(path: &Path) -> io::Result<String> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let mut text = String::new();
    if file.metadata()?.is_file() {
        file.take(LONGEST_BYTES).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The host name in what a server says: letters, digits and hyphens between dots (RFC 1123, 2.1). One that is too long
/// for the kernel is cut at its first dot. None for what cannot be the name of one machine.
pub fn host_name(said: &str) -> Option<String> {
    let name = said.strip_suffix('.').unwrap_or(said);
    let name = match name.split_once('.') {
        Some((first, _)) if name.len() > LONGEST_NAME => first,
        _ => name,
    };
    let is_label = |label: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=LONGEST_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(is_letter)
    };
    let first = name.split('.').next().unwrap_or(name);
    let is_one = name.parse::<IpAddr>().is_err() && !first.eq_ignore_ascii_case("localhost");
    let is_good = name.len() <= LONGEST_NAME && name.split('.').all(is_label) && is_one;
    is_good.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_rfc_1123_are_taken() {
        for name in ["a", "node-1", "3com", "Node.example.org", &"x".repeat(63)] {
            assert_eq!(host_name(name).as_deref(), Some(name));
        }
        assert_eq!(host_name("node.example.org.").unwrap(), "node.example.org");
        let long = format!("node.{}.org", "x".repeat(60));
        assert_eq!(host_name(&long).unwrap(), "node");
        for name in [
            "",
            ".",
            "-a",
            "a-",
            "a_b",
            "a..b",
            "a b",
            "a\nb",
            "a;reboot",
            "$(id)",
            "10.0.0.1",
            "é",
            "localhost",
            "localhost.localdomain",
            "(none)",
            &"x".repeat(64),
        ] {
            assert_eq!(host_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_first_links_name_counts_and_damage_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(LeaseName::load(folder.path()), None);
        let text = "x\n1003 eth1 second\n5 eth2 a_b\n7 eth3 a b\n1002 eth0 first\n-1 eth4 c\n";
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let names = LeaseName::read(folder.path());
        assert_eq!(
            LeaseName::text(&names),
            "1002 eth0 first\n1003 eth1 second\n"
        );
        assert_eq!(LeaseName::load(folder.path()).unwrap().name, "first");
        std::fs::write(folder.path().join(FILE), [0xff, b'\n']).unwrap();
        assert_eq!(LeaseName::load(folder.path()), None);
    }

    #[test]
    fn a_pipe_or_a_link_in_its_place_says_nothing() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        // Without O_NONBLOCK this test would not end.
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(LeaseName::load(folder.path()), None);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.path().join("other"), "1 eth0 linked\n").unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert_eq!(LeaseName::load(folder.path()), None);
    }
}
