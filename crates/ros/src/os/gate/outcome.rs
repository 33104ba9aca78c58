//! What a round of checks means for the version: keep it, wait, or give it up.

use std::time::Duration;

/// How long a machine whose cables are out waits for somebody to notice: a switch that died in the evening is replaced in the morning.
const LONGEST_DARK: Duration = Duration::from_secs(6 * 3600);
/// The first word of a reason that says nothing about the version itself.
pub(in crate::os) const UNPROVEN: &str = "unproven: ";

/// What a failed check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may pass later.
    NotYet,
    /// All is well, and is watched for some seconds more, also when the time is over.
    Watching,
    /// No time changes it.
    Definite,
    /// Links are up and none has a carrier: a cable or a switch, which the version cannot help.
    NoCarrier,
    /// There is a carrier, DHCP asks, and nobody answers: neither good nor bad is shown.
    NoAnswer,
}

impl Kind {
    /// Whether the fault may lie outside of the machine.
    pub(super) fn is_outside(self) -> bool {
        matches!(self, Self::NoCarrier | Self::NoAnswer)
    }
}

/// A check that did not pass.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) error: anyhow::Error,
}

/// What a check says.
pub(super) type Checked = Result<(), Failure>;

impl Failure {
    /// With the check's name in front of the cause.
    pub(super) fn named(self, name: &'static str) -> Self {
        Self {
            error: self.error.context(name),
            ..self
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            kind: Kind::NotYet,
            error,
        }
    }
}

/// A failure of this kind.
pub(super) fn failed(kind: Kind, reason: impl Into<String>) -> Checked {
    Err(Failure {
        kind,
        error: anyhow::Error::msg(reason.into()),
    })
}

/// What is done after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Wait,
    /// Not to be tried again.
    Reject,
    /// Given up, and to be tried again another day.
    Unproven,
}

/// `dark` is the part of `since` in which no link had a carrier: nothing can be judged in it.
pub(super) fn verdict(
    failed: Option<Kind>,
    since: Duration,
    dark: Duration,
    timeout: Duration,
) -> Verdict {
    let is_over = since.saturating_sub(dark) > timeout;
    match failed {
        None => Verdict::Keep,
        Some(Kind::Definite) => Verdict::Reject,
        Some(Kind::NoCarrier) if dark > LONGEST_DARK => Verdict::Unproven,
        Some(Kind::NoAnswer) if is_over => Verdict::Unproven,
        Some(Kind::NotYet) if is_over => Verdict::Reject,
        Some(_) => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_definite_is_rejected_at_once_and_an_outage_never_for_good() {
        let hour = 3600;
        for (failed, since, dark, expected) in [
            (None, 1, 0, Verdict::Keep),
            (Some(Kind::Definite), 1, 0, Verdict::Reject),
            (Some(Kind::NotYet), 600, 0, Verdict::Wait),
            (Some(Kind::NotYet), 601, 0, Verdict::Reject),
            (Some(Kind::Watching), 610, 0, Verdict::Wait),
            // The time without a cable does not count against it, also when something else fails afterwards
            (Some(Kind::NotYet), 601, 60, Verdict::Wait),
            (Some(Kind::NoAnswer), 600, 0, Verdict::Wait),
            (Some(Kind::NoAnswer), 601, 0, Verdict::Unproven),
            (Some(Kind::NoAnswer), hour + 599, hour, Verdict::Wait),
            (Some(Kind::NoCarrier), 5 * hour, 5 * hour, Verdict::Wait),
            (
                Some(Kind::NoCarrier),
                6 * hour + 1,
                6 * hour + 1,
                Verdict::Unproven,
            ),
        ] {
            let seconds = Duration::from_secs;
            let said = verdict(failed, seconds(since), seconds(dark), seconds(600));
            assert_eq!(said, expected, "{failed:?} after {since} s, {dark} s dark");
        }
    }
}
