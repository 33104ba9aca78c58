//! Parts of URLs, and where a redirect leads.

use ureq::http::Uri;

use oci_image::error::{Error, Result};

pub(super) fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

pub(super) fn resolve(base: &str, location: &str) -> Result<String> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Ok(location.to_owned());
    }
    let uri: Uri = base
        .parse()
        .map_err(|error| Error::invalid(format!("{base}: {error}")))?;
    let scheme = uri.scheme_str().unwrap_or("https");
    if let Some(rest) = location.strip_prefix("//") {
        return Ok(format!("{scheme}://{rest}"));
    }
    if location.starts_with('/') {
        return Ok(format!("{scheme}://{}{location}", authority(base)));
    }
    Err(Error::invalid(format!(
        "registry redirects to {location:.200?}"
    )))
}
