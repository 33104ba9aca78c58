//! `Config.User`: names and numbers looked up in the container's own passwd and group files.

use std::io::Read;
use std::path::Path;

use engine_api::{Error, Result};
use rustix::fs::{CWD, Mode, OFlags};

use crate::runtime::oci;

/// Longest passwd or group file that is read, in bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// Who a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Supplementary groups, `gid` among them: a process that changes its group must not get past what is refused to
    /// the members of this one.
    pub(crate) groups: Vec<u32>,
    /// Home directory; `/` when the user has no entry.
    pub(crate) home: String,
}

impl Account {
    /// Resolves `user`, `uid`, `user:group` ... below `root`; empty means root. `extra` are further groups.
    ///
    /// # Errors
    /// When a name is not in the files, or a number is out of range.
    pub(crate) fn resolve(root: &Path, text: &str, extra: &[String]) -> Result<Self> {
        let passwd = read(root, "etc/passwd");
        let group = read(root, "etc/group");
        resolve(&passwd, &group, text, extra)
    }

    /// The specification's form.
    pub(crate) fn to_oci(&self) -> oci::User {
        oci::User {
            uid: self.uid,
            gid: self.gid,
            umask: None,
            additional_gids: self.groups.clone(),
        }
    }
}

/// The content of a file below `root`, whatever links say; empty when there is none.
fn read(root: &Path, path: &str) -> String {
    let open = || -> std::io::Result<String> {
        let root = rustix::fs::openat(
            CWD,
            root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let file = sys::fs::read_in_root(std::os::fd::AsFd::as_fd(&root), Path::new(path))?;
        let mut text = Vec::new();
        std::fs::File::from(file)
            .take(FILE_MAX)
            .read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    open().unwrap_or_default()
}

fn resolve(passwd: &str, group: &str, text: &str, extra: &[String]) -> Result<Account> {
    let (user, wanted_group) = text.split_once(':').unwrap_or((text, ""));
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let matches = fields.len() >= 6 && (fields[0] == user || fields[2] == user);
        matches.then(|| {
            Some((
                fields[0],
                fields[2].parse().ok()?,
                fields[3].parse().ok()?,
                fields[5],
            ))
        })?
    });
    let mut account = match entry {
        Some((_, uid, gid, home)) => Account {
            uid,
            gid,
            groups: Vec::new(),
            home: home.to_owned(),
        },
        None => {
            let uid = number(user).ok_or_else(|| {
                Error::server(format!(
                    "unable to find user {user}: no matching entries in passwd file"
                ))
            })??;
            Account {
                uid,
                gid: 0,
                groups: Vec::new(),
                home: "/".to_owned(),
            }
        }
    };
    if account.home.is_empty() {
        account.home = "/".to_owned();
    }
    if wanted_group.is_empty() {
        if let Some((name, ..)) = entry {
            account.groups = group
                .lines()
                .filter_map(|line| membership(line, name))
                .collect();
        }
    } else {
        account.gid = group_id(group, wanted_group, "unable")?;
    }
    for one in extra {
        account.groups.push(group_id(group, one, "Unable")?);
    }
    account.groups.push(account.gid);
    account.groups.sort_unstable();
    account.groups.dedup();
    Ok(account)
}

/// The group of this line, when `user` is among its members.
fn membership(line: &str, user: &str) -> Option<u32> {
    let mut fields = line.split(':').skip(2);
    let gid = fields.next()?.parse().ok()?;
    fields
        .next()?
        .split(',')
        .any(|member| member == user)
        .then_some(gid)
}

/// The number of a group; `unable` begins the error as runc does, which has two spellings.
fn group_id(group: &str, wanted: &str, unable: &str) -> Result<u32> {
    let found = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok())?
    });
    found.map(Ok).or_else(|| number(wanted)).ok_or_else(|| {
        Error::server(format!(
            "{unable} to find group {wanted}: no matching entries in group file"
        ))
    })?
}

/// An id within Docker's limit of 31 bits, which keeps off the kernel's -1; `None` when it is no number.
fn number(text: &str) -> Option<Result<u32>> {
    let id: i64 = text.parse().ok()?;
    let in_range = u32::try_from(id).ok().filter(|id| *id <= i32::MAX as u32);
    Some(
        in_range
            .ok_or_else(|| Error::server(format!("uids and gids must be in range 0-{}", i32::MAX))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/false\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nssl:x:99:mail,web\n";

    fn who(text: &str, extra: &[&str]) -> Account {
        let extra: Vec<String> = extra.iter().map(|one| (*one).to_owned()).collect();
        resolve(PASSWD, GROUP, text, &extra).unwrap()
    }

    #[test]
    fn names_and_numbers_are_resolved() {
        assert_eq!(
            who("", &[]),
            Account {
                groups: vec![0],
                home: "/root".into(),
                ..Account::default()
            }
        );
        assert_eq!(
            who("web", &[]),
            Account {
                uid: 33,
                gid: 33,
                groups: vec![33, 99],
                home: "/var/www".into()
            }
        );
        assert_eq!(
            who("33:ssl", &["7"]),
            Account {
                uid: 33,
                gid: 99,
                groups: vec![7, 99],
                home: "/var/www".into()
            }
        );
        assert_eq!(
            who("1000", &[]),
            Account {
                uid: 1000,
                gid: 0,
                groups: vec![0],
                home: "/".into()
            }
        );
    }

    #[test]
    fn strangers_are_refused() {
        let error = resolve(PASSWD, GROUP, "nobody", &[]).unwrap_err();
        assert_eq!(
            error.message,
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert!(resolve(PASSWD, GROUP, "0:nobody", &[]).is_err());
        for id in ["4294967295", "2147483648", "-1", "0:-1"] {
            let error = resolve(PASSWD, GROUP, id, &[]).unwrap_err();
            let words = "uids and gids must be in range 0-2147483647";
            assert_eq!(error.message, words, "{id}");
        }
    }
}
