//! Checks that a kernel configuration is what was asked for: `olddefconfig` and friends drop without a word what depends on
//! something that is off.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::declaration::{Declaration, Open, Rule};

/// Values by option name (without `CONFIG_`); what is off is not there.
type Values<'a> = BTreeMap<&'a str, &'a str>;

/// Fails with every line of the fragments that was lost and every rule that is broken.
pub(super) fn check(declaration: &Declaration, fragments: &str, config: &str) -> Result<()> {
    let found = parse(config);
    let mut complaints = lost(fragments, &found);
    let on = |option: &str| found.contains_key(option);
    complaints.extend(broken(&declaration.required, "is off", on));
    complaints.extend(broken(&declaration.built_in, "is not built in", |option| {
        found.get(option) == Some(&"y")
    }));
    complaints.extend(broken(&declaration.absent, "is on", |option| !on(option)));
    complaints.extend(misstated(&declaration.open, on));
    if complaints.is_empty() {
        return Ok(());
    }
    bail!(
        "the kernel's configuration is not what kernel-config/ asks for:\n  {}\n(an option is dropped when one it depends on is off: \
         add that one to the fragment, or remove the line)",
        complaints.join("\n  ")
    )
}

/// Every line of the fragments that the configuration does not have.
fn lost(fragments: &str, found: &Values<'_>) -> Vec<String> {
    let wanted = parse(fragments);
    let mut complaints: Vec<String> = wanted
        .into_iter()
        .filter(|(option, value)| found.get(option) != Some(value))
        .map(|(option, value)| {
            let now = found
                .get(option)
                .map_or_else(|| "is off".to_owned(), |now| format!("is {now}"));
            format!("CONFIG_{option}={value} was asked for and {now}")
        })
        .collect();
    complaints.extend(
        fragments
            .lines()
            .filter_map(|line| line.strip_prefix("# CONFIG_")?.strip_suffix(" is not set"))
            .filter(|option| found.contains_key(option))
            .map(|option| format!("CONFIG_{option} was asked to be off and is on")),
    );
    complaints
}

/// Options that the table of what is left open does not have right. Those that an architecture does not know are off.
fn misstated(open: &[Open], is_on: impl Fn(&str) -> bool) -> Vec<String> {
    let off = open.iter().flat_map(|open| &open.off);
    off.filter(|option| is_on(option))
        .map(|option| {
            format!("CONFIG_{option} is on, which hardening asks for: take it out of [[open]]")
        })
        .collect()
}

fn broken(rules: &[Rule], complaint: &str, holds: impl Fn(&str) -> bool) -> Vec<String> {
    let options = rules.iter().flat_map(|rule| {
        rule.options
            .iter()
            .map(move |option| (option, &rule.reason))
    });
    options
        .filter(|(option, _)| !holds(option))
        .map(|(option, reason)| format!("CONFIG_{option} {complaint} (needed: {reason})"))
        .collect()
}

fn parse(text: &str) -> Values<'_> {
    text.lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='))
        .filter(|(_, value)| *value != "n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_a_weakened_and_a_forced_option_are_told() {
        let found = parse("CONFIG_A=y\nCONFIG_B=m\nCONFIG_D=y\n# CONFIG_C is not set\n");
        let complaints = lost(
            "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=m\n# CONFIG_D is not set\n",
            &found,
        );
        assert_eq!(
            complaints,
            [
                "CONFIG_B=y was asked for and is m",
                "CONFIG_C=m was asked for and is off",
                "CONFIG_D was asked to be off and is on"
            ]
        );
    }

    #[test]
    fn what_is_said_to_be_open_and_is_not_is_told() {
        let open = Open {
            reason: "because".to_owned(),
            off: vec!["A".to_owned(), "B".to_owned()],
            on: Vec::new(),
        };
        let found = parse("CONFIG_A=y\n");
        let complaints = misstated(&[open], |option| found.contains_key(option));
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("CONFIG_A is on"));
    }

    #[test]
    fn a_broken_rule_gives_its_reason() {
        let rule = Rule {
            reason: "because".to_owned(),
            options: vec!["A".to_owned(), "B".to_owned()],
        };
        let found = parse("CONFIG_A=m\n");
        let complaints = broken(&[rule], "is off", |option| found.contains_key(option));
        assert_eq!(complaints, ["CONFIG_B is off (needed: because)"]);
    }
}
