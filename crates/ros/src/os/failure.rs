//! Why a command about versions, or an installation, failed, as its exit code says it to scripts.

use std::process::ExitCode;

/// The kind of a failure; it is put before the cause as a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The version, or the disk, must not be taken; the cause says why and whether `-f` helps.
    #[error("refused")]
    Refused,
    /// The registry or the server did not answer, or does not have it.
    #[error("cannot be fetched")]
    Download,
    /// Signature, digest or length is not what it should be.
    #[error("cannot be trusted")]
    Verification,
    /// The disk has no room for it.
    #[error("no room")]
    Room,
}

impl Failure {
    /// Exit codes of `ros os` and `ros install`: 1 is any other failure, 2 is also a command line that is not understood.
    fn code(self) -> u8 {
        match self {
            Self::Refused => 2,
            Self::Download => 3,
            Self::Verification => 4,
            Self::Room => 5,
        }
    }
}

/// Reports a failure and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("ros: {error:#}");
    match error.downcast_ref::<Failure>() {
        Some(failure) => ExitCode::from(failure.code()),
        None => ExitCode::FAILURE,
    }
}

/// Fails with a kind and a formatted cause.
macro_rules! fail {
    ($kind:ident, $($text:tt)*) => {
        return Err(anyhow::anyhow!($($text)*).context($crate::os::failure::Failure::$kind))
    };
}
pub(crate) use fail;

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_kind_is_found_below_other_words() {
        fn no() -> anyhow::Result<()> {
            fail!(Verification, "{} is damaged", "initrd");
        }
        let error = no().context("v2").unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "v2: cannot be trusted: initrd is damaged"
        );
        assert_eq!(error.downcast_ref(), Some(&Failure::Verification));
    }
}
