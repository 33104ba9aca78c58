//! What the states of the system's services say.

use super::outcome::{Checked, Kind, failed};

/// `states` are names and states of all services, `code` gives the exit code of one that does not run.
pub(super) fn judge<'a>(
    wanted: impl Iterator<Item = &'a String>,
    states: &[(String, String)],
    code: impl Fn(&str) -> anyhow::Result<i64>,
) -> Checked {
    let first = |wanted: &str| states.iter().find(|(_, state)| state == wanted);
    if let Some((name, _)) = first("dead") {
        // Nobody starts it again
        return failed(Kind::Definite, format!("service {name} is dead"));
    }
    if let Some((name, _)) = first("restarting") {
        let reason = format!("service {name} is restarting");
        return failed(ended(code(name)?), reason);
    }
    for name in wanted {
        let found = states.iter().find(|(known, _)| known == name);
        let kind = match found.map(|(_, state)| state.as_str()) {
            Some("running") => continue,
            Some(_) => ended(code(name)?),
            // It is not made yet
            None => Kind::NotYet,
        };
        let reason = format!("service {name} ran before and does not run");
        return failed(kind, reason);
    }
    Ok(())
}

/// A program that is not there, or cannot be executed, is so at the next start, too: images are read-only.
fn ended(code: i64) -> Kind {
    match code {
        126 | 127 => Kind::Definite,
        _ => Kind::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(list: &[(&str, &str)], code: i64) -> (String, Option<Kind>) {
        let owned = |(name, state): &(&str, &str)| ((*name).to_owned(), (*state).to_owned());
        let states: Vec<_> = list.iter().map(owned).collect();
        let wanted = ["ntp".to_owned(), "docker".to_owned()];
        let failure = judge(wanted.iter(), &states, |_| Ok(code)).err();
        let kind = failure.as_ref().map(|failure| failure.kind);
        let said = failure.map(|failure| failure.error.to_string());
        (said.unwrap_or_default(), kind)
    }

    #[test]
    fn broken_versions_are_told_by_what_they_do_not_do() {
        let runs = ("docker", "running");
        for (list, words, kind) in [
            (vec![("ntp", "running"), runs], "", None),
            (
                vec![("ntp", "running"), runs, ("cloud-init", "exited")],
                "",
                None,
            ),
            (
                vec![("ntp", "restarting"), runs],
                "service ntp is restarting",
                Some(Kind::NotYet),
            ),
            (
                vec![
                    ("acpid", "restarting"),
                    ("ntp", "running"),
                    ("docker", "dead"),
                ],
                "service docker is dead",
                Some(Kind::Definite),
            ),
            (
                vec![("ntp", "exited"), runs],
                "service ntp ran before and does not run",
                Some(Kind::NotYet),
            ),
            (
                vec![("ntp", "running")],
                "service docker ran before and does not run",
                Some(Kind::NotYet),
            ),
        ] {
            assert_eq!(judged(&list, 1), (words.to_owned(), kind), "{list:?}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_not_waited_for() {
        for state in ["created", "exited", "restarting"] {
            for (code, kind) in [
                (0, Kind::NotYet),
                (1, Kind::NotYet),
                (137, Kind::NotYet),
                (126, Kind::Definite),
                (127, Kind::Definite),
            ] {
                let (said, found) = judged(&[("ntp", state), ("docker", "running")], code);
                assert_eq!(found, Some(kind), "{state} {code}: {said}");
            }
        }
    }
}
