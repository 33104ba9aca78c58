//! Swap: entries of `mounts`, and the file of `swap`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::Swap;
use sys::process::Command;

use super::{DEADLINE, succeed};

/// Making a swap file of some GiB on a slow disk.
const SWAP_DEADLINE: Duration = Duration::from_secs(300);

/// Whether a file or device is swapped to; `LABEL=` is not looked up.
fn is_swap(source: &str) -> bool {
    let real = source
        .starts_with('/')
        .then(|| fs::canonicalize(source).ok())
        .flatten();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    real.is_some_and(|path| {
        swaps
            .lines()
            .any(|line| line.split_ascii_whitespace().next() == path.to_str())
    })
}

/// Swaps to a device or a file, unless it is swapped to already.
pub(super) fn swap_on(source: &str) -> anyhow::Result<()> {
    if is_swap(source) {
        return Ok(());
    }
    match succeed(&Command::new("swapon").arg(source).deadline(DEADLINE)) {
        // LABEL= that is on already.
        Err(error) if format!("{error:#}").contains("busy") => Ok(()),
        result => result,
    }
}

/// Stops swapping to a device or a file; one that is not swapped to stays as it is.
pub(super) fn swap_off(source: &str) -> anyhow::Result<()> {
    if source.starts_with('/') && !is_swap(source) {
        return Ok(());
    }
    succeed(&Command::new("swapoff").arg(source).deadline(SWAP_DEADLINE))
}

/// The swap file of `swap`: made once, of the size that it says, and used.
pub(in crate::console) fn swap_file(swap: &Swap) -> anyhow::Result<()> {
    let Some(path) = swap.filename.as_deref() else {
        bail!("swap has no filename");
    };
    if !Path::new(path).exists() {
        let bytes = swap_bytes(swap)?;
        if bytes == 0 {
            return Ok(());
        }
        if let Some(parent) = Path::new(path).parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        let made = make_swap(path, bytes);
        if made.is_err() {
            let _ = fs::remove_file(path); // half of it would never be made whole
        }
        made?;
    }
    swap_on(path)
}

fn make_swap(path: &str, bytes: u64) -> anyhow::Result<()> {
    fs::File::create_new(path).with_context(|| format!("cannot create {path}"))?;
    sys::fs::set_mode(Path::new(path), 0o600)?;
    succeed(
        &Command::new("fallocate")
            .args(["-l", &bytes.to_string(), path])
            .deadline(SWAP_DEADLINE),
    )?;
    succeed(&Command::new("mkswap").arg(path).deadline(SWAP_DEADLINE))
}

fn swap_bytes(swap: &Swap) -> anyhow::Result<u64> {
    /// `auto`: as large as the RAM, and not more than this unless `maxsize` says so.
    const MOST: u64 = 2 << 30;
    let size = swap.size.as_deref().unwrap_or("auto");
    if size != "auto" {
        return bytes(size);
    }
    let most = swap
        .maxsize
        .as_deref()
        .map(bytes)
        .transpose()?
        .unwrap_or(MOST);
    let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let total: u64 = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .context("/proc/meminfo has no MemTotal")?;
    Ok((total << 10).min(most))
}

/// A size such as 512M, 1.5G or 1048576, in bytes.
fn bytes(text: &str) -> anyhow::Result<u64> {
    let text = text.trim().trim_end_matches(['B', 'b']);
    let (number, unit) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1_u64 << 10),
        Some('m' | 'M') => (&text[..text.len() - 1], 1 << 20),
        Some('g' | 'G') => (&text[..text.len() - 1], 1 << 30),
        Some('t' | 'T') => (&text[..text.len() - 1], 1 << 40),
        _ => (text, 1),
    };
    let number: f64 = number
        .trim()
        .parse()
        .with_context(|| format!("{text:?} is not a size such as 512M"))?;
    ensure!(
        (0.0..1e15).contains(&(number * unit as f64)),
        "{text:?} is not a size of a file"
    );
    Ok((number * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, want) in [
            ("512M", 512 << 20),
            ("1.5G", 3 << 29),
            ("2gb", 2 << 30),
            ("4096", 4096),
        ] {
            assert_eq!(bytes(text).unwrap(), want, "{text}");
        }
        assert!(bytes("much").is_err() && bytes("-1G").is_err());
        let auto = Swap {
            size: Some("auto".into()),
            maxsize: Some("1M".into()),
            filename: None,
        };
        assert_eq!(swap_bytes(&auto).unwrap(), 1 << 20);
    }
}
