//! A file from the web, for `docker import URL`.

use std::io::Read;

use ureq::Agent;

use crate::registry::{RegistryOptions, failed_call};
use oci_image::error::{Error, Result};

/// Opens `url` for reading, with the time limits of registries. Redirects are followed.
///
/// # Errors
/// When nobody answers, or not with 200.
pub fn open(url: &str, options: &RegistryOptions) -> Result<impl Read> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("rancheros/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(options.connect_timeout))
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.idle_timeout))
        .timeout_per_read(Some(options.idle_timeout))
        .build();
    let response = Agent::new_with_config(config)
        .get(url)
        .call()
        .map_err(|error| failed_call("Get", url, &error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(Error::Transport(format!(
            "failed to GET {url} with status {status}"
        )));
    }
    Ok(response.into_body().into_reader())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `answer`; where.
    fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn a_file_is_read_and_a_missing_one_told() {
        let options = RegistryOptions::default();
        let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile");
        let mut text = String::new();
        open(&url, &options)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "file");
        let url = serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        let error = open(&url, &options).err().unwrap().to_string();
        assert!(error.contains("with status 404"), "{error}");
        let error = failed_call("Get", "http://no.host:80/x", &ureq::Error::HostNotFound);
        assert_eq!(
            error.to_string(),
            "Get \"http://no.host:80/x\": dial tcp: lookup no.host: no such host"
        );
    }
}
