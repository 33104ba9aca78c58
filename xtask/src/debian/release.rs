//! `InRelease`: the signed list of a suite's index files.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::control;
use crate::cache;

/// Debian's signing keys, from the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A verified release file.
#[derive(Debug)]
pub(crate) struct Release {
    /// `Debian` for Debian's own archives.
    pub(crate) origin: String,
    /// `Debian` or `Debian-Security`.
    pub(crate) label: String,
    /// `trixie`, `trixie-security`, ...
    pub(crate) codename: String,
    valid_until: Option<SystemTime>,
    /// Whether index files are also there under the name of their hash.
    pub(crate) by_hash: bool,
    files: HashMap<String, (String, u64)>,
}

impl Release {
    /// Verifies the signature of an `InRelease` file and reads what it signs.
    pub(crate) fn verify(inrelease: &[u8], url: &str, now: SystemTime) -> Result<Self> {
        let text =
            signed_text(inrelease, Path::new(KEYRING)).with_context(|| format!("verify {url}"))?;
        let release = Self::parse(&text).with_context(|| format!("read {url}"))?;
        release
            .check_date(now)
            .with_context(|| format!("check {url}"))?;
        Ok(release)
    }

    /// Reads a release file whose signature is known to be good.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let stanza = control::parse(text);
        let field = |name: &str| stanza.get(name).unwrap_or_default().to_owned();
        let valid_until = stanza.get("Valid-Until").map(parse_date).transpose()?;
        let mut files = HashMap::new();
        for line in stanza
            .get("SHA256")
            .context("the release file lists no SHA256")?
            .lines()
        {
            let mut words = line.split_whitespace();
            if let (Some(sha256), Some(size), Some(path)) =
                (words.next(), words.next(), words.next())
            {
                let size = size.parse().with_context(|| format!("size of {path}"))?;
                files.insert(path.to_owned(), (sha256.to_owned(), size));
            }
        }
        Ok(Self {
            origin: field("Origin"),
            label: field("Label"),
            codename: field("Codename"),
            valid_until,
            by_hash: stanza.get("Acquire-By-Hash") == Some("yes"),
            files,
        })
    }

    /// SHA-256 and size of an index file, by its path below the suite.
    pub(crate) fn file(&self, path: &str) -> Option<(&str, u64)> {
        self.files
            .get(path)
            .map(|(sha256, size)| (sha256.as_str(), *size))
    }

    fn check_date(&self, now: SystemTime) -> Result<()> {
        match self.valid_until {
            Some(end) if end < now => bail!(
                "the release file of {} is out of date: the mirror is stale, or this machine's clock is wrong",
                self.codename
            ),
            _ => Ok(()),
        }
    }
}

/// The text inside a clear-signed message, if a key of `keyring` signed it.
fn signed_text(message: &[u8], keyring: &Path) -> Result<String> {
    if !keyring.is_file() {
        bail!(
            "{} is missing: install the package debian-archive-keyring (cargo xtask setup)",
            keyring.display()
        );
    }
    let folder = cache::dir("gpgv")?;
    let mut signed = cache::Pending::create(&folder.join(cache::sha256(message)))?;
    signed.write_all(message).context("write the message")?;
    signed.flush().context("write the message")?;
    let plain = signed.path().with_extension("plain");
    std::fs::remove_file(&plain).ok();
    let status = cmd!(
        "gpgv",
        "--status-fd",
        "1",
        "--keyring",
        keyring,
        "--output",
        &plain,
        signed.path()
    )
    .stderr_capture()
    .stdout_capture()
    .unchecked()
    .run()
    .context("run gpgv (package gpgv, cargo xtask setup)")?;
    let text = std::fs::read_to_string(&plain);
    std::fs::remove_file(&plain).ok();
    judge(&String::from_utf8_lossy(&status.stdout))?;
    text.context("gpgv wrote no text")
}

/// Reads gpgv's status lines: one good signature is needed, one bad signature spoils all.
fn judge(status: &str) -> Result<()> {
    let has = |keyword: &str| {
        status.lines().any(|line| {
            line.strip_prefix("[GNUPG:] ")
                .and_then(|rest| rest.split(' ').next())
                == Some(keyword)
        })
    };
    if has("BADSIG") {
        bail!("the signature is wrong: the mirror or the network changes files");
    }
    if has("GOODSIG") {
        return Ok(());
    }
    if has("NO_PUBKEY") || has("EXPKEYSIG") {
        bail!(
            "no key in {KEYRING} signed this suite: the host's package debian-archive-keyring is too old, \
             install a newer one (apt-get install debian-archive-keyring, or the package from Debian 13)"
        );
    }
    bail!("there is no signature")
}

/// Seconds in a day.
const DAY: u64 = 86_400;

/// Parses `Sat, 12 Sep 2026 07:55:41 UTC`.
fn parse_date(text: &str) -> Result<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let parsed = || {
        let mut words = text.split_whitespace().skip(1);
        let day: u64 = words.next()?.parse().ok()?;
        let month = words.next()?;
        let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
        let year: u64 = words.next()?.parse().ok()?;
        let mut clock = words
            .next()?
            .split(':')
            .map(|part| part.parse::<u64>().ok());
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        let days = days_since_1970(year, month, day)?;
        Some(UNIX_EPOCH + Duration::from_secs(days * DAY + hour * 3600 + minute * 60 + second))
    };
    parsed().with_context(|| format!("{text:?} is not a date"))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counting years from March.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100
        + year / 400
        + (153 * month + 2) / 5
        + day.checked_sub(1)?;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nLabel: Debian-Security\nCodename: trixie-security\nAcquire-By-Hash: yes\n\
        Valid-Until: Wed, 25 Nov 2026 22:17:43 UTC\nMD5Sum:\n 00 5 main/x\nSHA256:\n ab12 17 main/binary-amd64/Packages.xz\n";

    #[test]
    fn release_lists_files_by_sha256() {
        let release = Release::parse(TEXT).unwrap();
        assert_eq!(release.label, "Debian-Security");
        assert!(release.by_hash);
        assert_eq!(
            release.file("main/binary-amd64/Packages.xz"),
            Some(("ab12", 17))
        );
        assert_eq!(release.file("main/x"), None);
    }

    #[test]
    fn a_stale_release_is_refused() {
        let release = Release::parse(TEXT).unwrap();
        let end = UNIX_EPOCH + Duration::from_secs(1_795_645_063);
        assert!(release.check_date(end).is_ok());
        assert!(release.check_date(end + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn dates_are_counted_from_1970() {
        let seconds = |text| {
            parse_date(text)
                .unwrap()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs()
        };
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:01 UTC"), 1);
        assert_eq!(seconds("Thu, 29 Feb 2024 12:00:00 UTC"), 1_709_208_000);
        assert!(parse_date("tomorrow").is_err());
    }

    #[test]
    fn one_good_signature_is_enough_and_one_bad_is_too_many() {
        assert!(judge("[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1 a\n[GNUPG:] NO_PUBKEY 2\n").is_ok());
        assert!(judge("[GNUPG:] GOODSIG 1 a\n[GNUPG:] BADSIG 2 b\n").is_err());
        assert!(
            judge("[GNUPG:] NO_PUBKEY 2\n")
                .unwrap_err()
                .to_string()
                .contains("too old")
        );
        assert!(judge("").is_err());
    }
}
