//! User data by a path or an address of the owner's: `file:PATH`, `url:URL`, `cloud-config-url=URL`.

use std::path::Path;
use std::time::Instant;

use crate::http::{self, Ask, Dial};
use crate::media::{Contents, read_bounded};
use crate::{Error, Result, nocloud, user_data};

/// User data in a file of this machine.
///
/// # Errors
/// A file that does not exist or cannot be read.
pub fn file(path: &Path) -> Result<Contents> {
    match read_bounded(path, user_data::MAX_BYTES)? {
        Some(bytes) => Ok(Contents::of_user_data(Some(bytes), "file")),
        None => Err(Error::Service(format!("{} does not exist", path.display()))),
    }
}

/// User data at an address: http or https, redirected or not, until `deadline`.
///
/// # Errors
/// When it cannot be had.
pub fn url(url: &str, deadline: Instant) -> Result<Contents> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Error::Service(format!(
            "{url} is not supported: an address is http or https"
        )));
    }
    let ask = Ask {
        redirects: true,
        ..Ask::get(url, &[], user_data::MAX_BYTES)
    };
    let answer = nocloud::until(deadline, || http::fetch(&Dial::default(), &ask, deadline))?;
    Ok(Contents::of_user_data(Some(answer.bytes), "url"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::{Server, ok};
    use std::time::Duration;

    #[test]
    fn user_data_comes_from_where_its_owner_says() {
        let soon = Instant::now() + Duration::from_secs(20);
        let server = Server::of(&[("/c.yml", ok("#cloud-config\n"))]);
        let contents = url(&server.url("/c.yml"), soon).unwrap();
        assert_eq!(contents.user_data.unwrap().unwrap(), b"#cloud-config\n");
        let error = url(&server.url("/d.yml"), soon).unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
        assert!(
            url("ftp://a/b", soon)
                .unwrap_err()
                .to_string()
                .contains("not supported")
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        assert!(
            file(&path)
                .unwrap_err()
                .to_string()
                .contains("does not exist")
        );
        std::fs::write(&path, "x").unwrap();
        assert_eq!(file(&path).unwrap().user_data.unwrap().unwrap(), b"x");
    }
}
