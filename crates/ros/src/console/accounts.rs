//! Users and groups of a console (passwd(5), group(5), shadow(5)): added to whatever the image has.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sys::process::Command;

use super::users;
use crate::machine_config::MachineConfig;

/// The operator.
pub(crate) const RANCHER: &str = "rancher";
/// Who may use User Docker; a user and a group, as in RancherOS.
pub(crate) const DOCKER: &str = "docker";

/// Longest run of chpasswd. Hashing is slow on purpose, and an emulated machine that shares its cores was seen to need
/// more than 10 s; without the password its user would be locked out.
const CHPASSWD_DEADLINE: Duration = Duration::from_secs(120);

/// A user that a console has. The password field `*` gives no password and does not lock the account: keys work.
#[derive(Debug, Clone, Copy)]
struct Account {
    name: &'static str,
    id: u32,
    home: &'static str,
    logs_in: bool,
}

/// Numbers of RancherOS; files in /home keep their owners when a machine moves here.
const ACCOUNTS: &[Account] = &[
    Account {
        name: RANCHER,
        id: 1100,
        home: "/home/rancher",
        logs_in: true,
    },
    Account {
        name: DOCKER,
        id: 1101,
        home: "/home/docker",
        logs_in: true,
    },
    Account {
        name: "sshd",
        id: 74,
        home: "/run/sshd",
        logs_in: false,
    },
];

/// Where one user's entry says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// Number of the user.
    pub(crate) uid: u32,
    /// Number of its group.
    pub(crate) gid: u32,
    /// Home directory.
    pub(crate) home: String,
}

/// Adds missing users, groups, memberships and homes.
pub(crate) fn ensure() -> anyhow::Result<()> {
    ensure_in(Path::new("/"))
}

fn ensure_in(root: &Path) -> anyhow::Result<()> {
    let etc = root.join("etc");
    let shell = if root.join("bin/bash").exists() {
        "/bin/bash"
    } else {
        "/bin/sh"
    };
    let (mut group, mut passwd, mut shadow) = (
        read(&etc, "group")?,
        read(&etc, "passwd")?,
        read(&etc, "shadow")?,
    );
    for account in ACCOUNTS {
        let Account {
            name,
            id,
            home,
            logs_in,
        } = *account;
        let shell = if logs_in { shell } else { "/usr/sbin/nologin" };
        add_entry(&mut group, name, &format!("{name}:x:{id}:"));
        add_entry(
            &mut passwd,
            name,
            &format!("{name}:x:{id}:{id}:{name}:{home}:{shell}"),
        );
        add_entry(&mut shadow, name, &format!("{name}:*:::::::"));
    }
    group = with_member(&group, DOCKER, RANCHER);
    write(&etc, "group", &group, 0o644)?;
    write(&etc, "passwd", &passwd, 0o644)?;
    write(&etc, "shadow", &shadow, 0o600)?;
    for_logins(&passwd, |user| make_home(root, user))
}

/// Homes of those that log in, on what was mounted at `target`.
pub(super) fn make_homes(root: &Path, target: &Path) -> anyhow::Result<()> {
    let passwd = read(&root.join("etc"), "passwd")?;
    for_logins(&passwd, |user| {
        if Path::new(&user.home) == target {
            take_home(root, user)?;
        }
        make_home(root, user)
    })
}

fn for_logins(passwd: &str, work: impl Fn(&User) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for account in ACCOUNTS.iter().filter(|account| account.logs_in) {
        let user = user_in(passwd, account.name).context("user has no entry")?;
        work(&user)?;
    }
    Ok(())
}

pub(super) fn read(etc: &Path, name: &str) -> anyhow::Result<String> {
    let path = etc.join(name);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        result => result.with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file only when it changes; an existing one keeps its mode.
pub(super) fn write(etc: &Path, name: &str, text: &str, mode: u32) -> anyhow::Result<()> {
    let path = etc.join(name);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let is_new = !path.exists();
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    if is_new {
        sys::fs::set_mode(&path, mode)?;
    }
    Ok(())
}

/// Appends `entry` unless the file has one of that name.
pub(super) fn add_entry(text: &mut String, name: &str, entry: &str) {
    if text
        .lines()
        .any(|line| line.split(':').next() == Some(name))
    {
        return;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(entry);
    text.push('\n');
}

/// The group file with `user` among the members of `group`.
pub(super) fn with_member(text: &str, group: &str, user: &str) -> String {
    text.lines()
        .map(|line| {
            let mut fields: Vec<&str> = line.split(':').collect();
            if fields.len() != 4
                || fields[0] != group
                || fields[3].split(',').any(|member| member == user)
            {
                return format!("{line}\n");
            }
            let members = if fields[3].is_empty() {
                user.to_owned()
            } else {
                format!("{},{user}", fields[3])
            };
            fields[3] = &members;
            format!("{}\n", fields.join(":"))
        })
        .collect()
}

/// A user's entry in the text of a passwd file.
pub(super) fn user_in(passwd: &str, name: &str) -> Option<User> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some(User {
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
        home: (*fields.get(5)?).to_owned(),
    })
}

/// A user of this console.
pub(crate) fn user(name: &str) -> anyhow::Result<User> {
    let passwd = read(Path::new("/etc"), "passwd")?;
    user_in(&passwd, name).with_context(|| format!("user {name} is not in /etc/passwd"))
}

/// The number of a group of this console.
pub(crate) fn group_id(name: &str) -> anyhow::Result<u32> {
    let group = read(Path::new("/etc"), "group")?;
    group
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .and_then(|line| line.split(':').nth(2)?.parse().ok())
        .with_context(|| format!("group {name} is not in /etc/group"))
}

/// Who owns a home that is neither its user's nor root's: on a disk of another machine numbers mean other people.
pub(super) fn stranger(home: &Path, uid: u32) -> Option<u32> {
    let owner = fs::metadata(home).ok()?.uid();
    (owner != uid && owner != 0).then_some(owner)
}

pub(super) fn make_home(root: &Path, user: &User) -> anyhow::Result<()> {
    let home = root.join(user.home.trim_start_matches('/'));
    if home.exists() {
        return Ok(());
    }
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    fill_home(root, &home, user)
}

/// Gives a user the file system that is mounted at the home, if it is root's, as a new one is.
pub(super) fn take_home(root: &Path, user: &User) -> anyhow::Result<()> {
    let home = root.join(user.home.trim_start_matches('/'));
    if fs::metadata(&home).is_ok_and(|found| found.uid() == 0) {
        fill_home(root, &home, user)?;
    }
    Ok(())
}

fn fill_home(root: &Path, home: &Path, user: &User) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join("etc/skel"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let target = home.join(entry.file_name());
        // What is there stays, also a link that leads nowhere: the copy would go where it leads.
        if entry.path().is_file() && target.symlink_metadata().is_err() {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot write {}", target.display()))?;
            sys::fs::set_owner(&target, user.uid, user.gid)?;
        }
    }
    sys::fs::set_mode(home, 0o755)?;
    Ok(sys::fs::set_owner(home, user.uid, user.gid)?)
}

/// The password that a machine's owner set for rancher, unless passwords are disabled.
pub(crate) fn password(machine: &MachineConfig) -> Option<&str> {
    let password = machine.loaded.config.rancher.password.as_deref()?;
    (!password.is_empty() && !machine.is_disabled("password")).then_some(password)
}

/// Gives users their passwords.
pub(super) fn set_passwords(machine: &MachineConfig) -> anyhow::Result<()> {
    let (mut all, mut failures) = users::passwords(&machine.loaded.config);
    all.extend(password(machine).map(|password| (RANCHER.to_owned(), password.to_owned(), false)));
    if machine.is_disabled("password") {
        return Ok(());
    }
    for (user, password, expires) in all {
        let set = set_password(&user, &password).and_then(|()| {
            if expires {
                users::expire(&user)
            } else {
                Ok(())
            }
        });
        failures.extend(set.err().map(|error| format!("{user}: {error:#}")));
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// Sets a password by chpasswd, which knows the image's hash; `$...` is a hash already.
fn set_password(user: &str, password: &str) -> anyhow::Result<()> {
    ensure!(
        !password.contains(['\n', '\r', '\0']),
        "the password has a line break"
    );
    let mut command = Command::new("chpasswd").deadline(CHPASSWD_DEADLINE);
    if password.starts_with('$') {
        command = command.arg("-e");
    }
    let output = command.stdin(format!("{user}:{password}\n")).run()?;
    if !output.status.success() {
        bail!(
            "chpasswd: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_empty_image_gets_all_users() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        ensure_in(root.path()).unwrap();
        let text = |name: &str| fs::read_to_string(root.path().join("etc").join(name)).unwrap();
        assert!(text("passwd").contains("rancher:x:1100:1100:rancher:/home/rancher:/bin/sh\n"));
        assert!(text("group").contains("docker:x:1101:rancher\n"));
        assert!(text("shadow").contains("rancher:*:::::::\n"));
        let home = fs::metadata(root.path().join("home/rancher")).unwrap();
        assert_eq!((home.uid(), home.gid()), (1100, 1100));
        let shadow = fs::metadata(root.path().join("etc/shadow")).unwrap();
        assert_eq!(shadow.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_disk_at_a_home_becomes_the_users() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("etc/skel")).unwrap();
        fs::write(at("etc/skel/.rc"), "new").unwrap();
        ensure_in(root.path()).unwrap();
        let owner = |name: &str| fs::metadata(at(name)).unwrap().uid();
        // A new disk with a file on it, and one with homes that are missing.
        for disk in ["/home/rancher", "/home"] {
            fs::remove_dir_all(at(&disk[1..])).unwrap();
            fs::create_dir(at(&disk[1..])).unwrap();
            fs::write(at(&disk[1..]).join("own"), "").unwrap();
            make_homes(root.path(), Path::new(disk)).unwrap();
            assert_eq!(owner("home/rancher"), 1100, "{disk}");
            assert_eq!(owner("home/docker"), 1101, "{disk}");
            assert_eq!(owner("home/rancher/.rc"), 1100, "{disk}");
        }
        assert_eq!(owner("home"), 0);
        // What is there stays, whoever's it is.
        fs::write(at("home/rancher/.rc"), "mine").unwrap();
        sys::fs::set_owner(&at("home/rancher"), 0, 0).unwrap();
        make_homes(root.path(), Path::new("/home/rancher")).unwrap();
        assert_eq!(fs::read_to_string(at("home/rancher/.rc")).unwrap(), "mine");
    }

    #[test]
    fn what_an_image_has_stays() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        fs::create_dir_all(&etc).unwrap();
        fs::write(
            etc.join("passwd"),
            "root:x:0:0:root:/root:/bin/sh\nrancher:x:7:8::/r:/bin/zsh",
        )
        .unwrap();
        fs::write(etc.join("group"), "docker:x:999:a\n").unwrap();
        fs::write(etc.join("shadow"), "rancher:$6$x:1::::::\n").unwrap();
        ensure_in(root.path()).unwrap();
        ensure_in(root.path()).unwrap();
        let text = |name: &str| fs::read_to_string(etc.join(name)).unwrap();
        assert!(text("passwd").starts_with(
            "root:x:0:0:root:/root:/bin/sh\nrancher:x:7:8::/r:/bin/zsh\ndocker:x:1101"
        ));
        assert!(text("group").starts_with("docker:x:999:a,rancher\n"));
        assert!(text("shadow").starts_with("rancher:$6$x:1::::::\n"));
        let user = user_in(&text("passwd"), "rancher").unwrap();
        assert_eq!(
            user,
            User {
                uid: 7,
                gid: 8,
                home: "/r".into()
            }
        );
    }
}
