//! A container's resolv.conf, which changes while the container lives: a connection to a user-defined network brings the
//! embedded name server with it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use engine_api::{Error, Result};
use network::files::ResolverConfig;
use oci_image::Digest;
use rustix::fs::OFlags;

/// The file, in the container's directory and bound into the container.
pub(in crate::container) const FILE: &str = "resolv.conf";
/// Next to it: what the engine wrote last, as in Docker. A file that the container has changed since is the container's.
pub(in crate::container) const HASH: &str = "resolv.conf.hash";
/// Longest file that is changed, in bytes. The container can make it longer.
const LONGEST: u64 = 64 * 1024;

/// Replaces the content of the file; its inode stays, since a running container has it bound.
///
/// # Errors
/// When it cannot be written, also because the container holds a lease on it.
pub(in crate::container) fn write(directory: &Path, text: &str) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        let file = open(options.write(true).create(true).mode(0o644), &path);
        file.and_then(|mut file| {
            file.set_len(0)?;
            file.write_all(text.as_bytes())
        })
        .map_err(|error| Error::server(format!("write {}: {error}", path.display())))
    };
    write(FILE, text)?;
    write(HASH, &Digest::sha256(text.as_bytes()).to_string())
}

/// Makes the embedded server the one that the container asks, unless the container has changed its file.
///
/// # Errors
/// When the file cannot be read or written.
pub(in crate::container) fn ask_embedded(directory: &Path) -> Result<()> {
    let read = |name: &str| {
        let path = directory.join(name);
        let mut text = Vec::new();
        open(OpenOptions::new().read(true), &path)
            .and_then(|file| file.take(LONGEST).read_to_end(&mut text))
            .map_err(|error| Error::server(format!("read {}: {error}", path.display())))?;
        Ok::<_, Error>(text)
    };
    let (text, hash) = (read(FILE)?, read(HASH)?);
    if Digest::sha256(&text).to_string().as_bytes() != hash {
        return Ok(());
    }
    let present = ResolverConfig::parse(&String::from_utf8_lossy(&text));
    let mut wanted = present.clone();
    wanted.ask_embedded();
    if wanted == present {
        return Ok(());
    }
    write(directory, &wanted.to_text())
}

/// Opens without waiting for whoever holds a lease (fcntl(2), F_SETLEASE), and follows no link.
fn open(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_server_takes_over_but_not_from_the_container() {
        let directory = tempfile::tempdir().unwrap();
        let (directory, file) = (directory.path(), directory.path().join(FILE));
        let own = "nameserver 10.0.2.3\nsearch lan\n";
        let embedded = "nameserver 127.0.0.11\nsearch lan\noptions ndots:0\n";
        write(directory, own).unwrap();
        for _ in 0..2 {
            ask_embedded(directory).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), embedded);
        }
        write(directory, own).unwrap();
        std::fs::write(&file, "nameserver 9.9.9.9\n").unwrap();
        ask_embedded(directory).unwrap();
        let left = std::fs::read_to_string(&file).unwrap();
        assert_eq!(left, "nameserver 9.9.9.9\n");
    }
}
