//! Signal names and numbers as Docker accepts them.

use engine_api::{Error, Result};

/// SIGTERM: what stops a container unless its image says otherwise.
pub const TERM: i32 = 15;
/// SIGKILL.
pub const KILL: i32 = 9;
/// Highest signal number on Linux.
const MAX: i32 = 64;

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// As [`parse`]; none when the client named no signal or an empty one.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_if_given(text: Option<&str>) -> Result<Option<i32>> {
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

/// Reads `15`, `TERM`, `SIGTERM`, `sigterm`, `RTMIN+3` or `SIGRTMAX-1`.
///
/// # Errors
/// 400 `invalid signal: ...`.
pub fn parse(text: &str) -> Result<i32> {
    let invalid = || Error::bad_parameter(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=MAX).contains(&number) {
            Ok(number)
        } else {
            Err(invalid())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match name {
        "POLL" => Some(29),
        "CLD" => Some(17),
        "IOT" => Some(6),
        "RTMIN" => Some(34),
        "RTMAX" => Some(64),
        _ => NAMES
            .iter()
            .position(|known| *known == name)
            .and_then(|at| i32::try_from(at + 1).ok()),
    };
    if let Some(number) = number {
        return Ok(number);
    }
    let offset = |prefix: &str| {
        name.strip_prefix(prefix)
            .and_then(|digits| digits.parse::<i32>().ok())
    };
    match (offset("RTMIN+"), offset("RTMAX-")) {
        (Some(up @ 0..=30), _) => Ok(34 + up),
        (_, Some(down @ 0..=30)) => Ok(64 - down),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_dockers_forms_are_read() {
        for (text, number) in [
            ("15", 15),
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sigusr2", 12),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("SYS", 31),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "0", "65", "-1", "SIGNOPE", "RTMIN+31"] {
            assert_eq!(parse(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
