//! Questions to a registry that fetch no image: which tags there are, and what a reference stands for.

use serde::Deserialize;

use super::http::{Http, failure, read_body};
use super::{DOCKER_HUB, Description, Transfer, endpoints, reader};
use oci_image::config::{CONFIG_MAX, ImageConfig};
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};
use oci_image::manifest::{ACCEPTED, Descriptor, Document, MANIFEST_MAX, Platform};
use oci_image::reference::Reference;

/// Largest page of a list of tags that is read, in bytes.
const PAGE_MAX: u64 = 4 * 1024 * 1024;
/// Most tags of one repository: who pulls all of them has no use for more.
const TAGS_MAX: usize = 10_000;

#[derive(Deserialize)]
struct TagList {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// All tags of the repository of `reference`.
///
/// # Errors
/// When no registry answers, or refuses.
pub fn tags(reference: &Reference, transfer: &Transfer<'_>) -> Result<Vec<String>> {
    ask(reference, transfer, |http| {
        let mut found = Vec::new();
        let mut next = Some(format!("/v2/{}/tags/list", reference.path()));
        while let Some(path) = next.take() {
            let response = http.get(&path, &[])?;
            if response.status().as_u16() != 200 {
                return Err(failure(response, "list the tags"));
            }
            let link = response.headers().get("link");
            let link = link
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            let list: TagList = serde_json::from_slice(&read_body(response, PAGE_MAX)?)
                .map_err(|error| Error::invalid(format!("malformed list of tags: {error}")))?;
            let page = list.tags.unwrap_or_default();
            // A page without tags that links to another one would never end.
            next = next_page(link.as_deref()).filter(|_| !page.is_empty());
            found.extend(page);
            if found.len() > TAGS_MAX {
                return Err(Error::Limit {
                    what: "tags of a repository".to_owned(),
                    limit: TAGS_MAX as u64,
                });
            }
        }
        Ok(found)
    })
}

/// What `reference` stands for, without fetching it.
///
/// # Errors
/// When no registry answers, or has no such image.
pub fn describe(reference: &Reference, transfer: &Transfer<'_>) -> Result<Description> {
    ask(reference, transfer, |http| {
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_owned(),
            (None, None) => "latest".to_owned(),
        };
        let path = format!("/v2/{}/manifests/{name}", reference.path());
        let response = http.get(&path, &[("accept", &ACCEPTED.join(", "))])?;
        if response.status().as_u16() != 200 {
            return Err(failure(response, "get the manifest"));
        }
        let media_type = response.headers().get("content-type");
        let media_type = media_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let bytes = read_body(response, MANIFEST_MAX)?;
        if let Some(expected) = reference.digest() {
            expected.check_bytes(&bytes)?;
        }
        let platforms = match Document::parse(&bytes, Some(&media_type))? {
            Document::Index(index) => index
                .manifests
                .into_iter()
                .filter_map(|manifest| manifest.platform)
                .collect(),
            Document::Image(manifest) => vec![platform(http, reference, &manifest.config)?],
        };
        let size = bytes.len() as u64;
        Ok(Description {
            descriptor: Descriptor::new(&media_type, Digest::sha256(&bytes), size),
            platforms,
        })
    })
}

/// The platform that an image's configuration names.
fn platform(http: &Http<'_>, reference: &Reference, config: &Descriptor) -> Result<Platform> {
    let path = format!("/v2/{}/blobs/{}", reference.path(), config.digest);
    let response = http.get(&path, &[])?;
    if response.status().as_u16() != 200 {
        return Err(failure(response, "get the image configuration"));
    }
    let bytes = read_body(response, CONFIG_MAX)?;
    config.digest.check_bytes(&bytes)?;
    Ok(ImageConfig::parse(&bytes)?.platform())
}

/// Asks mirrors first, then the registry itself.
fn ask<T>(
    reference: &Reference,
    transfer: &Transfer<'_>,
    question: impl Fn(&Http<'_>) -> Result<T>,
) -> Result<T> {
    let mut last = None;
    for endpoint in endpoints(reference, transfer.options, true) {
        let is_mirror = endpoint.mirror;
        match reader(&endpoint, reference, transfer).and_then(|http| question(&http)) {
            Err(error) if is_mirror => last = Some(error),
            answer => return answer,
        }
    }
    Err(last.unwrap_or_else(|| Error::NotFound(format!("no registry to ask but {DOCKER_HUB}"))))
}

/// The path of `<...>; rel="next"`; a link to another host is not followed.
fn next_page(link: Option<&str>) -> Option<String> {
    let (target, parameters) = link?.trim().strip_prefix('<')?.split_once('>')?;
    if !parameters.contains("next") {
        return None;
    }
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|at| &rest[at..])?,
        None => target,
    };
    path.starts_with('/').then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn links_are_followed_on_the_same_host_only() {
        for (link, path) in [
            (
                "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
                Some("/v2/a/tags/list?last=b&n=2"),
            ),
            ("<https://other/v2/a?n=1>; rel=\"next\"", Some("/v2/a?n=1")),
            ("</v2/a>; rel=\"prev\"", None),
            ("nonsense", None),
            ("<>; rel=\"next\"", None),
        ] {
            assert_eq!(next_page(Some(link)).as_deref(), path, "{link}");
        }
        assert_eq!(next_page(None), None);
    }
}
