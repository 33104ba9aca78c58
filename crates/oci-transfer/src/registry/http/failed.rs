//! Calls that get no answer: what Docker, which is written in Go, says of them, and whether to ask again.

use super::url::authority;
use oci_image::error::Error;

/// The error of a call that got no answer, in the words of Go's client. `name` is the method's: `Get`, `Head`.
pub(crate) fn failed_call(name: &str, url: &str, error: &ureq::Error) -> Error {
    if is_unknown_host(error) {
        let host = authority(url);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        return Error::Unreachable(format!(
            "{name} \"{url}\": dial tcp: lookup {host}: no such host"
        ));
    }
    if is_refused(error) {
        let host = authority(url);
        return Error::Unreachable(format!(
            "{name} \"{url}\": dial tcp {host}: connect: connection refused"
        ));
    }
    if let Some(words) = tls_failure(&error.to_string()) {
        return Error::Unreachable(format!("{name} \"{url}\": {words}"));
    }
    Error::Transport(format!("{name} \"{url}\": {error}"))
}

/// Whether the name was looked up and is not there: asking again at once is of no use, and Docker does not.
fn is_unknown_host(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound => true,
        ureq::Error::Io(error) => error.to_string().contains("failed to lookup address"),
        _ => false,
    }
}

/// Whether nobody listens there; Docker does not ask again either.
fn is_refused(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// What Go says of a failed TLS handshake; Docker does not ask again.
///
/// `error` is rustls's text (its `Error` and `CertificateError`), which ureq hands on as an error of input or output.
fn tls_failure(error: &str) -> Option<String> {
    if error.contains("received corrupt message of type") {
        return Some("http: server gave HTTP response to HTTPS client".to_owned());
    }
    let (_, why) = error.split_once(INVALID)?;
    let why = match why {
        UNKNOWN_ISSUER => "x509: certificate signed by unknown authority",
        why if why.contains("expired") || why.contains("not valid yet") => {
            "x509: certificate has expired or is not yet valid"
        }
        why => why,
    };
    Some(format!("tls: failed to verify certificate: {why}"))
}

/// Whether nobody who is trusted has signed the host's certificate.
pub(super) fn is_unknown_issuer(error: &ureq::Error) -> bool {
    let text = error.to_string();
    text.split_once(INVALID)
        .is_some_and(|(_, why)| why == UNKNOWN_ISSUER)
}

/// rustls's words.
const INVALID: &str = "invalid peer certificate: ";
const UNKNOWN_ISSUER: &str = "UnknownIssuer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_fail_in_gos_words() {
        for (error, words) in [
            (
                "invalid peer certificate: UnknownIssuer",
                "x509: certificate signed by unknown authority",
            ),
            (
                "invalid peer certificate: certificate expired: verification time 9 (UNIX), but certificate is not valid after 8 (1 seconds ago)",
                "x509: certificate has expired or is not yet valid",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a\"; certificate is only valid for \"b\"",
                "certificate not valid for name \"a\"; certificate is only valid for \"b\"",
            ),
        ] {
            let expected = format!("tls: failed to verify certificate: {words}");
            assert_eq!(tls_failure(error), Some(expected));
        }
        assert_eq!(tls_failure("connection reset by peer"), None);
    }
}
