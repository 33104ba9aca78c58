//! Searching by words: the API of Docker's first registry, which only the Hub's index and few others still answer.

use serde::Deserialize;

use super::auth::query_value;
use super::http::{Http, read_body};
use super::{Credentials, Endpoint, Found, RegistryOptions};
use oci_image::error::{Error, Result};

/// Host that knows what docker.io has.
const INDEX: &str = "index.docker.io";
/// Largest answer that is read, in bytes: a hundred repositories with their descriptions.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Found>,
}

/// At most `limit` repositories for `term`, which may begin with a registry's host.
///
/// # Errors
/// When the index does not answer, refuses, or is none. It is asked once: somebody waits for the answer.
pub fn search(
    term: &str,
    limit: u8,
    credentials: &Credentials,
    options: &RegistryOptions,
) -> Result<Vec<Found>> {
    let (host, words) = split(term);
    let endpoint = Endpoint {
        base: format!("https://{host}"),
        insecure: options.is_insecure(host),
        mirror: false,
    };
    let options = RegistryOptions {
        retries: 0,
        ..options.clone()
    };
    let http = Http::connect(&endpoint, &options, credentials.clone(), String::new())?;
    let path = format!("/v1/search?q={}&n={limit}", query_value(words));
    let response = http.get(&path, &[("x-docker-token", "true")])?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(Error::Registry {
            status,
            message: format!("Unexpected status code {status}"),
        });
    }
    let answer: Answer = serde_json::from_slice(&read_body(response, ANSWER_MAX)?)
        .map_err(|error| Error::invalid(format!("malformed answer to a search: {error}")))?;
    let mut found = answer.results;
    // Whatever the index thinks of the limit.
    found.truncate(usize::from(limit));
    Ok(found)
}

/// The index's host and what to ask it for. The first part of a term is a host as in a reference.
fn split(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((host, words)) if host.contains(['.', ':']) || host == "localhost" => {
            let is_hub = matches!(host, "docker.io" | INDEX);
            (if is_hub { INDEX } else { host }, words)
        }
        // The index lists official images under their short names.
        Some(("library", words)) => (INDEX, words),
        _ => (INDEX, term),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::server::{Registry, Settings};

    #[test]
    fn an_index_is_asked_and_its_absence_is_told_at_once() {
        let registry = Registry::start(Settings::default());
        let ask = |term: &str| {
            let options = RegistryOptions::default();
            search(term, 7, &Credentials::default(), &options)
        };
        let found = ask(&format!("{}/web server", registry.address)).unwrap();
        assert_eq!(found[0].name, "found");
        assert_eq!(found[0].description, "q=web%20server&n=7");
        assert!(found[0].is_official);
        let options = RegistryOptions::default();
        let none = search(
            &format!("{}/web", registry.address),
            0,
            &Credentials::default(),
            &options,
        );
        assert_eq!(none.unwrap(), []);
        assert!(ask("127.0.0.1:1/web").is_err());
    }

    #[test]
    fn a_term_may_begin_with_a_host() {
        assert_eq!(split("busybox"), (INDEX, "busybox"));
        assert_eq!(split("library/busybox"), (INDEX, "busybox"));
        assert_eq!(split("rancher/os"), (INDEX, "rancher/os"));
        assert_eq!(split("docker.io/rancher/os"), (INDEX, "rancher/os"));
        assert_eq!(split("localhost/a"), ("localhost", "a"));
        assert_eq!(split("10.0.0.1:5000/a/b"), ("10.0.0.1:5000", "a/b"));
    }
}
