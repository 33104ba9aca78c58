//! What a tag names now, asked without fetching it: the Hub counts a manifest that is fetched as a pull and limits these.

use super::http::Http;
use oci_image::digest::Digest;
use oci_image::error::Result;
use oci_image::manifest::ACCEPTED;
use oci_image::reference::Reference;

/// The digest of what `tag` names; `None` when the registry does not say, and fetching will tell why.
pub(super) fn digest_of_tag(
    http: &Http<'_>,
    reference: &Reference,
    tag: &str,
) -> Result<Option<Digest>> {
    let path = format!("/v2/{}/manifests/{tag}", reference.path());
    let response = http.head(&path, &[("accept", &ACCEPTED.join(", "))])?;
    if !response.status().is_success() {
        return Ok(None);
    }
    let digest = response.headers().get("docker-content-digest");
    Ok(digest.and_then(|digest| digest.to_str().ok()?.parse().ok()))
}
