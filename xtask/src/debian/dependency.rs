//! Relations between packages: `Depends`, `Pre-Depends`, `Provides` (deb-control(5), Debian policy 7.1).

use std::cmp::Ordering;

use anyhow::{Result, bail};

use super::version;

/// How a version has to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Relation {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "<<" => Self::Earlier,
            "<=" | "<" => Self::EarlierOrEqual,
            "=" => Self::Equal,
            ">=" | ">" => Self::LaterOrEqual,
            ">>" => Self::Later,
            other => bail!("unknown version relation {other:?}"),
        })
    }
}

/// One package name with an optional version condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Package or virtual package.
    pub(crate) name: String,
    /// Condition on the version.
    pub(crate) version: Option<(Relation, String)>,
}

impl Dependency {
    /// Parses `name[:arch] [(relation version)]`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (name, version) = match text.split_once('(') {
            None => (text, None),
            Some((name, condition)) => {
                let Some(condition) = condition.trim_end().strip_suffix(')') else {
                    bail!("dependency {text:?} has no closing parenthesis");
                };
                let split = condition
                    .find(|c: char| !"<>= ".contains(c))
                    .unwrap_or(condition.len());
                let (relation, number) = condition.split_at(split);
                (
                    name,
                    Some((Relation::parse(relation.trim())?, number.trim().to_owned())),
                )
            }
        };
        let name = name.trim();
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        if name.is_empty() {
            bail!("dependency {text:?} has no name");
        }
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }

    /// Whether a package of this version satisfies the condition.
    pub(crate) fn accepts(&self, found: &str) -> bool {
        let Some((relation, wanted)) = &self.version else {
            return true;
        };
        let order = version::compare(found, wanted);
        match relation {
            Relation::Earlier => order == Ordering::Less,
            Relation::EarlierOrEqual => order != Ordering::Greater,
            Relation::Equal => order == Ordering::Equal,
            Relation::LaterOrEqual => order != Ordering::Less,
            Relation::Later => order == Ordering::Greater,
        }
    }

    /// Whether a virtual package provided with this version satisfies the condition: without one, only no condition does.
    pub(crate) fn accepts_provided(&self, found: Option<&str>) -> bool {
        match (found, &self.version) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(found), Some(_)) => self.accepts(found),
        }
    }
}

/// Parses a list `a, b | c (>= 1)`: all groups are needed, one alternative of each.
pub(crate) fn parse_groups(text: &str) -> Result<Vec<Vec<Dependency>>> {
    text.split(',')
        .filter(|group| !group.trim().is_empty())
        .map(|group| group.split('|').map(Dependency::parse).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_alternatives_versions_and_qualifiers() {
        let groups =
            parse_groups("libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0, python3:any,perl(<<6)")
                .unwrap();
        assert_eq!(groups.len(), 4);
        assert_eq!(
            groups[0][0].version,
            Some((Relation::LaterOrEqual, "2.38".to_owned()))
        );
        assert_eq!(groups[1][1].name, "debconf-2.0");
        assert_eq!(groups[2][0].name, "python3");
        assert_eq!(
            groups[3][0],
            Dependency {
                name: "perl".to_owned(),
                version: Some((Relation::Earlier, "6".to_owned()))
            }
        );
    }

    #[test]
    fn conditions_are_checked() {
        let dependency = Dependency::parse("a (>> 1.0-1)").unwrap();
        assert!(dependency.accepts("1.0-2"));
        assert!(!dependency.accepts("1.0-1"));
        assert!(!dependency.accepts_provided(None));
        assert!(Dependency::parse("a").unwrap().accepts_provided(None));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Dependency::parse("a (>= 1").is_err());
        assert!(Dependency::parse("a (~ 1)").is_err());
        assert!(Dependency::parse("(>= 1)").is_err());
    }
}
