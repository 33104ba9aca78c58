//! CIFS without mount.cifs: what that program does for the kernel (mount.cifs(8)): the server's address, users by name, and
//! `credentials=FILE`.
//!
//! The kernel is asked without mount(8), whose command line everybody can read.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use sys::mount::MountFlags;

use super::nfs::address;
use crate::console::accounts;

/// The port of SMB, which only the lookup of a name wants.
const PORT: u16 = 445;
/// A file of credentials has three lines.
const MAX_BYTES: u64 = 64 << 10;

/// Options that are flags of mount(2).
const FLAGS: &[(&str, MountFlags)] = &[
    ("ro", MountFlags::RDONLY),
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("sync", MountFlags::SYNCHRONOUS),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
];
/// Options of fstab that say nothing to the kernel, or what holds anyway.
const FSTAB: &[&str] = &[
    "", "defaults", "rw", "suid", "dev", "exec", "async", "atime", "auto", "noauto", "nofail",
    "user", "users", "nouser", "owner", "group", "_netdev",
];

/// Mounts a share.
pub(super) fn mount(source: &str, target: &str, kind: &str, options: &str) -> anyhow::Result<()> {
    let source = source.replace('\\', "/");
    let host = source
        .strip_prefix("//")
        .and_then(|rest| rest.split('/').next())
        .context("expected //server/share")?;
    let (flags, mut words) = translate(options, &read)?;
    if !words
        .iter()
        .any(|word| word.starts_with("ip=") || word.starts_with("addr="))
        && host.parse::<IpAddr>().is_err()
    {
        words.push(format!("ip={}", address(host, PORT)?));
    }
    // The error names the place and the cause, and no option.
    Ok(sys::mount::mount(
        &source,
        target,
        kind,
        flags,
        &words.join(","),
    )?)
}

/// Flags, and the options for the kernel; `read` gives the text of a file.
fn translate(
    options: &str,
    read: &dyn Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<(MountFlags, Vec<String>)> {
    let mut flags = MountFlags::empty();
    let mut words = Vec::new();
    for option in options.split(',').map(str::trim) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        if FSTAB.contains(&option) || key.starts_with("x-") || key == "comment" {
            continue;
        }
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == option) {
            flags |= *flag;
        } else if matches!(key, "credentials" | "cred") {
            let text = read(value)?;
            words.extend(credentials(&text).with_context(|| format!("credentials {value}"))?);
        } else if matches!(key, "uid" | "gid") && value.parse::<u32>().is_err() {
            let id = if key == "uid" {
                accounts::user(value)?.uid
            } else {
                accounts::group_id(value)?
            };
            words.push(format!("{key}={id}"));
        } else {
            words.push(option.to_owned());
        }
    }
    Ok((flags, words))
}

fn read(path: &str) -> anyhow::Result<String> {
    // Below a home its user may have put a pipe there.
    let file = sys::regular::open(Path::new(path))?;
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {path}"))?;
    Ok(text)
}

/// `username=`, `password=` and `domain=` as the kernel's options. A line that is none of them is not repeated: it may be
/// half of a password.
fn credentials(text: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start().trim_end_matches('\r');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let (key, value) = line
            .split_once('=')
            .with_context(|| format!("line {number} is not NAME=VALUE"))?;
        let key = match key.trim_end() {
            "username" | "user" => "username",
            "password" | "pass" => "password",
            "domain" | "dom" | "workgroup" => "domain",
            _ => anyhow::bail!("line {number}: expected username, password or domain"),
        };
        // A comma ends an option for the kernel; in a password two of them are one.
        ensure!(
            key == "password" || !value.contains(','),
            "line {number}: the {key} has a comma"
        );
        words.push(format!("{key}={}", value.replace(',', ",,")));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn credentials_are_read_as_mount_cifs_reads_them() {
        let text = "# mine\nusername=ada\r\n  password = x,y=z\ndomain=HOME\n\n";
        let text = text.replace("password = ", "password=");
        assert_eq!(
            credentials(&text).unwrap(),
            ["username=ada", "password=x,,y=z", "domain=HOME"]
        );
        for (text, words) in [
            ("user=a\ns3cret\n", "line 2 is not"),
            ("passwort=s3cret\n", "line 1: expected"),
            ("user=a,b\n", "line 1: the username"),
        ] {
            let error = credentials(text).unwrap_err().to_string();
            assert!(
                error.starts_with(words) && !error.contains("s3cret"),
                "{error}"
            );
        }
    }

    #[test]
    fn options_become_flags_and_words_of_the_kernel() {
        let read = |path: &str| -> anyhow::Result<String> {
            assert_eq!(path, "/home/me/cred");
            Ok("username=ada\npassword=p\n".to_owned())
        };
        let options = "ro,_netdev,nofail,x-systemd.automount,credentials=/home/me/cred,uid=1100,gid=root,vers=3.0,noatime";
        let (flags, words) = translate(options, &read).unwrap();
        assert!(flags == MountFlags::RDONLY | MountFlags::NOATIME);
        assert_eq!(
            words,
            [
                "username=ada",
                "password=p",
                "uid=1100",
                "gid=0",
                "vers=3.0"
            ]
        );
        let absent = mount("//127.0.0.1/x", "/nowhere", "cifs", "cred=/no/such/file").unwrap_err();
        let absent = absent.to_string();
        assert!(absent.contains("open /no/such/file"), "{absent}");
        // A pipe is not waited for.
        let folder = tempfile::tempdir().unwrap();
        let (here, kind) = (
            std::fs::File::open(folder.path()).unwrap(),
            sys::fs::NodeKind::Fifo,
        );
        let metadata = here.metadata().unwrap();
        let owner = (metadata.uid(), metadata.gid());
        sys::fs::make_node(here.as_fd(), Path::new("pipe"), kind, 0o600, owner).unwrap();
        let cred = format!("cred={}/pipe", folder.path().display());
        let pipe = mount("//127.0.0.1/x", "/nowhere", "cifs", &cred).unwrap_err();
        assert!(pipe.to_string().contains("a named pipe"), "{pipe}");
        mount("server/x", "/nowhere", "cifs", "").unwrap_err();
    }
}
