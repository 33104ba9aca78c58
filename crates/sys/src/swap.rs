//! Swap: what is on (proc_swaps(5)), and swapoff(2).

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result, check};
use crate::mount::unescape;

/// The swap files that are on, each by its path in the mount namespace of whoever turned it on. Partitions are not among
/// them: they keep no file system busy.
///
/// # Errors
/// When /proc is not mounted. A kernel without swap has no such file, and so none.
pub fn files() -> Result<Vec<PathBuf>> {
    match std::fs::read("/proc/swaps") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(files_in(&text.what(|| "read /proc/swaps".to_owned())?)),
    }
}

/// Lines are `PATH TYPE SIZE USED PRIORITY`, after a line of headings.
fn files_in(text: &[u8]) -> Vec<PathBuf> {
    let lines = text.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let mut words = line
                .split(|byte| byte.is_ascii_whitespace())
                .filter(|word| !word.is_empty());
            let path = words.next()?;
            (words.next()? == b"file").then(|| unescape(path))
        })
        .collect()
}

/// Turns a swap file or partition off. It waits until all that is in it is in RAM.
///
/// # Errors
/// What swapoff(2) refuses: EINVAL for what is not on, ENOMEM when RAM does not suffice.
pub fn off(path: &Path) -> Result<()> {
    let what = || format!("turn swap {} off", path.display());
    let text = CString::new(path.as_os_str().as_bytes())
        .map_err(std::io::Error::from)
        .what(what)?;
    // SAFETY: the text ends with a zero and lives across the call.
    check(i64::from(unsafe { libc::swapoff(text.as_ptr()) })).what(what)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_from_partitions_and_their_names_are_whole() {
        let text = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/vdc                                partition\t1048572\t\t0\t\t-2\n\
            /home/a\\040swap                          file\t\t524284\t\t12\t\t-3\n";
        assert_eq!(files_in(text), [PathBuf::from("/home/a swap")]);
        assert!(files_in(b"").is_empty());
    }

    #[test]
    fn what_is_not_swap_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = off(file.path()).unwrap_err().to_string();
        assert!(error.starts_with("turn swap /"), "{error}");
    }
}
