//! Which packages an image needs: the closure over `Depends` and `Pre-Depends`. Recommends are never followed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::dependency::Dependency;
use super::index::{Index, Package};

/// What is asked of the resolver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Packages that are wanted.
    pub(crate) packages: Vec<String>,
    /// Packages that are left out though something depends on them.
    pub(crate) exclude: Vec<String>,
    /// Packages that a layer below has already.
    pub(crate) present: Vec<String>,
}

/// Resolves a request: dependencies come before what needs them, names in a stable order.
pub(crate) fn resolve<'a>(
    index: &'a Index,
    request: &Request,
    pins: &BTreeMap<String, String>,
) -> Result<Vec<&'a Package>> {
    let mut resolver = Resolver {
        index,
        pins,
        exclude: request.exclude.iter().map(String::as_str).collect(),
        wanted: request.packages.iter().map(String::as_str).collect(),
        present: request.present.iter().cloned().collect(),
        chosen: BTreeSet::new(),
        order: Vec::new(),
    };
    for name in &request.packages {
        resolver.add(name, &mut vec!["images.toml".to_owned()])?;
    }
    Ok(resolver.order)
}

struct Resolver<'a, 'r> {
    index: &'a Index,
    pins: &'r BTreeMap<String, String>,
    exclude: BTreeSet<&'r str>,
    wanted: BTreeSet<&'r str>,
    present: BTreeSet<String>,
    chosen: BTreeSet<String>,
    order: Vec<&'a Package>,
}

impl<'a> Resolver<'a, '_> {
    fn candidate(&self, name: &str) -> Option<&'a Package> {
        self.index
            .candidate(name, self.pins.get(name).map(String::as_str))
    }

    /// Adds a package after everything it needs. `path` is who asked, for error texts.
    fn add(&mut self, name: &str, path: &mut Vec<String>) -> Result<()> {
        if self.chosen.contains(name) || self.present.contains(name) {
            return Ok(());
        }
        let Some(package) = self.candidate(name) else {
            bail!(
                "package {name} is not in the archive (asked for by {})",
                path.join(" -> ")
            );
        };
        self.chosen.insert(name.to_owned());
        path.push(name.to_owned());
        for group in package.dependencies()? {
            self.satisfy(&group, path)?;
        }
        path.pop();
        self.order.push(package);
        Ok(())
    }

    /// Makes one alternative of the group true, preferring what is there, then what was asked for, then what is listed first.
    fn satisfy(&mut self, group: &[Dependency], path: &mut Vec<String>) -> Result<()> {
        if group.iter().any(|wanted| self.is_met(wanted)) {
            return Ok(());
        }
        let (first, then): (Vec<_>, Vec<_>) = group
            .iter()
            .partition(|wanted| self.wanted.contains(wanted.name.as_str()));
        for wanted in first.into_iter().chain(then) {
            // Leaving out an alternative by name is a decision: the next best is not hunted for
            if self.exclude.contains(wanted.name.as_str()) {
                return Ok(());
            }
            if self
                .candidate(&wanted.name)
                .is_some_and(|found| wanted.accepts(&found.version))
            {
                return self.add(&wanted.name, path);
            }
            let providers = self.providers(wanted);
            if let Some(name) = providers
                .iter()
                .find(|name| !self.exclude.contains(name.as_str()))
            {
                return self.add(&name.clone(), path);
            }
        }
        if group
            .iter()
            .any(|wanted| !self.providers(wanted).is_empty())
        {
            return Ok(()); // all that provide it are excluded
        }
        let names: Vec<&str> = group.iter().map(|wanted| wanted.name.as_str()).collect();
        bail!(
            "nothing in the archive satisfies {} (asked for by {})",
            names.join(" | "),
            path.join(" -> ")
        );
    }

    fn is_met(&self, wanted: &Dependency) -> bool {
        let there = |name: &str| self.chosen.contains(name) || self.present.contains(name);
        let accepted = || {
            self.candidate(&wanted.name)
                .is_some_and(|found| wanted.accepts(&found.version))
        };
        (there(&wanted.name) && accepted()) || self.providers(wanted).iter().any(|name| there(name))
    }

    fn providers(&self, wanted: &Dependency) -> Vec<String> {
        self.index.providers(wanted, |name| {
            self.candidate(name).map(|package| package.version.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::Origin;
    use super::*;

    fn index(packages: &[(&str, &str, &str, &str)]) -> Index {
        let mut text = String::new();
        for (name, version, depends, provides) in packages {
            text += &format!(
                "Package: {name}\nVersion: {version}\nDepends: {depends}\nProvides: {provides}\n\
                 Filename: pool/{name}_{version}.deb\nSize: 1\nSHA256: 00\n\n"
            );
        }
        let mut index = Index::default();
        index.add(&text, Origin::Main).unwrap();
        index
    }

    fn names(index: &Index, request: &Request) -> Vec<String> {
        resolve(index, request, &BTreeMap::new())
            .unwrap()
            .iter()
            .map(|package| package.name.clone())
            .collect()
    }

    fn request(packages: &[&str], exclude: &[&str], present: &[&str]) -> Request {
        let own = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Request {
            packages: own(packages),
            exclude: own(exclude),
            present: own(present),
        }
    }

    #[test]
    fn dependencies_come_first_and_loops_end() {
        let index = index(&[
            ("a", "1", "b", ""),
            ("b", "1", "c", ""),
            ("c", "1", "b", ""),
        ]);
        assert_eq!(names(&index, &request(&["a"], &[], &[])), ["c", "b", "a"]);
    }

    #[test]
    fn alternatives_virtual_packages_and_versions() {
        let index = index(&[
            ("a", "1", "old (>= 2) | mail, tool (= 3)", ""),
            ("old", "1", "", ""),
            ("postfix", "1", "", "mail"),
            ("exim", "1", "", "mail"),
            ("toolbox", "9", "", "tool (= 3)"),
        ]);
        assert_eq!(
            names(&index, &request(&["a"], &[], &[])),
            ["exim", "toolbox", "a"]
        );
        assert_eq!(
            names(&index, &request(&["postfix", "a"], &[], &[])),
            ["postfix", "toolbox", "a"]
        );
    }

    #[test]
    fn excluded_and_present_packages_are_left_out() {
        let index = index(&[
            ("a", "1", "perl, libc", ""),
            ("perl", "5", "huge", ""),
            ("huge", "1", "", ""),
            ("libc", "2", "", ""),
        ]);
        assert_eq!(names(&index, &request(&["a"], &["perl"], &["libc"])), ["a"]);
    }

    #[test]
    fn leaving_out_the_first_alternative_leaves_out_the_rest() {
        let index = index(&[
            ("a", "1", "cron | anacron, mail", ""),
            ("cron", "1", "", ""),
            ("anacron", "1", "", ""),
            ("exim", "1", "", "mail"),
        ]);
        assert_eq!(
            names(&index, &request(&["a"], &["cron", "exim"], &[])),
            ["a"]
        );
    }

    #[test]
    fn what_is_missing_is_named_with_who_asked() {
        let index = index(&[("a", "1", "b", ""), ("b", "1", "gone", "")]);
        let error = resolve(&index, &request(&["a"], &[], &[]), &BTreeMap::new())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("gone") && error.contains("a -> b"),
            "{error}"
        );
    }

    #[test]
    fn a_pinned_version_wins_while_it_is_there() {
        let index = index(&[("a", "1", "", ""), ("a", "2", "", "")]);
        let pins = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(
            resolve(&index, &request(&["a"], &[], &[]), &pins).unwrap()[0].version,
            "1"
        );
        let pins = BTreeMap::from([("a".to_owned(), "0".to_owned())]);
        assert_eq!(
            resolve(&index, &request(&["a"], &[], &[]), &pins).unwrap()[0].version,
            "2"
        );
    }
}
