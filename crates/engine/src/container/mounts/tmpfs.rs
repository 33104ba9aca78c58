//! The options of `--tmpfs`: Docker knows these (moby/sys/mount), and refuses others before the kernel does.

use engine_api::{Error, Result};

/// Checks the options of `--tmpfs`, separated by commas.
///
/// # Errors
/// 400 in Docker's words for an option that it does not know.
pub(super) fn check(text: &str) -> Result<()> {
    const FLAGS: [&str; 26] = [
        "defaults",
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "remount",
        "mand",
        "nomand",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "bind",
        "rbind",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "",
    ];
    const KEYS: [&str; 7] = [
        "size",
        "mode",
        "uid",
        "gid",
        "nr_inodes",
        "nr_blocks",
        "mpol",
    ];
    for word in text.split(',').map(str::trim) {
        let known = match word.split_once('=') {
            Some((key, _)) => KEYS.contains(&key),
            None => FLAGS.contains(&word) || is_propagation(word),
        };
        if !known {
            let word = word.split('=').next().unwrap_or_default();
            return Err(Error::bad_parameter(format!(
                "invalid tmpfs option {word:?}"
            )));
        }
    }
    Ok(())
}

/// Mount propagation, with `r` for all below.
fn is_propagation(word: &str) -> bool {
    let kind = word.strip_prefix('r').unwrap_or(word);
    matches!(kind, "private" | "shared" | "slave" | "unbindable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_docker_does_not_know_are_named() {
        for known in ["", "size=64m,mode=1777", "ro, noexec", "rslave,uid=0"] {
            assert!(check(known).is_ok(), "{known}");
        }
        for (unknown, word) in [
            ("nope", "nope"),
            ("size=1m,nope=3", "nope"),
            ("size", "size"),
        ] {
            let error = check(unknown).unwrap_err();
            assert_eq!(
                (error.status.as_u16(), error.message),
                (400, format!("invalid tmpfs option {word:?}"))
            );
        }
    }
}
