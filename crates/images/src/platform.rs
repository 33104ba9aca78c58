//! The platform that an image is for, compared with the one that is asked for and with this machine's.

use engine_api::{Error, Result};
use oci_image::manifest::Platform;

use super::{Images, api_error};

impl Images {
    /// Refuses an image that is here for another platform than `os[/architecture[/variant]]`.
    ///
    /// # Errors
    /// 400 for a platform that nobody knows, 404 when there is no such image or it is another platform's.
    pub fn check_platform(&self, reference: &str, wanted: &str) -> Result<()> {
        let wanted = Platform::parse(wanted).map_err(|error| api_error(&error))?;
        let actual = self.resolve(reference)?.image.platform();
        if wanted.accepts(&actual) {
            return Ok(());
        }
        let (wanted, actual) = (wanted.name(), actual.name());
        Err(Error::not_found(format!(
            "image with reference {reference} was found but does not match the specified platform: wanted {wanted}, actual: {actual}"
        )))
    }

    /// Warning for an image of another platform when the client named none; Docker's words.
    pub fn foreign_platform(&self, reference: &str) -> Option<String> {
        let (host, actual) = (
            Platform::host(),
            self.resolve(reference).ok()?.image.platform(),
        );
        (!host.accepts(&actual)).then(|| {
            format!(
                "The requested image's platform ({}) does not match the detected host platform ({}) and no specific platform was requested",
                actual.name(),
                host.name()
            )
        })
    }
}
