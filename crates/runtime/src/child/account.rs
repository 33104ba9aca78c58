//! `process.user.username`: names and numbers looked up in the container's own passwd and group files, by the container's
//! first process and never by the engine.

use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sys::regular::{self, Descriptors};
use sys::rooted::Root;

use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Process, User};

/// Longest passwd or group file that is read, in bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// How long a program in the container may keep a lease on one of the files.
const LEASE_MOST: Duration = Duration::from_secs(2);

/// Pause between two tries.
const LEASE_AGAIN: Duration = Duration::from_millis(20);

/// Whom a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, `gid` among them: a process that changes its group must not get past what is refused to
    /// the members of this one.
    pub groups: Vec<u32>,
    /// Home directory; `/` when the user has no entry.
    pub home: String,
}

/// A file's lines, or why it cannot be read. A file that is missing has no lines.
type Text = std::result::Result<String, String>;

/// Finds out whom a process of the container at `root` runs as, and its home directory.
pub(super) fn settle(root: &Root, descriptors: &Descriptors, process: &mut Process) -> Result<()> {
    let user = &process.user;
    let asked = user.username.is_some();
    let has_home = process
        .env
        .iter()
        .any(|variable| variable.starts_with("HOME=") && variable != "HOME=");
    if !asked && has_home {
        return Ok(());
    }
    let passwd = read(root, descriptors, "etc/passwd");
    let account = match &user.username {
        Some(text) => {
            let group = read(root, descriptors, "etc/group");
            let account = resolve(&passwd, &group, text, &user.additional_groups)?;
            process.user = User {
                uid: account.uid,
                gid: account.gid,
                umask: user.umask,
                additional_gids: account.groups.clone(),
                ..User::default()
            };
            account
        }
        None => resolve(&passwd, &Ok(String::new()), &user.uid.to_string(), &[])?,
    };
    set_home(&mut process.env, &account.home);
    Ok(())
}

/// Sets HOME unless it has a value.
fn set_home(env: &mut Vec<String>, home: &str) {
    match env
        .iter()
        .position(|variable| variable.starts_with("HOME="))
    {
        Some(at) if env[at] != "HOME=" => {}
        Some(at) => env[at].push_str(home),
        None => env.push(format!("HOME={home}")),
    }
}

/// Whom `text` means in the container whose root file system is at `root`; for owners of files that are copied into it.
///
/// # Errors
/// As for the process of a container.
pub(super) fn account_in(root: &Path, text: &str) -> Result<Account> {
    let (root, descriptors) = (Root::open(root)?, Descriptors::here()?);
    let read = |path| read(&root, &descriptors, path);
    resolve(&read("etc/passwd"), &read("etc/group"), text, &[])
}

fn read(root: &Root, descriptors: &Descriptors, path: &str) -> Text {
    let shown = Path::new("/").join(path);
    let file = match root.find(Path::new(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        found => found.map_err(|error| error.to_string())?,
    };
    let file = std::os::fd::AsFd::as_fd(&file);
    let mut waited = Duration::ZERO;
    loop {
        match descriptors.open_regular(file, OFlags::RDONLY, &shown) {
            // The holder has been told: a well-behaved one gives it back at once.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && waited < LEASE_MOST => {
                std::thread::sleep(LEASE_AGAIN);
                waited += LEASE_AGAIN;
            }
            opened => {
                let bytes = opened
                    .and_then(|file| regular::read_all(file, FILE_MAX, &shown))
                    .map_err(|error| error.to_string())?;
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
}

/// Resolves `user`, `uid`, `user:group` ...; empty means root. `extra` are further groups.
///
/// # Errors
/// When a name is not in the files, or a number is out of range.
fn resolve(passwd: &Text, group: &Text, text: &str, extra: &[String]) -> Result<Account> {
    let (user, wanted_group) = text.split_once(':').unwrap_or((text, ""));
    let user = if user.is_empty() { "0" } else { user };
    // A number is always an id, also where a user is named like it.
    let wanted = number(user).transpose()?;
    let entry = lines(passwd).find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let uid = fields.get(2)?.parse::<u32>().ok()?;
        let matches = match wanted {
            Some(wanted) => uid == wanted,
            None => fields[0] == user,
        };
        (matches && fields.len() >= 6)
            .then(|| Some((fields[0], uid, fields[3].parse().ok()?, fields[5])))?
    });
    let mut account = match (entry, wanted) {
        (Some((_, uid, gid, home)), _) => Account {
            uid,
            gid,
            groups: Vec::new(),
            home: home.to_owned(),
        },
        (None, Some(uid)) => Account {
            uid,
            ..Account::default()
        },
        (None, None) => return Err(nobody("unable to find user", user, "passwd", passwd)),
    };
    if account.home.is_empty() {
        account.home = "/".to_owned();
    }
    if wanted_group.is_empty() {
        if let Some((name, ..)) = entry {
            account.groups = lines(group)
                .filter_map(|line| membership(line, name))
                .collect();
        }
    } else {
        account.gid = match number(wanted_group) {
            Some(gid) => gid?,
            None => lines(group)
                .find_map(|line| group_of(line, |name, _| name == wanted_group))
                .ok_or_else(|| nobody("unable to find group", wanted_group, "group", group))?,
        };
    }
    for one in extra {
        account.groups.push(further_group(group, one)?);
    }
    account.groups.push(account.gid);
    account.groups.sort_unstable();
    account.groups.dedup();
    Ok(account)
}

fn lines(text: &Text) -> std::str::Lines<'_> {
    text.as_deref().unwrap_or_default().lines()
}

fn nobody(what: &str, name: &str, file: &str, text: &Text) -> Error {
    let cause = match text {
        Ok(_) => format!("no matching entries in {file} file"),
        Err(cause) => cause.clone(),
    };
    Error::new(ErrorKind::Account, format!("{what} {name}: {cause}"))
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

/// The group of this line, when its name or number is the right one.
fn group_of(line: &str, is_it: impl Fn(&str, u32) -> bool) -> Option<u32> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let gid = fields.nth(1)?.parse().ok()?;
    is_it(name, gid).then_some(gid)
}

/// A group of `--group-add`: the first whose name or number it is, as in Docker, else a number.
fn further_group(group: &Text, wanted: &str) -> Result<u32> {
    let id = number(wanted);
    let same = |gid: u32| matches!(&id, Some(Ok(id)) if *id == gid);
    lines(group)
        .find_map(|line| group_of(line, |name, gid| name == wanted || same(gid)))
        .map(Ok)
        .or(id.clone())
        .ok_or_else(|| nobody("Unable to find group", wanted, "group", group))?
}

/// An id within Docker's limit of 31 bits, which keeps off the kernel's -1; `None` when it is not a number.
fn number(text: &str) -> Option<Result<u32>> {
    let id: i64 = text.parse().ok()?;
    let in_range = u32::try_from(id).ok().filter(|id| *id <= i32::MAX as u32);
    Some(in_range.ok_or_else(|| {
        let text = format!("uids and gids must be in range 0-{}", i32::MAX);
        Error::new(ErrorKind::Account, text)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n34:x:7:7::/seven:/bin/sh\nweb:x:33:33::/var/www:/bin/false\n";
    const GROUP: &str = "root:x:0:\n99:x:8:\nweb:x:33:\nssl:x:99:mail,web\n";

    fn look_up(text: &str, extra: &[&str]) -> Result<Account> {
        let extra: Vec<String> = extra.iter().map(|one| (*one).to_owned()).collect();
        resolve(&Ok(PASSWD.into()), &Ok(GROUP.into()), text, &extra)
    }

    fn account(uid: u32, gid: u32, groups: &[u32], home: &str) -> Account {
        Account {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
        }
    }

    #[test]
    fn names_and_numbers_are_resolved() {
        for (text, extra, expected) in [
            ("", &[][..], account(0, 0, &[0], "/root")),
            ("web", &[], account(33, 33, &[33, 99], "/var/www")),
            ("33:ssl", &["7"], account(33, 99, &[7, 99], "/var/www")),
            ("1000", &[], account(1000, 0, &[0], "/")),
            // Numbers that are names of others.
            ("34", &[], account(34, 0, &[0], "/")),
            ("web:99", &[], account(33, 99, &[99], "/var/www")),
        ] {
            assert_eq!(look_up(text, extra).unwrap(), expected, "{text}");
        }
        // Docker's rule for further groups: the first line that has it as name or number.
        assert_eq!(look_up("web:web", &["99"]).unwrap().groups, [8, 33]);
    }

    #[test]
    fn strangers_are_refused() {
        for (text, words) in [
            (
                "nobody",
                "unable to find user nobody: no matching entries in passwd file",
            ),
            (
                "0:nobody",
                "unable to find group nobody: no matching entries in group file",
            ),
            ("4294967295", "uids and gids must be in range 0-2147483647"),
            ("2147483648", "uids and gids must be in range 0-2147483647"),
            ("-1", "uids and gids must be in range 0-2147483647"),
            ("0:-1", "uids and gids must be in range 0-2147483647"),
        ] {
            let error = look_up(text, &[]).unwrap_err();
            assert_eq!(
                (error.kind, error.message.as_str()),
                (ErrorKind::Account, words)
            );
        }
        let error = look_up("web", &["nobody"]).unwrap_err().message;
        assert_eq!(
            error,
            "Unable to find group nobody: no matching entries in group file"
        );
    }

    #[test]
    fn home_is_set_once() {
        for (env, expected) in [
            (vec!["A=b"], vec!["A=b", "HOME=/x"]),
            (vec!["HOME=", "A=b"], vec!["HOME=/x", "A=b"]),
            (vec!["HOME=/own"], vec!["HOME=/own"]),
        ] {
            let mut env: Vec<String> = env.into_iter().map(str::to_owned).collect();
            set_home(&mut env, "/x");
            assert_eq!(env, expected);
        }
    }

    /// What a container can put in the place of its files must not hold anybody.
    #[test]
    fn files_that_are_none_hold_nobody() {
        let work = tempfile::tempdir().unwrap();
        let passwd = work.path().join("etc/passwd");
        std::fs::create_dir(work.path().join("etc")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &passwd,
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        assert_eq!(
            account_in(work.path(), "7:8").unwrap(),
            account(7, 8, &[8], "/")
        );
        let error = account_in(work.path(), "web").unwrap_err().message;
        assert_eq!(
            error,
            "unable to find user web: open /etc/passwd: it is a named pipe"
        );
        std::fs::remove_file(&passwd).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &passwd).unwrap();
        let error = account_in(work.path(), "web").unwrap_err().message;
        assert_eq!(
            error,
            "unable to find user web: no matching entries in passwd file"
        );
        std::fs::remove_file(&passwd).unwrap();
        let file = std::fs::File::create(&passwd).unwrap();
        file.set_len(FILE_MAX + 1).unwrap();
        let error = account_in(work.path(), "web").unwrap_err().message;
        assert!(
            error.ends_with("it is larger than 16777216 bytes"),
            "{error}"
        );
    }
}
