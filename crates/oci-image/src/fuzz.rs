//! Entry points of the fuzz targets in `crates/fuzz`, shared with the tests, which run the corpus; never compiled into a
//! program.
//!
//! Each takes any bytes and must return: a panic, or a change outside an unpacker's directory, is a defect.

use crate::manifest::{Document, Platform};
use crate::{Digest, Reference};

/// References and digests, and that what is printed is read again as the same.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = text.parse::<Digest>();
    let _ = Platform::parse(text);
    if let Ok(reference) = Reference::parse(text) {
        let printed = reference.to_string();
        assert_eq!(
            Reference::parse(&printed).ok(),
            Some(reference.clone()),
            "{printed}"
        );
        let familiar = reference.familiar();
        assert_eq!(
            Reference::parse(&familiar).ok(),
            Some(reference),
            "{familiar}"
        );
    }
}

/// Documents of images: what a registry or an archive may contain.
pub fn image(data: &[u8]) {
    if let Ok(Document::Index(index)) = Document::parse(data, None) {
        let _ = index.select(&Platform::host());
    }
    if let Ok(config) = crate::config::ImageConfig::parse(data) {
        let _ = config.platform();
        let _ = crate::config::ImageConfig::parse(&config.to_bytes());
    }
    if let Ok(media) = crate::media::MediaIndex::parse(data) {
        let _ = media.to_bytes();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("reference", super::reference);
        corpus::replay("image", super::image);
    }
}
