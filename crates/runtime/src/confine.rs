//! The cgroup of a container: made and filled before its first process is, or the reason why the container must not start.

use sys::cgroup::Cgroup;

use super::oci::{DeviceCgroup, Resources, Spec};
use super::{CreateRequest, Error, Result, resources};

/// What happens when this machine cannot keep a container to its limits and devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confinement {
    /// The container does not start, unless it may use every device anyway (`--privileged`).
    #[default]
    Required,
    /// It starts with what the machine has, and a warning: a developer's machine without cgroup v2 or without the right
    /// to load a device filter.
    AsAvailable,
}

/// Makes the cgroup that the request names and sets its limits. The texts name what this machine does not enforce.
///
/// # Errors
/// A value that the kernel refuses. With [`Confinement::Required`], no cgroup and a device filter that does not hold.
pub(super) fn confine(
    request: &CreateRequest<'_>,
    spec: &Spec,
    confinement: Confinement,
) -> Result<(Option<Cgroup>, Vec<String>)> {
    let none = Resources::default();
    let limits = spec
        .linux
        .as_ref()
        .and_then(|linux| linux.resources.as_ref())
        .unwrap_or(&none);
    let needs_filter = !allows_every_device(&limits.devices);
    let required = confinement == Confinement::Required && needs_filter;
    let Some(path) = request.cgroup else {
        if required {
            return Err(Error::other(
                "no cgroup v2 tree is mounted: the container could use every device and all memory \
                 (only a privileged container starts without)",
            ));
        }
        return Ok((None, Vec::new()));
    };
    let group = Cgroup::create(path)?;
    let mut warnings = resources::apply(&group, limits)?;
    if let Err(error) = resources::filter_devices(&group, limits) {
        if required {
            return Err(Error::other(format!(
                "{error}: the container could use every device (only a privileged container starts without the filter)"
            )));
        }
        warnings.push(error.to_string());
    }
    Ok((Some(group), warnings))
}

/// Whether these rules, of which the last that fits counts, leave nothing to filter.
fn allows_every_device(rules: &[DeviceCgroup]) -> bool {
    rules.last().is_some_and(|rule| {
        rule.allow
            && matches!(rule.kind.as_str(), "" | "a")
            && rule.major.is_none()
            && rule.minor.is_none()
            && ["r", "w", "m"]
                .iter()
                .all(|letter| rule.access.contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stdio;
    use crate::oci::Linux;

    fn rule(allow: bool, access: &str, major: Option<i64>) -> DeviceCgroup {
        DeviceCgroup {
            allow,
            access: access.to_owned(),
            major,
            ..DeviceCgroup::default()
        }
    }

    /// Without a cgroup there is nothing to attach a filter to.
    fn without_a_tree(rules: Vec<DeviceCgroup>, confinement: Confinement) -> Result<()> {
        let spec = Spec {
            linux: Some(Linux {
                resources: Some(Resources {
                    devices: rules,
                    ..Resources::default()
                }),
                ..Linux::default()
            }),
            ..Spec::default()
        };
        let request = CreateRequest {
            id: "id",
            bundle: std::path::Path::new("/"),
            spec: &spec,
            stdio: Stdio::Null,
            cgroup: None,
        };
        confine(&request, &spec, confinement).map(drop)
    }

    #[test]
    fn an_unconfined_container_starts_only_when_it_was_asked_for() {
        use Confinement::{AsAvailable, Required};
        let default = || vec![rule(false, "rwm", None), rule(true, "rwm", Some(1))];
        let privileged = || vec![rule(true, "rwm", None)];
        let error = without_a_tree(default(), Required).expect_err("it could use every device");
        assert!(error.to_string().contains("no cgroup v2 tree"), "{error}");
        assert!(without_a_tree(Vec::new(), Required).is_err());
        assert!(without_a_tree(vec![rule(true, "rw", None)], Required).is_err());
        assert!(without_a_tree(privileged(), Required).is_ok());
        assert!(without_a_tree(default(), AsAvailable).is_ok());
    }
}
