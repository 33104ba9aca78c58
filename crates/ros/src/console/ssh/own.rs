//! What the machine's owner wrote for sshd: `/etc/ssh/sshd_config` and the files of `/etc/ssh/sshd_config.d`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;

/// Where sshd's configuration is everywhere, so where owners write theirs.
const FILE: &str = "/etc/ssh/sshd_config";
/// What the image has there.
const IMAGES: &str = "/etc/ssh/sshd_config.image";
/// What the owner appended to what the image has.
const APPENDED: &str = "/etc/ssh/sshd_config.appended";
/// More files of the owner.
pub(super) const FOLDER: &str = "/etc/ssh/sshd_config.d";

/// The owner's file: where it is, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: String,
}

/// What of the owner's is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// The files of the folder.
    pub(super) folder: bool,
    pub(super) file: Option<File>,
}

/// Keeps the image's file in mind, before anything of the owner's runs that could write another one. A console that
/// restarts has done so already.
pub(in crate::console) fn note_images() -> anyhow::Result<()> {
    if Path::new(IMAGES).exists() {
        return Ok(());
    }
    fs::create_dir_all("/etc/ssh").context("cannot create /etc/ssh")?;
    let text = match fs::read(FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result,
    };
    let text = text.with_context(|| format!("cannot read {FILE}"))?;
    fs::write(IMAGES, text).with_context(|| format!("cannot write {IMAGES}"))
}

impl Own {
    /// What there is.
    pub(super) fn found() -> anyhow::Result<Own> {
        let mut files = fs::read_dir(FOLDER).into_iter().flatten().flatten();
        Ok(Own {
            folder: files.any(|file| file.path().extension().is_some_and(|end| end == "conf")),
            file: file()?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Own::default()
    }

    /// All of it, then what is left when one of the two is not usable, then nothing.
    pub(super) fn attempts(&self) -> Vec<Own> {
        let file = self.file.as_ref();
        let only = |folder: bool, file: Option<&File>| Own {
            folder: folder && self.folder,
            file: file.cloned(),
        };
        let all = [self.clone(), only(true, None), only(false, file)];
        let mut attempts: Vec<Own> = Vec::new();
        for attempt in all {
            if !attempt.is_empty() && !attempts.contains(&attempt) {
                attempts.push(attempt);
            }
        }
        attempts.push(Own::default());
        attempts
    }

    /// Names what is in `self` and not in `used`, with the verb that follows: `NAME is`, or `NAME and NAME are`.
    pub(super) fn left_out(&self, used: &Own) -> String {
        let folder = (self.folder && !used.folder).then_some(FOLDER);
        let file = (self.file.is_some() && used.file.is_none()).then_some(FILE);
        match (folder, file) {
            (Some(folder), Some(file)) => format!("{folder} and {file} are"),
            (one, other) => format!("{} is", one.or(other).unwrap_or_default()),
        }
    }
}

/// The owner's file is one that has another text than the image's. Nobody knows when there is no note.
fn file() -> anyhow::Result<Option<File>> {
    let (Ok(text), Ok(image)) = (fs::read(FILE), fs::read(IMAGES)) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let image = String::from_utf8_lossy(&image).into_owned();
    let Some(own) = part_of_owner(&text, &image) else {
        return Ok(None);
    };
    let path = if own.len() == text.len() {
        FILE
    } else {
        fs::write(APPENDED, own).with_context(|| format!("cannot write {APPENDED}"))?;
        APPENDED
    };
    let text = own.to_owned();
    Ok(Some(File { path, text }))
}

/// Of a file that begins with all that the image has, what follows: the first value of a key counts, and the image's would
/// win over the machine's configuration, too.
fn part_of_owner<'t>(text: &'t str, image: &str) -> Option<&'t str> {
    let part = text.strip_prefix(image).unwrap_or(text);
    (!part.trim().is_empty()).then_some(part)
}

/// The value of a key in the part of the text that holds for everybody (sshd_config(5)): keys in any case, and a `=` may
/// stand between.
pub(super) fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let pairs = text.lines().map(|line| {
        let line = line.trim();
        let end = line.find(|c: char| c.is_whitespace() || c == '=');
        let (key, value) = line.split_at(end.unwrap_or(line.len()));
        (
            key,
            value.trim_start_matches(|c: char| c.is_whitespace() || c == '='),
        )
    });
    let mut pairs = pairs.take_while(|(key, _)| !key.eq_ignore_ascii_case("match"));
    let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map(|(_, value)| value)
}

/// Why nobody could log in with these settings, which are what `sshd -T` prints. `passwd` has the users.
pub(super) fn locks_out(settings: &str, passwd: &str) -> Option<String> {
    let values = |key: &'static str| {
        let lines = settings.lines();
        lines.filter_map(move |line| line.strip_prefix(key)?.strip_prefix(' '))
    };
    let ways = [
        "pubkeyauthentication",
        "passwordauthentication",
        "kbdinteractiveauthentication",
    ];
    if ways
        .into_iter()
        .all(|way| values(way).any(|value| value == "no"))
    {
        return Some("neither keys nor passwords are taken".to_owned());
    }
    let allowed: Vec<&str> = values("allowusers")
        .flat_map(str::split_ascii_whitespace)
        .collect();
    let is_user = |pattern: &&str| {
        let name = pattern.split('@').next().unwrap_or_default();
        name.contains(['*', '?'])
            || passwd
                .lines()
                .any(|line| line.split(':').next() == Some(name))
    };
    let names_nobody = !allowed.is_empty() && !allowed.iter().any(is_user);
    names_nobody.then(|| format!("AllowUsers {}: that is not a user here", allowed.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_owners_when_it_has_another_text_than_the_images() {
        let image = "# image\nPasswordAuthentication no\n";
        assert_eq!(part_of_owner(image, image), None);
        assert_eq!(part_of_owner("Port 22\n", image), Some("Port 22\n"));
        let appended = format!("{image}Port 22\n");
        assert_eq!(part_of_owner(&appended, image), Some("Port 22\n"));
        assert_eq!(part_of_owner("", ""), None);
        assert_eq!(part_of_owner("Port 22\n", ""), Some("Port 22\n"));
    }

    #[test]
    fn keys_are_found_as_sshd_finds_them() {
        let text = " authorizedkeysfile = .ssh/a /b\n# Port 1\nPort\t2\nMatch User x\nPidFile /x\n";
        assert_eq!(value(text, "AuthorizedKeysFile"), Some(".ssh/a /b"));
        assert_eq!(value(text, "port"), Some("2"));
        assert_eq!(value(text, "PidFile"), None);
    }

    #[test]
    fn settings_that_let_nobody_in_are_told() {
        let passwd = "root:x:0:0::/:/bin/sh\nrancher:x:1100:1100::/home/rancher:/bin/sh\n";
        let refused = |settings: &str| locks_out(settings, passwd).is_some();
        assert!(refused("port 22\nallowusers core\n"));
        assert!(refused(
            "pubkeyauthentication no\npasswordauthentication no\nkbdinteractiveauthentication no\n"
        ));
        for settings in [
            "port 22\n",
            "allowusers core\nallowusers rancher\n",
            "allowusers core rancher@10.0.0.*\n",
            "allowusers ran*\n",
            "pubkeyauthentication no\npasswordauthentication yes\nkbdinteractiveauthentication no\n",
        ] {
            assert!(!refused(settings), "{settings}");
        }
    }

    #[test]
    fn what_is_not_usable_is_left_out_alone() {
        let file = File {
            path: FILE,
            text: String::new(),
        };
        let both = Own {
            folder: true,
            file: Some(file),
        };
        let attempts = both.attempts();
        assert_eq!(attempts.len(), 4);
        assert_eq!(both.left_out(&attempts[1]), "/etc/ssh/sshd_config is");
        assert_eq!(both.left_out(&attempts[2]), "/etc/ssh/sshd_config.d is");
        assert_eq!(
            both.left_out(&attempts[3]),
            "/etc/ssh/sshd_config.d and /etc/ssh/sshd_config are"
        );
        let only_file = &attempts[2];
        assert_eq!(only_file.attempts(), [only_file.clone(), Own::default()]);
        assert_eq!(Own::default().attempts(), [Own::default()]);
    }
}
