//! Users and groups of a root file system: passwd(5), group(5). No name service, no files outside of the root.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{Context, Error, Result};
use crate::fs::read_in_root;

/// Largest passwd or group file that is read, bytes (1 MiB: some 10,000 users).
const LARGEST_FILE: u64 = 1024 * 1024;

/// Largest user or group number that Docker takes.
const LARGEST_ID: u32 = i32::MAX as u32;

/// A line of passwd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passwd {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A line of group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Login names of its members.
    pub members: Vec<String>,
}

/// Whom `USER[:GROUP]` means in a root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory, `/` if unknown.
    pub home: String,
}

/// Users of `root`'s /etc/passwd; none if there is no such file. Lines that are not well-formed are skipped.
#[must_use]
pub fn passwd(root: &Path) -> Vec<Passwd> {
    read(root, "etc/passwd")
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
            let mut fields = fields.skip(1);
            let uid = fields.next()?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            let mut fields = fields.skip(1);
            let home = fields.next().unwrap_or_default().to_owned();
            let shell = fields.next().unwrap_or_default().to_owned();
            Some(Passwd {
                name,
                uid,
                gid,
                home,
                shell,
            })
        })
        .collect()
}

/// Groups of `root`'s /etc/group; none if there is no such file. Lines that are not well-formed are skipped.
#[must_use]
pub fn groups(root: &Path) -> Vec<Group> {
    read(root, "etc/group")
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
            let gid = fields.nth(1)?.parse().ok()?;
            let members = fields
                .next()
                .unwrap_or_default()
                .split(',')
                .filter(|m| !m.is_empty());
            Some(Group {
                name,
                gid,
                members: members.map(str::to_owned).collect(),
            })
        })
        .collect()
}

/// The file's text, as far as it is there: a container without one has no names.
fn read(root: &Path, file: &str) -> String {
    let mut bytes = Vec::new();
    let opened = rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .what(|| format!("open {}", root.display()))
    .and_then(|root| read_in_root(root.as_fd(), Path::new(file)));
    if let Ok(fd) = opened {
        let _ = File::from(fd).take(LARGEST_FILE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds whom `user` (`NAME`, `UID`, each with `:GROUP` or `:GID`, or nothing for root) means, with the supplementary
/// groups of /etc/group when no group is named, and `additional` groups by name or number.
///
/// # Errors
/// A name that is not there, or a number out of range; in the words of Docker.
pub fn resolve(root: &Path, user: &str, additional: &[String]) -> Result<Resolved> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let known_groups = if group.is_some() || !additional.is_empty() || user != "0" {
        groups(root)
    } else {
        Vec::new()
    };
    let number: Option<u32> = user.parse().ok();
    let entry = passwd(root)
        .into_iter()
        .find(|entry| entry.name == user || Some(entry.uid) == number);
    let mut resolved = match (&entry, number) {
        (Some(entry), _) => Resolved {
            uid: entry.uid,
            gid: entry.gid,
            groups: Vec::new(),
            home: entry.home.clone(),
        },
        (None, Some(uid)) => Resolved {
            uid: in_range(uid)?,
            gid: 0,
            groups: Vec::new(),
            home: String::new(),
        },
        (None, None) => {
            return Err(Error::other(
                format!("unable to find user {user}"),
                "no matching entries in passwd file",
            ));
        }
    };
    if resolved.home.is_empty() {
        resolved.home = "/".to_owned();
    }
    match (group, entry) {
        (Some(group), _) => resolved.gid = group_id(&known_groups, group)?,
        (None, Some(entry)) => {
            let member = known_groups
                .iter()
                .filter(|group| group.members.contains(&entry.name));
            resolved.groups = member.map(|group| group.gid).collect();
        }
        (None, None) => {}
    }
    for group in additional {
        let gid = group_id(&known_groups, group)?;
        if !resolved.groups.contains(&gid) {
            resolved.groups.push(gid);
        }
    }
    Ok(resolved)
}

fn group_id(known: &[Group], group: &str) -> Result<u32> {
    if let Some(found) = known.iter().find(|known| known.name == group) {
        return Ok(found.gid);
    }
    match group.parse() {
        Ok(gid) => in_range(gid),
        Err(_) => Err(Error::other(
            format!("unable to find group {group}"),
            "no matching entries in group file",
        )),
    }
}

fn in_range(id: u32) -> Result<u32> {
    if id <= LARGEST_ID {
        return Ok(id);
    }
    Err(Error::other(
        format!("id {id}"),
        format!("uids and gids must be in range 0-{LARGEST_ID}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:1001::/home/app:/bin/sh\n";
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(
            root.path().join("etc/group"),
            "root:x:0:\nwheel:x:10:root,app\nvideo:x:44:app\n",
        )
        .unwrap();
        root
    }

    fn of(user: &str, additional: &[&str]) -> Result<(u32, u32, Vec<u32>, String)> {
        let additional: Vec<String> = additional.iter().map(|group| (*group).to_owned()).collect();
        resolve(root().path(), user, &additional).map(|r| (r.uid, r.gid, r.groups, r.home))
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(of("", &[]).unwrap(), (0, 0, vec![], "/root".into()));
        assert_eq!(
            of("app", &[]).unwrap(),
            (1000, 1001, vec![10, 44], "/home/app".into())
        );
        assert_eq!(
            of("1000", &[]).unwrap(),
            (1000, 1001, vec![10, 44], "/home/app".into())
        );
        assert_eq!(
            of("app:video", &[]).unwrap(),
            (1000, 44, vec![], "/home/app".into())
        );
        assert_eq!(
            of("4242:17", &["wheel", "99"]).unwrap(),
            (4242, 17, vec![10, 99], "/".into())
        );
    }

    #[test]
    fn unknown_names_have_dockers_words() {
        let text = of("nobody", &[]).unwrap_err().to_string();
        assert_eq!(
            text,
            "unable to find user nobody: no matching entries in passwd file"
        );
        let text = of("app:nope", &[]).unwrap_err().to_string();
        assert_eq!(
            text,
            "unable to find group nope: no matching entries in group file"
        );
        assert!(of("4294967295", &[]).is_err());
    }

    #[test]
    fn a_link_out_of_the_root_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink(
            "../../../../../../etc/passwd",
            root.path().join("etc/passwd"),
        )
        .unwrap();
        assert!(passwd(root.path()).is_empty());
    }
}
