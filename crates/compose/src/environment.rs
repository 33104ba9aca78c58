//! The environment of a service: its own values, and those it takes over from `rancher.environment`.

use config::cloud_config::{Rancher, StringMap};

/// Variables of the machine: `rancher.environment`, and below it the proxies under both spellings of their names.
pub fn variables(rancher: &Rancher) -> StringMap {
    let network = &rancher.network;
    let mut variables = rancher.environment.clone();
    for (name, value) in [
        ("http_proxy", &network.http_proxy),
        ("https_proxy", &network.https_proxy),
        ("no_proxy", &network.no_proxy),
    ] {
        let Some(value) = value else { continue };
        for name in [name.to_owned(), name.to_ascii_uppercase()] {
            variables.entry(name).or_insert_with(|| Some(value.clone()));
        }
    }
    variables
}

/// `NAME=value` lines for a container of `service`.
///
/// As in RancherOS: a name without a value takes it from `variables`, `PREFIX_*` takes every variable that begins so,
/// and a variable called `SERVICE/NAME` is `NAME` for that service alone. A name nobody has a value for is left out.
pub fn environment(service: &str, own: &StringMap, variables: &StringMap) -> Vec<String> {
    let mut result = StringMap::new();
    for (name, value) in own {
        match (value, name.strip_suffix('*')) {
            (Some(value), _) => {
                result.insert(name.clone(), Some(value.clone()));
            }
            (None, Some(prefix)) => {
                for (name, value) in visible(service, variables) {
                    if name.starts_with(prefix) && !own.contains_key(name) {
                        result.insert(name.to_owned(), value.clone());
                    }
                }
            }
            (None, None) => {
                let found = visible(service, variables)
                    .filter(|(candidate, _)| candidate == name)
                    .last();
                if let Some((name, value)) = found {
                    result.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
    result
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
        .collect()
}

/// Variables a service sees; its own scoped ones come last.
fn visible<'v>(
    service: &'v str,
    variables: &'v StringMap,
) -> impl Iterator<Item = (&'v str, &'v Option<String>)> {
    let global = variables
        .iter()
        .filter(|(name, _)| !name.contains('/'))
        .map(|(name, value)| (name.as_str(), value));
    let scoped = variables.iter().filter_map(move |(name, value)| {
        let (scope, name) = name.split_once('/')?;
        (scope == service).then_some((name, value))
    });
    global.chain(scoped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, Option<&str>)]) -> StringMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect()
    }

    #[test]
    fn proxies_of_the_machine_are_variables_with_both_names() {
        let mut rancher = Rancher {
            environment: map(&[("NO_PROXY", Some("own"))]),
            ..Rancher::default()
        };
        rancher.network.http_proxy = Some("http://p:1".to_owned());
        rancher.network.no_proxy = Some(".local".to_owned());
        let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "NO_PROXY"];
        let own = names.map(|name| (name, None));
        assert_eq!(
            environment("web", &map(&own), &variables(&rancher)),
            [
                "HTTP_PROXY=http://p:1",
                "NO_PROXY=own",
                "http_proxy=http://p:1"
            ]
        );
    }

    #[test]
    fn values_come_from_the_service_and_from_the_machine() {
        let variables = map(&[
            ("A", Some("1")),
            ("ETCD_X", Some("x")),
            ("ETCD_Y", Some("y")),
            ("web/A", Some("scoped")),
        ]);
        let own = map(&[
            ("A", None),
            ("B", Some("b=c")),
            ("ETCD_*", None),
            ("NONE", None),
            ("ETCD_Y", Some("own")),
        ]);
        assert_eq!(
            environment("web", &own, &variables),
            ["A=scoped", "B=b=c", "ETCD_X=x", "ETCD_Y=own"]
        );
        assert_eq!(environment("db", &map(&[("A", None)]), &variables), ["A=1"]);
    }
}
