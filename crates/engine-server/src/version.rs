//! API versions: read from the path, compared, refused when too old or too new.

use engine_api::{API_VERSION, Error, MIN_API_VERSION, Result};

/// A version of the API, such as 1.45.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion(pub(super) u32, pub(super) u32);

/// What paths without a version mean: Docker 26's own.
pub(super) const DEFAULT: ApiVersion = ApiVersion(1, 45);

/// Oldest version spoken.
const OLDEST: ApiVersion = ApiVersion(1, 24);

impl ApiVersion {
    /// Reads `1.45` or `1`; parts after the second are ignored.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        let major = parts.next()??;
        let minor = parts.next().unwrap_or(Some(0))?;
        Some(Self(major, minor))
    }
}

/// Splits `/v1.41/info` into its version and `/info`; a path without a version means [`DEFAULT`].
///
/// # Errors
/// 400 with Docker's text when the version is out of range.
pub(super) fn split(path: &str) -> Result<(ApiVersion, &str)> {
    let Some((text, rest)) = prefix(path) else {
        return Ok((DEFAULT, path));
    };
    let too_new = || {
        format!("client version {text} is too new. Maximum supported API version is {API_VERSION}")
    };
    let version = ApiVersion::parse(text).ok_or_else(|| Error::bad_parameter(too_new()))?;
    if version > DEFAULT {
        return Err(Error::bad_parameter(too_new()));
    }
    if version < OLDEST {
        return Err(Error::bad_parameter(format!(
            "client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, \
             please upgrade your client to a newer version"
        )));
    }
    Ok((version, rest))
}

fn prefix(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let (text, _) = rest.split_once('/')?;
    let is_version = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_version.then(|| (text, &rest[text.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_stripped_and_bounded() {
        assert_eq!(split("/info").unwrap(), (DEFAULT, "/info"));
        assert_eq!(split("/v1.24/info").unwrap(), (ApiVersion(1, 24), "/info"));
        assert_eq!(split("/v1.45/volumes/a").unwrap(), (DEFAULT, "/volumes/a"));
        assert_eq!(split("/volumes").unwrap(), (DEFAULT, "/volumes"));
        assert_eq!(split("/version").unwrap(), (DEFAULT, "/version"));
        assert!(ApiVersion(1, 9) < ApiVersion(1, 24));
    }

    #[test]
    fn refusals_are_docker_s_words() {
        let message = |path| split(path).unwrap_err().message;
        assert_eq!(
            message("/v1.99/info"),
            "client version 1.99 is too new. Maximum supported API version is 1.45"
        );
        assert_eq!(
            message("/v1.9/info"),
            "client version 1.9 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        assert_eq!(
            split("/v99999999999999999999/info").unwrap_err().status,
            400
        );
        assert_eq!(split("/v.../info").unwrap_err().status, 400);
    }
}
