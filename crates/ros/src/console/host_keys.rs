//! The ssh server's host keys: from the configuration, from an earlier boot, or new. A power cut or a full disk must not
//! keep sshd from starting, so what is not a whole key is set aside, and what cannot be kept is made in RAM.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sys::process::Command;

use crate::problems;

/// Host key types that sshd takes.
pub(crate) const KEY_TYPES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];
/// A key of this type is not made, since clients of today know the others; one that the configuration has is used.
const ONLY_GIVEN: &str = "rsa";

/// Longest run of ssh-keygen; an emulated machine needs a second.
const KEYGEN_DEADLINE: Duration = Duration::from_secs(60);

/// A file that is larger is not a key.
const LARGEST_KEY_BYTES: u64 = 64 << 10;

/// The subject of what is said.
const SUBJECT: &str = "ssh";

/// One key of each type that can be had, in `directory` or, where that cannot be written, in `spare`, which is in RAM.
///
/// # Errors
/// When there is not one key.
pub(super) fn ensure(
    directory: &Path,
    spare: &Path,
    configured: &config::cloud_config::StringMap,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut keys = Vec::new();
    let mut failures = Vec::new();
    for kind in wanted(configured) {
        let key = host_key(directory, kind, configured).or_else(|error| {
            let key = host_key(spare, kind, configured)?;
            problems::warn(
                SUBJECT,
                &format!("the {kind} host key is another one until the next reboot: {error:#}"),
            );
            anyhow::Ok(key)
        });
        match key {
            Ok(path) => keys.push(path),
            Err(error) => failures.push(format!("{kind} host key: {error:#}")),
        }
    }
    if keys.is_empty() {
        bail!("{}", failures.join("; "));
    }
    for failure in failures {
        problems::warn(SUBJECT, &failure);
    }
    Ok(keys)
}

/// The types of keys that a machine has.
fn wanted(configured: &config::cloud_config::StringMap) -> impl Iterator<Item = &'static str> {
    let is_given = matches!(configured.get(ONLY_GIVEN), Some(Some(_)));
    let kinds = KEY_TYPES.into_iter();
    kinds.filter(move |kind| is_given || *kind != ONLY_GIVEN)
}

fn host_key(
    directory: &Path,
    kind: &str,
    configured: &config::cloud_config::StringMap,
) -> anyhow::Result<PathBuf> {
    set_aside_unless(directory, |metadata| metadata.is_dir())?;
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    sys::fs::set_mode(directory, 0o700)?;
    let path = directory.join(format!("ssh_host_{kind}_key"));
    if let Some(Some(key)) = configured.get(kind) {
        let text = format!("{}\n", key.trim_end());
        if read(&path)?.is_some_and(|old| old == text) {
            make_private(&path)?;
            return Ok(path);
        }
        cloud_init::store::write_atomic(&path, text.as_bytes(), 0o600)?;
        return Ok(path);
    }
    match read(&path)? {
        Some(text) if is_whole(&text) => {
            make_private(&path)?;
            return Ok(path);
        }
        Some(_) => {
            set_aside_unless(&path, |_| false)?;
        }
        None => {}
    }
    generate(&path, kind)?;
    Ok(path)
}

/// The text of a key file; what is not a file of text is set aside.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let is_small_file =
        |metadata: &fs::Metadata| metadata.is_file() && metadata.len() <= LARGEST_KEY_BYTES;
    set_aside_unless(path, is_small_file)?;
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whether the text is a private key from its first line to its last (RFC 7468; OpenSSH's PROTOCOL.key). sshd does not
/// start without a key that it can read, and a power cut leaves a file empty, half or full of zeros.
fn is_whole(text: &str) -> bool {
    /// `openssh-key-v1` and a NUL, in base64.
    const MAGIC: &str = "b3BlbnNzaC1rZXktdjEA";
    let mut lines = text.trim_end().lines();
    let (Some(first), Some(last)) = (lines.next(), lines.next_back()) else {
        return false;
    };
    let Some(label) = first
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.strip_suffix("PRIVATE KEY-----"))
    else {
        return false;
    };
    let body: String = lines.collect();
    last == format!("-----END {label}PRIVATE KEY-----")
        && !body.is_empty()
        && body.len().is_multiple_of(4)
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
        && (label != "OPENSSH " || body.starts_with(MAGIC))
}

/// Takes the key from everybody but root: sshd refuses one that others may read.
fn make_private(path: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot stat {}", path.display()))?;
    if metadata.mode() & 0o7177 != 0 {
        sys::fs::set_mode(path, 0o600)?;
    }
    if metadata.uid() != 0 {
        // sshd takes another owner's key, too; only root can change it.
        let _ = sys::fs::set_owner(path, 0, 0);
    }
    Ok(())
}

/// Renames what is there and is not wanted.
fn set_aside_unless(path: &Path, wanted: impl FnOnce(&fs::Metadata) -> bool) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(_) if fs::metadata(path).is_ok_and(|metadata| wanted(&metadata)) => return Ok(()),
        _ => {}
    }
    let aside = PathBuf::from(format!("{}.damaged", path.display()));
    let what = || format!("cannot set {} aside", path.display());
    // Of an earlier time; a directory and a file do not replace each other.
    let _ = fs::remove_file(&aside);
    let _ = fs::remove_dir_all(&aside);
    fs::rename(path, &aside).with_context(what)?;
    problems::warn(
        SUBJECT,
        &format!(
            "{} was damaged: it is now {}, and there is a new one",
            path.display(),
            aside.display()
        ),
    );
    Ok(())
}

/// A new key under a temporary name first: half a key would be kept for ever.
fn generate(path: &Path, kind: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let public = |path: &Path| PathBuf::from(format!("{}.pub", path.display()));
    for old in [&temporary, &public(&temporary)] {
        let _ = fs::remove_file(old); // from an interrupted boot
    }
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", "", "-f"])
        .arg(&temporary)
        .deadline(KEYGEN_DEADLINE)
        .run()?;
    if !output.status.success() {
        bail!(
            "ssh-keygen: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    for file in [&temporary, &public(&temporary)] {
        fs::File::open(file)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    // A full disk can take the name and not the content.
    let written = fs::read_to_string(&temporary).unwrap_or_default();
    if !is_whole(&written) {
        bail!("ssh-keygen wrote half a key: is the disk full?");
    }
    fs::rename(public(&temporary), public(path)).context("cannot keep the public key")?;
    fs::rename(&temporary, path).with_context(|| format!("cannot keep {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn new_key(directory: &Path) -> String {
        let path = directory.join("new");
        generate(&path, "ed25519").unwrap();
        fs::read_to_string(path).unwrap()
    }

    /// RancherOS's machines have keys of this type in their configuration, and clients know them by these.
    #[test]
    fn an_rsa_key_is_used_when_it_is_given() {
        let directory = tempfile::tempdir().unwrap();
        let given = |kind: &str| (kind.to_owned(), Some(format!("{kind} key")));
        let mut configured: config::cloud_config::StringMap =
            ["ed25519", "ecdsa"].map(given).into();
        let names = |configured: &_| {
            let keys = ensure(directory.path(), directory.path(), configured).unwrap();
            let names = keys.iter().filter_map(|key| key.file_name()?.to_str());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let two = ["ssh_host_ed25519_key", "ssh_host_ecdsa_key"];
        assert_eq!(names(&configured), two);
        configured.extend([given("rsa"), given("dsa")]);
        let three = names(&configured);
        assert_eq!(three, [two[0], two[1], "ssh_host_rsa_key"]);
        let text = fs::read_to_string(directory.path().join(&three[2])).unwrap();
        assert_eq!(text, "rsa key\n");
        // What an earlier configuration gave is not used any more.
        configured.remove("rsa");
        assert_eq!(names(&configured), two);
    }

    #[test]
    #[ignore = "needs ssh-keygen: cargo test -- --include-ignored"]
    fn a_host_key_stays_and_a_configured_one_wins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ssh_host_ed25519_key");
        let none = config::cloud_config::StringMap::new();
        let old = new_key(directory.path());
        fs::write(&path, &old).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        host_key(directory.path(), "ed25519", &none).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), old);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let configured = [("ed25519".to_owned(), Some("mine".to_owned()))].into();
        host_key(directory.path(), "ed25519", &configured).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n");
    }

    /// Every kind of damage: the key is another one afterwards, and whole.
    #[test]
    #[ignore = "needs ssh-keygen: cargo test -- --include-ignored"]
    fn what_is_not_a_whole_key_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let whole = new_key(directory.path());
        let half = whole[..whole.len() / 2].to_owned();
        type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
        let damages: [Damage<'_>; 7] = [
            ("empty", &|path| fs::write(path, "").unwrap()),
            ("zeros", &|path| fs::write(path, [0; 400]).unwrap()),
            ("half", &|path| fs::write(path, &half).unwrap()),
            ("junk", &|path| fs::write(path, [0xff; 400]).unwrap()),
            ("huge", &|path| {
                fs::write(path, vec![b'A'; 1 << 20]).unwrap()
            }),
            ("a directory", &|path| fs::create_dir(path).unwrap()),
            ("a loop", &|path| symlink(path, path).unwrap()),
        ];
        let none = config::cloud_config::StringMap::new();
        for (name, damage) in damages {
            let path = directory.path().join("ssh_host_ed25519_key");
            let _ = fs::remove_file(&path);
            damage(&path);
            let made = host_key(directory.path(), "ed25519", &none).unwrap();
            let text = fs::read_to_string(made).unwrap();
            assert!(is_whole(&text), "{name}: {text}");
        }
        let directory = directory.path().join("a file");
        fs::write(&directory, "").unwrap();
        host_key(&directory, "ed25519", &none).unwrap();
    }
}
