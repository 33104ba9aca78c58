//! A user's `authorized_keys` (sshd(8)): keys of the configuration are added, nothing is ever taken away.

use std::path::{Path, PathBuf};

use sys::guarded::{Content, Found, Place};

use crate::Result;

/// Longest line taken; a 16384-bit RSA key with options is under 4 KiB.
const MAX_LINE_BYTES: usize = 16 << 10;
/// Largest file that keys are added to: some ten thousand of them.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Key types sshd takes, by the beginning of their names.
const TYPES: &[&str] = &["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];

/// Whether a line can be a public key: one line, a known type, and its base64 blob.
///
/// Options may stand before the type; their syntax is sshd's business.
pub fn is_public_key(line: &str) -> bool {
    if line.len() > MAX_LINE_BYTES || line.chars().any(|c| c.is_control() && c != '\t') {
        return false;
    }
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    words.windows(2).any(|pair| {
        TYPES.iter().any(|kind| pair[0].starts_with(kind))
            && pair[1].starts_with("AAAA")
            && pair[1]
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    })
}

/// The text of a file that has `keys` besides what it has; `None` when it has them all.
pub fn merged(existing: &str, keys: &[String]) -> Option<String> {
    let mut text = existing.to_owned();
    let mut changed = false;
    for key in keys {
        let key = key.trim();
        if text.lines().any(|line| line.trim() == key) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(key);
        text.push('\n');
        changed = true;
    }
    changed.then_some(text)
}

/// Adds `keys` to `home/.ssh/authorized_keys` of the user with these ids; directory 0700, file 0600. Returns the new name
/// of what was there and that sshd could not use: not a file, not text (as a power cut can leave it), or another user's.
///
/// The user may put anything in the place of any of these names. Root does not follow a link there, waits for no pipe, and
/// reads nothing for the user that the user may not read.
///
/// # Errors
/// When a link of the user's is in the way, or a file cannot be read or written.
pub fn install(home: &Path, uid: u32, gid: u32, keys: &[String]) -> Result<Option<PathBuf>> {
    let directory = home.join(".ssh");
    Place::make(&directory)?.make_directory(0o700, (uid, gid))?;
    let place = Place::make(&directory.join("authorized_keys"))?;
    let mut aside = None;
    let existing = match place.find()? {
        None => String::new(),
        Some(found) => match usable(&found, uid, gid)? {
            Some(text) => text,
            None => {
                aside = Some(place.set_aside(".damaged")?);
                String::new()
            }
        },
    };
    let Some(text) = merged(&existing, keys) else {
        return Ok(aside);
    };
    let content = Content {
        bytes: text.as_bytes(),
        mode: 0o600,
        owner: (uid, gid),
    };
    if !place.replace(&content, true)? {
        place.overwrite(&content)?;
    }
    Ok(aside)
}

/// The text of the file, if sshd would use it: sshd opens it as the user, and takes only the user's and root's (sshd(8)).
fn usable(found: &Found<'_>, uid: u32, gid: u32) -> Result<Option<String>> {
    let is_trusted = [0, uid].contains(&found.user()) && found.is_readable_by((uid, gid));
    if !found.is_file() || !is_trusted {
        return Ok(None);
    }
    let text = String::from_utf8(found.read(MAX_FILE_BYTES)?).ok();
    Ok(text.filter(|text| !text.contains('\0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ user@host";

    #[test]
    fn public_keys_are_told_from_other_lines() {
        for line in [
            KEY,
            "ecdsa-sha2-nistp256 AAAAE2Vj= x",
            "sk-ssh-ed25519@openssh.com AAAAGnNr",
            "command=\"/bin/x y\",no-pty ssh-rsa AAAAB3N/+= c",
        ] {
            assert!(is_public_key(line), "{line}");
        }
        for line in [
            "",
            "ssh-rsa",
            "hello AAAA",
            "ssh-rsa BBBB",
            "ssh-rsa AAAA\nroot",
            "-----BEGIN KEY-----",
            "ssh-rsa AAAA;x",
        ] {
            assert!(!is_public_key(line), "{line}");
        }
    }

    #[test]
    fn keys_are_added_once_and_nothing_is_lost() {
        let keys = vec!["b".to_owned(), "a".to_owned()];
        assert_eq!(merged("", &keys).as_deref(), Some("b\na\n"));
        assert_eq!(merged("x\na", &keys).as_deref(), Some("x\na\nb\n"));
        assert_eq!(merged("a\n# c\nb\n", &keys), None);
    }

    #[test]
    fn the_file_belongs_to_the_user_and_to_nobody_else() {
        let home = tempfile::tempdir().unwrap();
        install(home.path(), 12345, 12346, &[KEY.to_owned()]).unwrap();
        install(home.path(), 12345, 12346, &[KEY.to_owned()]).unwrap();
        let path = home.path().join(".ssh/authorized_keys");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{KEY}\n"));
        assert_eq!((metadata.uid(), metadata.gid()), (12345, 12346));
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        let directory = fs::metadata(home.path().join(".ssh")).unwrap();
        assert_eq!(directory.permissions().mode() & 0o7777, 0o700);
        assert_eq!(fs::read_dir(home.path().join(".ssh")).unwrap().count(), 1);
    }

    /// The number of a user without rights.
    const USER: u32 = 12345;

    /// The user's home, in a directory of root's.
    fn home(work: &Path) -> PathBuf {
        let home = work.join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        for path in [&home, &home.join(".ssh")] {
            chown(path, Some(USER), Some(USER)).unwrap();
        }
        home
    }

    /// Through each of these the user would read a secret, or write root's configuration.
    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_users_links_lead_root_nowhere() {
        let work = tempfile::tempdir().unwrap();
        let at = |name: &str| work.path().join(name);
        fs::create_dir(at("cloud-config.d")).unwrap();
        fs::write(at("shadow"), "root:secret\n").unwrap();
        let home = home(work.path());
        let keys = home.join(".ssh/authorized_keys");
        let add = || install(&home, USER, USER, &[KEY.to_owned()]);
        symlink(at("shadow"), &keys).unwrap();
        assert!(add().unwrap_err().to_string().contains("is not followed"));
        assert!(keys.is_symlink());
        fs::remove_dir_all(home.join(".ssh")).unwrap();
        symlink(at("cloud-config.d"), home.join(".ssh")).unwrap();
        assert!(add().unwrap_err().to_string().contains("is not followed"));
        assert_eq!(fs::read_dir(at("cloud-config.d")).unwrap().count(), 0);
        assert_eq!(fs::metadata(at("shadow")).unwrap().uid(), 0);
        // Root's own link, as that of a home on another disk, is followed.
        fs::remove_file(home.join(".ssh")).unwrap();
        symlink(&home, at("alias")).unwrap();
        install(&at("alias"), USER, USER, &[KEY.to_owned()]).unwrap();
        assert_eq!(fs::read_to_string(&keys).unwrap(), format!("{KEY}\n"));
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn what_sshd_cannot_use_is_set_aside_and_root_waits_for_nothing() {
        type Put = fn(&Path);
        let rows: [(&str, Put); 6] = [
            ("a pipe", |path| {
                let mode = rustix::fs::Mode::RWXU;
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
            }),
            ("a directory", |path| fs::create_dir(path).unwrap()),
            ("not text", |path| own(path, b"\xff\xfe", USER, 0o600)),
            ("zeros", |path| own(path, &[0; 9], USER, 0o600)),
            ("another user's", |path| own(path, b"secret", 54321, 0o644)),
            ("root's secret", |path| own(path, b"secret", 0, 0o600)),
        ];
        for (what, put) in rows {
            let work = tempfile::tempdir().unwrap();
            let home = home(work.path());
            let keys = home.join(".ssh/authorized_keys");
            put(&keys);
            let aside = install(&home, USER, USER, &[KEY.to_owned()]).unwrap();
            assert_eq!(
                aside,
                Some(home.join(".ssh/authorized_keys.damaged")),
                "{what}"
            );
            assert_eq!(
                fs::read_to_string(&keys).unwrap(),
                format!("{KEY}\n"),
                "{what}"
            );
        }
        let work = tempfile::tempdir().unwrap();
        let home = home(work.path());
        let keys = home.join(".ssh/authorized_keys");
        own(&keys, b"# root's, for all to read\n", 0, 0o644);
        assert_eq!(install(&home, USER, USER, &[KEY.to_owned()]).unwrap(), None);
        assert!(fs::read_to_string(&keys).unwrap().starts_with("# root's"));
    }

    fn own(path: &Path, bytes: &[u8], user: u32, mode: u32) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        chown(path, Some(user), Some(user)).unwrap();
    }
}
