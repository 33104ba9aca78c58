//! Users and groups by name, from the image's own `passwd` and `group` (passwd(5), group(5)).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Names and numbers.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// Reads `etc/passwd` and `etc/group` below `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let table = |name: &str| {
            let path = root.join("etc").join(name);
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("read {}", path.display()))?;
            parse(&text).with_context(|| format!("parse {}", path.display()))
        };
        Ok(Self {
            users: table("passwd")?,
            groups: table("group")?,
        })
    }

    /// A user's number.
    pub(crate) fn user(&self, name: &str) -> Result<u32> {
        self.users
            .get(name)
            .copied()
            .with_context(|| format!("user {name} is not in etc/passwd"))
    }

    /// A group's number.
    pub(crate) fn group(&self, name: &str) -> Result<u32> {
        self.groups
            .get(name)
            .copied()
            .with_context(|| format!("group {name} is not in etc/group"))
    }

    /// Numbers of `user:group`.
    pub(crate) fn owner(&self, text: &str) -> Result<(u32, u32)> {
        let Some((user, group)) = text.split_once(':') else {
            bail!("owner {text:?} is not of the form user:group");
        };
        Ok((self.user(user)?, self.group(group)?))
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, u32>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default().to_owned();
            let number = fields
                .nth(1)
                .with_context(|| format!("{line:?} has no number"))?;
            Ok((
                name,
                number
                    .parse()
                    .with_context(|| format!("number of {line:?}"))?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers() {
        let accounts = Accounts {
            users: parse(
                "root:x:0:0::/root:/bin/sh\nrancher:x:1100:1100::/home/rancher:/bin/bash\n",
            )
            .unwrap(),
            groups: parse("root:x:0:\nshadow:x:42:\n").unwrap(),
        };
        assert_eq!(accounts.owner("rancher:shadow").unwrap(), (1100, 42));
        assert!(accounts.owner("nobody:root").is_err());
        assert!(parse("root:x\n").is_err());
    }
}
