//! `write_files`: files of the configuration, in the console or, by bind mounts that PID 1 makes, in other services.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::WriteFile;
use sys::guarded::{Content, Place};

use super::accounts;

/// The service whose files are written when nothing else is named.
const CONSOLE: &str = "console";

/// Largest file after it is unpacked.
const MAX_BYTES: u64 = 64 << 20;

/// Mode of a file that names none.
const MODE: u32 = 0o644;

/// Writes those for the console; each that fails is a separate error.
pub(super) fn write_all(files: &[WriteFile]) -> anyhow::Result<()> {
    write(files.iter())
}

/// Writes those for the console again whose place lies below `target`, where something was mounted.
pub(super) fn write_below(files: &[WriteFile], target: &Path) -> anyhow::Result<()> {
    let is_below =
        |file: &&WriteFile| self::target(file).is_ok_and(|path| path.starts_with(target));
    write(files.iter().filter(is_below))
}

fn write<'f>(files: impl Iterator<Item = &'f WriteFile>) -> anyhow::Result<()> {
    let failures: Vec<String> = files
        .filter(|file| container(file) == CONSOLE)
        .filter_map(|file| {
            write_one(file)
                .err()
                .map(|error| format!("{}: {error:#}", name(file)))
        })
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// The service in whose files it goes.
pub(crate) fn container(file: &WriteFile) -> &str {
    file.container
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or(CONSOLE)
}

fn name(file: &WriteFile) -> &str {
    file.path.as_deref().unwrap_or("an entry without a path")
}

fn write_one(file: &WriteFile) -> anyhow::Result<()> {
    let path = target(file)?;
    let owner = file
        .owner
        .as_deref()
        .map(owner_in_console)
        .transpose()?
        .unwrap_or((0, 0));
    put(
        &path,
        &content(file)?,
        mode(file)?,
        owner,
        file.append == Some(true),
    )
}

/// Where it goes: an absolute path without `..`.
pub(crate) fn target(file: &WriteFile) -> anyhow::Result<PathBuf> {
    let path = Path::new(file.path.as_deref().context("it has no path")?);
    ensure!(path.is_absolute(), "the path is not absolute");
    ensure!(
        !path
            .components()
            .any(|part| part == std::path::Component::ParentDir),
        "the path has .."
    );
    Ok(path.to_owned())
}

/// The permission bits.
pub(crate) fn mode(file: &WriteFile) -> anyhow::Result<u32> {
    let Some(text) = file.permissions.as_deref().map(str::trim) else {
        return Ok(MODE);
    };
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => bail!("permissions {text:?} are not octal, as \"0644\""),
    }
}

/// The bytes after `encoding`, whose words cloud-init and RancherOS write in several ways and orders.
pub(crate) fn content(file: &WriteFile) -> anyhow::Result<Vec<u8>> {
    let text = file.content.as_deref().unwrap_or("");
    let encoding = file
        .encoding
        .as_deref()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    let (mut base64, mut gzip) = (false, false);
    for word in encoding.split('+').filter(|word| !word.is_empty()) {
        match word {
            "b64" | "base64" => base64 = true,
            "gz" | "gzip" => gzip = true,
            "text/plain" | "plain" | "text" => {}
            other => {
                bail!("encoding {other:?} is not known, expected b64, base64, gz, gzip, or gz+b64")
            }
        }
    }
    let mut bytes = text.as_bytes().to_vec();
    if base64 {
        let compact: String = text.split_ascii_whitespace().collect();
        bytes = engine_api::base64::decode(&compact).context("the content is not base64")?;
    }
    if gzip {
        bytes = cloud_init::user_data::gunzip(&bytes, MAX_BYTES).context("content")?;
    }
    Ok(bytes)
}

/// `user`, `user:group` or numbers, as this console knows them.
fn owner_in_console(owner: &str) -> anyhow::Result<(u32, u32)> {
    let (user, group) = owner.split_once([':', '.']).unwrap_or((owner, ""));
    let known = match user.parse::<u32>() {
        Ok(uid) => (uid, uid),
        Err(_) => accounts::user(user).map(|user| (user.uid, user.gid))?,
    };
    let gid = match (group, group.parse::<u32>()) {
        ("", _) => known.1,
        (_, Ok(gid)) => gid,
        _ => accounts::group_id(group)?,
    };
    Ok((known.0, gid))
}

/// Writes a file and the directories on its way. A file that is a mount point or a link is written in place; a link that
/// another user than root may have made is an error.
pub(crate) fn put(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: (u32, u32),
    append: bool,
) -> anyhow::Result<()> {
    let content = Content { bytes, mode, owner };
    let place = Place::make(path)?;
    ensure!(
        !place.find()?.is_some_and(|found| found.is_directory()),
        "it is a directory"
    );
    if append {
        // Files in /home are there at the next boot too.
        place.append_once(&content, MAX_BYTES)?;
    } else if place.was_link() || !place.replace(&content, false)? {
        place.overwrite(&content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    fn file(text: &str) -> WriteFile {
        let text = format!("write_files: [{{{text}}}]");
        let loaded = config::load(
            &[config::Source {
                name: "t",
                text: &text,
            }],
            &config::CommandLine::default(),
        );
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        loaded.config.write_files[0].clone()
    }

    #[test]
    fn every_spelling_of_an_encoding_is_read() {
        // printf hello | gzip -n9 | base64
        let packed = "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA==";
        for (text, want) in [
            ("content: hello", "hello"),
            ("content: aGVsbG8=, encoding: b64", "hello"),
            ("content: \"aGVs\\nbG8=\\n\", encoding: base64", "hello"),
            (&format!("content: {packed}, encoding: gz+b64"), "hello"),
            (
                &format!("content: {packed}, encoding: gzip+base64"),
                "hello",
            ),
            (
                &format!("content: {packed}, encoding: base64+gzip"),
                "hello",
            ),
            ("content: hello, encoding: text/plain", "hello"),
            ("path: /a", ""),
        ] {
            assert_eq!(content(&file(text)).unwrap(), want.as_bytes(), "{text}");
        }
        for text in [
            "content: a, encoding: rot13",
            "content: '***', encoding: b64",
            "content: aGVsbG8=, encoding: gz+b64",
        ] {
            assert!(content(&file(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal_however_they_are_written() {
        for (text, want) in [
            ("permissions: 0755", 0o755),
            ("permissions: '644'", 0o644),
            ("permissions: '04755'", 0o4755),
            ("path: /a", 0o644),
        ] {
            assert_eq!(mode(&file(text)).unwrap(), want, "{text}");
        }
        assert!(mode(&file("permissions: rwxr-xr-x")).is_err());
        assert!(mode(&file("permissions: '99999'")).is_err());
    }

    #[test]
    fn paths_that_leave_their_place_are_refused() {
        assert!(target(&file("path: etc/x")).is_err());
        assert!(target(&file("path: /etc/../x")).is_err());
        assert!(target(&file("content: a")).is_err());
        assert_eq!(target(&file("path: /etc/x")).unwrap(), Path::new("/etc/x"));
    }

    #[test]
    fn files_below_a_mount_are_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let owner = fs::metadata(folder.path()).unwrap();
        let owner = format!("owner: '{}:{}'", owner.uid(), owner.gid());
        let path = |name: &str| format!("path: {}, {owner}", at(name).display());
        let files = [
            file(&path("disk/a")),
            file(&path("disks/b")),
            file(&format!("{}, container: ntp", path("disk/c"))),
        ];
        write_below(&files, &at("disk")).unwrap();
        assert!(at("disk/a").exists() && !at("disks").exists() && !at("disk/c").exists());
    }

    #[test]
    fn a_file_is_put_with_its_mode_and_owner_and_appended_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        put(&path, b"one\n", 0o4750, (12, 34), false).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12, 34));
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o4750);
        for _ in 0..2 {
            put(&path, b"two\n", 0o644, (0, 0), true).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        put(&link, b"three", 0o600, (0, 0), false).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
    }

    /// alice may put a link to anything in the place of each name below her home.
    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_link_of_the_owners_is_refused_and_what_it_leads_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (shadow, home) = (folder.path().join("shadow"), folder.path().join("alice"));
        fs::write(&shadow, "root:secret").unwrap();
        fs::create_dir(&home).unwrap();
        chown(&home, Some(1200), Some(1200)).unwrap();
        symlink(&shadow, home.join(".profile")).unwrap();
        symlink(folder.path(), home.join("way")).unwrap();
        for (name, append) in [
            (".profile", false),
            (".profile", true),
            ("way/shadow", false),
        ] {
            let put = put(&home.join(name), b"x", 0o644, (1200, 1200), append);
            let error = format!("{:#}", put.unwrap_err());
            assert!(error.contains("it is not followed"), "{name}: {error}");
        }
        // And a pipe is not waited for.
        let pipe = home.join("pipe");
        let here = fs::File::open(&home).unwrap();
        let kind = sys::fs::NodeKind::Fifo;
        sys::fs::make_node(here.as_fd(), Path::new("pipe"), kind, 0o600, (0, 0)).unwrap();
        chown(&pipe, Some(1200), Some(1200)).unwrap();
        assert!(put(&pipe, b"x", 0o644, (1200, 1200), true).is_err());
        assert_eq!(fs::read_to_string(&shadow).unwrap(), "root:secret");
        assert_eq!(fs::metadata(&shadow).unwrap().uid(), 0);
        // What is hers is written.
        put(&home.join("new"), b"x", 0o644, (1200, 1200), true).unwrap();
        assert_eq!(fs::metadata(home.join("new")).unwrap().uid(), 1200);
    }
}
