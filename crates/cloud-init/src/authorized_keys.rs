//! A user's `authorized_keys` (sshd(8)): keys of the configuration are added, nothing is ever taken away.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Longest line taken; a 16384-bit RSA key with options is under 4 KiB.
const MAX_LINE_BYTES: usize = 16 << 10;

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
/// of a file that was there and is not text, as a power cut can leave it.
///
/// # Errors
/// A file that cannot be read or written.
pub fn install(home: &Path, uid: u32, gid: u32, keys: &[String]) -> Result<Option<PathBuf>> {
    let directory = home.join(".ssh");
    let path = directory.join("authorized_keys");
    if !directory.exists() {
        fs::create_dir_all(&directory).map_err(|error| Error::file("create", &directory, error))?;
        sys::fs::set_mode(&directory, 0o700)?;
        sys::fs::set_owner(&directory, uid, gid)?;
    }
    let mut aside = None;
    let existing = match fs::read_to_string(&path) {
        Ok(text) if !text.contains('\0') => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) if error.kind() != ErrorKind::InvalidData => {
            return Err(Error::file("read", &path, error));
        }
        _ => {
            let place = path.with_extension("damaged");
            fs::rename(&path, &place).map_err(|error| Error::file("set aside", &path, error))?;
            aside = Some(place);
            String::new()
        }
    };
    let Some(text) = merged(&existing, keys) else {
        return Ok(aside);
    };
    let temporary = directory.join(".authorized_keys.new");
    let written = write_new(&temporary, &text, uid, gid).and_then(|()| {
        fs::rename(&temporary, &path).map_err(|error| Error::file("replace", &path, error))
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // the old file stands; what is left of the new one must not stay
    }
    written.map(|()| aside)
}

fn write_new(path: &Path, text: &str, uid: u32, gid: u32) -> Result<()> {
    let _ = fs::remove_file(path); // left by a power cut; created below, so that no link is followed
    let mut file =
        fs::File::create_new(path).map_err(|error| Error::file("create", path, error))?;
    sys::fs::set_mode(path, 0o600)?;
    sys::fs::set_owner(path, uid, gid)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| Error::file("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

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
}
