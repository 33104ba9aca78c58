//! What is to be done, from what is known: pure.

use std::fmt;

use anyhow::bail;
use config::cloud_config::Upgrade;

/// `rancher.upgrade.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Versions come when somebody asks for them.
    None,
    /// They are put on the disk.
    Download,
    /// They are tried, too.
    Auto,
}

impl Mode {
    /// # Errors
    /// For a word that is none.
    pub(super) fn of(upgrade: &Upgrade) -> anyhow::Result<Mode> {
        Ok(match upgrade.policy.as_deref() {
            None | Some("" | "none") => Mode::None,
            Some("download") => Mode::Download,
            Some("auto") => Mode::Auto,
            Some(other) => bail!(
                "rancher.upgrade.policy {other:?} is not known, only none, download and auto: nothing is upgraded"
            ),
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Mode::None => "none",
            Mode::Download => "download",
            Mode::Auto => "auto",
        })
    }
}

/// What is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) mode: Mode,
    /// The next boot tries a version.
    pub(super) armed: bool,
    /// This boot does.
    pub(super) trial: bool,
    /// A version lies on the disk, and was not tried.
    pub(super) staged: Option<Staged>,
    /// Arming or rebooting has failed a short time ago.
    pub(super) stuck: bool,
    /// It is time to ask for a newer one.
    pub(super) due: bool,
    /// Whether the machine may reboot now; none without a window.
    pub(super) in_window: Option<bool>,
}

/// A version that waits on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staged {
    /// It may be tried.
    Ready,
    /// It brings another major version of Docker, whose data has no way back: a person has to want that.
    WantsPerson,
    /// This machine does not take it (any more): somebody has pinned another one, or forced it onto the disk.
    Refused,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Wait,
    Fetch,
    Arm,
    Reboot,
}

pub(super) fn decide(facts: &Facts) -> Action {
    if facts.mode == Mode::None || facts.trial {
        return Action::Wait;
    }
    if facts.armed {
        // By whom does not matter: in the window the machine may reboot.
        return match (facts.mode, facts.in_window) {
            (Mode::Auto, Some(true)) if !facts.stuck => Action::Reboot,
            _ => Action::Wait,
        };
    }
    if facts.mode == Mode::Auto && facts.staged == Some(Staged::Ready) {
        return if facts.stuck {
            Action::Wait
        } else {
            Action::Arm
        };
    }
    // What waits for a person, or is not taken, may be replaced by something else
    if facts.due {
        Action::Fetch
    } else {
        Action::Wait
    }
}

/// Why [`Action::Wait`] is the answer, for whoever asks.
pub(super) fn why_it_waits(facts: &Facts) -> &'static str {
    match facts {
        Facts { trial: true, .. } => "this boot tries a version: its checks decide first",
        Facts { stuck: true, .. } => {
            "an order or a reboot has just failed: it is tried again later"
        }
        Facts {
            armed: true,
            mode: Mode::Auto,
            in_window: Some(false),
            ..
        } => {
            "the next reboot tries a version, and rancher.upgrade.window is closed: the machine does not reboot by itself now"
        }
        Facts { armed: true, .. } => {
            "the next reboot tries a version: without policy auto and rancher.upgrade.window it is a person who reboots"
        }
        _ => "it is not time to ask for a newer version",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_rebooted_that_was_not_asked_for() {
        let mut reboots = 0;
        let stages = [
            None,
            Some(Staged::Ready),
            Some(Staged::WantsPerson),
            Some(Staged::Refused),
        ];
        for number in 0..16 * 3 * 3 * 4 {
            let flag = |bit: u32| number >> bit & 1 == 1;
            let (armed, trial, stuck, due) = (flag(0), flag(1), flag(2), flag(3));
            let mode = [Mode::None, Mode::Download, Mode::Auto][number / 16 % 3];
            let in_window = [None, Some(false), Some(true)][number / 48 % 3];
            let staged = stages[number / 144];
            let facts = Facts {
                mode,
                armed,
                trial,
                staged,
                stuck,
                due,
                in_window,
            };
            let ready = staged == Some(Staged::Ready);
            let waits = armed || trial;
            match decide(&facts) {
                Action::Reboot => {
                    reboots += 1;
                    assert!(mode == Mode::Auto && in_window == Some(true) && armed);
                    assert!(!trial && !stuck, "{facts:?}");
                }
                Action::Arm => assert!(mode == Mode::Auto && ready && !waits && !stuck),
                Action::Fetch => assert!(mode != Mode::None && due && !waits),
                Action::Wait => {
                    let replaces = mode == Mode::Download || (mode == Mode::Auto && !ready);
                    assert!(!(replaces && due && !waits), "{facts:?}");
                }
            }
        }
        assert!(reboots > 0);
    }

    #[test]
    fn only_three_words_are_a_policy() {
        let mode = |policy: Option<&str>| {
            Mode::of(&Upgrade {
                policy: policy.map(str::to_owned),
                ..Upgrade::default()
            })
        };
        assert_eq!(mode(None).unwrap(), Mode::None);
        assert_eq!(mode(Some("auto")).unwrap(), Mode::Auto);
        assert!(
            mode(Some("always"))
                .unwrap_err()
                .to_string()
                .contains("\"always\"")
        );
    }
}
