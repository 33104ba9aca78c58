//! Reads `.deb` files (deb(5)): an ar archive with a compressed tar of the package's files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};
use duct::cmd;

/// What an ar archive begins with.
const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Length of an ar member's header in bytes.
const HEADER: usize = 60;

/// Calls `visit` for each entry of the package's data archive, in order.
pub(crate) fn for_each<F>(package: &Path, mut visit: F) -> Result<()>
where
    F: FnMut(&mut tar::Entry<'_, &mut dyn Read>) -> Result<()>,
{
    let (name, data) = data_member(package)?;
    let context = || format!("read {} of {}", name, package.display());
    let mut reader: Box<dyn Read> = match name.as_str() {
        "data.tar.xz" => Box::new(unpacker("xz", data)?),
        "data.tar.zst" => Box::new(unpacker("zstd", data)?),
        "data.tar.gz" => Box::new(flate2::read::GzDecoder::new(std::io::Cursor::new(data))),
        "data.tar" => Box::new(std::io::Cursor::new(data)),
        other => bail!(
            "{} is packed as {other}, which this build does not know",
            package.display()
        ),
    };
    let mut archive = tar::Archive::new(&mut *reader as &mut dyn Read);
    for entry in archive.entries().with_context(context)? {
        visit(&mut entry.with_context(context)?)?;
    }
    // Read to the end, so that a tool that fails late is noticed
    std::io::copy(&mut reader, &mut std::io::sink()).with_context(context)?;
    Ok(())
}

/// Writes one file of the package to `target`.
pub(crate) fn extract(package: &Path, path: &str, target: &Path) -> Result<()> {
    let mut found = false;
    for_each(package, |entry| {
        let name = entry.path().context("entry name")?.into_owned();
        if name.strip_prefix(".").unwrap_or(&name) == Path::new(path) {
            let mut pending = crate::cache::Pending::create(target)?;
            std::io::copy(entry, &mut pending)
                .with_context(|| format!("write {}", target.display()))?;
            pending.commit()?;
            found = true;
        }
        Ok(())
    })?;
    if !found {
        bail!("{} has no file {path}", package.display());
    }
    Ok(())
}

fn unpacker(tool: &str, data: Vec<u8>) -> Result<impl Read> {
    cmd!(tool, "-dc")
        .stdin_bytes(data)
        .reader()
        .with_context(|| format!("run {tool} (cargo xtask setup installs it)"))
}

/// Finds the member that holds the package's files.
fn data_member(package: &Path) -> Result<(String, Vec<u8>)> {
    let mut file = File::open(package).with_context(|| format!("open {}", package.display()))?;
    let broken = || format!("{} is not a Debian package", package.display());
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).with_context(broken)?;
    if magic != *MAGIC {
        bail!(broken());
    }
    loop {
        let mut header = [0; HEADER];
        file.read_exact(&mut header).with_context(broken)?;
        let (name, size) = member(&header).with_context(broken)?;
        if name.starts_with("data.tar") {
            let mut data = Vec::new();
            file.take(size)
                .read_to_end(&mut data)
                .with_context(broken)?;
            return Ok((name, data));
        }
        let skip = i64::try_from(size + size % 2).with_context(broken)?;
        file.seek(SeekFrom::Current(skip)).with_context(broken)?;
    }
}

/// Name and size of an ar member.
fn member(header: &[u8; HEADER]) -> Option<(String, u64)> {
    let name = std::str::from_utf8(&header[..16])
        .ok()?
        .trim_end()
        .trim_end_matches('/');
    let size = std::str::from_utf8(&header[48..58])
        .ok()?
        .trim_end()
        .parse()
        .ok()?;
    (&header[58..] == b"`\n").then(|| (name.to_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, size: usize) -> Vec<u8> {
        format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
            0, 0, 0, 100_644
        )
        .into_bytes()
    }

    #[test]
    fn files_of_a_package_are_found() {
        let mut data = tar::Builder::new(Vec::new());
        let mut entry = tar::Header::new_gnu();
        entry.set_size(2);
        entry.set_mode(0o644);
        data.append_data(&mut entry, "./usr/bin/x", &b"hi"[..])
            .unwrap();
        let data = data.into_inner().unwrap();
        let mut package = MAGIC.to_vec();
        package.extend(header("debian-binary", 3));
        package.extend(b"2.0\n"); // padded to an even length
        package.extend(header("data.tar", data.len()));
        package.extend(&data);
        let path = std::env::temp_dir().join(format!("xtask-deb-{}.deb", std::process::id()));
        std::fs::write(&path, &package).unwrap();
        let target = path.with_extension("out");
        extract(&path, "usr/bin/x", &target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"hi");
        assert!(extract(&path, "usr/bin/y", &target).is_err());
        std::fs::write(&path, b"<html>").unwrap();
        assert!(extract(&path, "usr/bin/x", &target).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&target).unwrap();
    }
}
