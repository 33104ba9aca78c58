//! NFS without mount.nfs: the kernel takes one version, and its caller finds out which one a server has (nfs(5), `nfsvers`).

use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;

use anyhow::Context as _;

/// Versions that this kernel has, the best first.
const VERSIONS: [&str; 4] = ["4.2", "4.1", "4.0", "3"];

/// The port of version 4.
pub(super) const PORT: u16 = 2049;

/// Programs that watch for peers which restart while they hold locks (rpc.statd(8)).
const STATD: [&str; 2] = ["/sbin/rpc.statd", "/usr/sbin/rpc.statd"];

/// What an answer says about other versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The next one may work.
    Version,
    /// Version 3 may work: servers had no tree for version 4, or another one, and listened elsewhere.
    OnlyThree,
    /// No version changes it.
    Any,
}

/// By mount's words, which are those of strerror(3).
fn answer(words: &str) -> Answer {
    let has = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
    if has(&[
        "rotocol not supported",
        "rotocol wrong type",
        "wrong fs type",
        "nvalid argument",
    ]) {
        Answer::Version
    } else if has(&[
        "does not exist",
        "o such file",
        "not permitted",
        "onnection refused",
    ]) {
        Answer::OnlyThree
    } else {
        Answer::Any
    }
}

/// Has `mount` try the options with one version after the other until it succeeds, or no version can change the answer.
/// The version that was taken; none when the options name it themselves.
pub(super) fn negotiate(
    kind: &str,
    options: &str,
    address: IpAddr,
    mut mount: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Option<&'static str>> {
    let options = options.replace("defaults", "rw");
    let has_statd = STATD.iter().any(|path| Path::new(path).exists());
    if let Some(version) = named_version(&options) {
        let lock = lock(&options, version.starts_with('3'), has_statd);
        mount(&format!("addr={address},{options}{lock}"))?;
        return Ok(None);
    }
    let mut only_three = false;
    let mut told: Option<(Answer, anyhow::Error)> = None;
    for version in VERSIONS {
        let is_three = version == "3";
        if is_three && kind == "nfs4" || only_three && !is_three {
            continue;
        }
        let lock = lock(&options, is_three, has_statd);
        let Err(error) = mount(&format!("vers={version},addr={address},{options}{lock}")) else {
            return Ok(Some(version));
        };
        let answer = answer(&format!("{error:#}"));
        if answer == Answer::Any {
            return Err(error);
        }
        only_three = answer == Answer::OnlyThree;
        // "There is no such folder" says more than "not this version" of those before and after.
        if told
            .as_ref()
            .is_none_or(|(known, _)| *known == Answer::Version)
        {
            told = Some((answer, error));
        }
    }
    let (_, error) = told.context("there is no version to try")?;
    Err(error)
}

/// The version that the options name.
fn named_version(options: &str) -> Option<&str> {
    let mut pairs = options
        .split(',')
        .filter_map(|option| option.split_once('='));
    let found = pairs.find(|(key, _)| matches!(*key, "vers" | "nfsvers" | "minorversion"))?;
    // A minor version is one of version 4.
    Some(if found.0 == "minorversion" {
        "4"
    } else {
        found.1
    })
}

/// Locks of version 3 need rpc.statd; without it a program that locks a file would wait or fail.
fn lock(options: &str, is_three: bool, has_statd: bool) -> &'static str {
    let is_said = options
        .split(',')
        .any(|option| matches!(option, "lock" | "nolock") || option.starts_with("local_lock="));
    if is_three && !has_statd && !is_said {
        ",nolock"
    } else {
        ""
    }
}

/// The address of a server, whom the kernel does not look up by name.
pub(super) fn address(host: &str, port: u16) -> anyhow::Result<IpAddr> {
    let host = host.trim_matches(['[', ']']);
    (host, port)
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve {host}"))?
        .next()
        .map(|address| address.ip())
        .with_context(|| format!("{host} has no address"))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    /// What was asked of a server that answers by version, and what became of it.
    fn ask(
        kind: &str,
        options: &str,
        answers: &[(&str, &str)],
    ) -> (Vec<String>, Result<Option<&'static str>, String>) {
        let mut asked = Vec::new();
        let address = IpAddr::from([10, 0, 0, 1]);
        let result = negotiate(kind, options, address, |options| {
            asked.push(options.to_owned());
            let found = answers
                .iter()
                .find(|(version, _)| options.contains(&format!("vers={version},")));
            match found {
                Some((_, words)) => bail!("mount: /mnt: {words}."),
                None => Ok(()),
            }
        });
        (asked, result.map_err(|error| error.to_string()))
    }

    const UNKNOWN: &str = "mount(2) system call failed: Protocol not supported";
    const ABSENT: &str = "special device srv:/x does not exist";

    #[test]
    fn versions_are_tried_down_to_the_one_that_the_server_has() {
        let (asked, result) = ask("nfs", "defaults,ro", &[("4.2", UNKNOWN), ("4.1", UNKNOWN)]);
        assert_eq!(result, Ok(Some("4.0")));
        assert_eq!(asked[0], "vers=4.2,addr=10.0.0.1,rw,ro");
        assert_eq!(asked[2], "vers=4.0,addr=10.0.0.1,rw,ro");
        let old = [("4.2", UNKNOWN), ("4.1", UNKNOWN), ("4.0", UNKNOWN)];
        let (asked, result) = ask("nfs", "ro", &old);
        assert_eq!(result, Ok(Some("3")));
        if !STATD.iter().any(|path| Path::new(path).exists()) {
            assert_eq!(asked[3], "vers=3,addr=10.0.0.1,ro,nolock");
        }
        let (asked, result) = ask("nfs4", "ro", &old);
        assert!(asked.len() == 3 && result.is_err());
    }

    #[test]
    fn an_answer_that_no_version_changes_ends_it() {
        for words in [
            "Connection timed out",
            "permission denied",
            "No route to host",
        ] {
            let (asked, result) = ask("nfs", "ro", &[("4.2", words)]);
            assert!(asked.len() == 1 && result.is_err(), "{words}");
        }
        // The other minor versions have the same tree; version 3 has another one.
        let (asked, result) = ask("nfs", "ro", &[("4.2", ABSENT)]);
        assert_eq!((asked.len(), result), (2, Ok(Some("3"))));
        let nowhere = [
            ("4.2", UNKNOWN),
            ("4.1", ABSENT),
            ("3", "Connection refused"),
        ];
        let (asked, result) = ask("nfs", "ro", &nowhere);
        assert_eq!(asked.len(), 3);
        assert!(result.unwrap_err().contains("does not exist"));
    }

    #[test]
    fn a_version_that_is_named_is_taken() {
        for options in ["vers=4.1,ro", "nfsvers=3,nolock", "minorversion=1"] {
            let (asked, result) = ask("nfs", options, &[]);
            assert_eq!(result, Ok(None));
            assert_eq!(asked, [format!("addr=10.0.0.1,{options}")]);
        }
        assert_eq!(lock("vers=3", true, false), ",nolock");
        assert_eq!(lock("vers=3,lock", true, false), "");
        assert_eq!(lock("vers=3", true, true), "");
    }
}
