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
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Runs a target on every file of its corpus.
    fn replay(target: &str, run: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(target)).unwrap() {
            run(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no corpus");
    }

    #[test]
    fn the_corpus_is_survived() {
        replay("reference", reference);
        replay("image", image);
    }
}
