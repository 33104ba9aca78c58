//! Reading a blob to its end although connections break on the way.

use std::io::{self, Read};
use std::time::Duration;

use super::http::{Http, failure};
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};

/// Reads one blob; after a failure it goes on where it stopped, with a range request.
pub(super) struct BlobReader<'a> {
    http: &'a Http<'a>,
    path: String,
    size: u64,
    position: u64,
    body: Option<Box<dyn Read + Send>>,
    failures: u32,
    pause: Duration,
}

impl<'a> BlobReader<'a> {
    /// Opens a blob of `repository`; the first request is made at once, so that its errors are known.
    pub(super) fn open(
        http: &'a Http<'a>,
        repository: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<Self> {
        Self::open_at(http, repository, digest, size, 0)
    }

    /// The same, from `position` on: what is before it is at hand.
    pub(super) fn open_at(
        http: &'a Http<'a>,
        repository: &str,
        digest: &Digest,
        size: u64,
        position: u64,
    ) -> Result<Self> {
        let mut reader = Self {
            http,
            path: format!("/v2/{repository}/blobs/{digest}"),
            size,
            position,
            body: None,
            failures: 0,
            pause: http.options().retry_pause,
        };
        reader.connect()?;
        Ok(reader)
    }

    fn connect(&mut self) -> Result<()> {
        let range = format!("bytes={}-", self.position);
        let headers: &[(&str, &str)] = if self.position > 0 {
            &[("range", &range)]
        } else {
            &[]
        };
        let response = self.http.get(&self.path, headers)?;
        let status = response.status().as_u16();
        let skip = match status {
            206 => 0,
            200 => self.position, // the registry knows no ranges: read over what is there
            _ => return Err(failure(response, "get a blob")),
        };
        let mut body: Box<dyn Read + Send> = Box::new(response.into_body().into_reader());
        let skipped = io::copy(&mut body.by_ref().take(skip), &mut io::sink())
            .map_err(|error| Error::Transport(format!("{}: {error}", self.path)))?;
        if skipped < skip {
            return Err(Error::Transport(format!(
                "{}: the answer is cut off",
                self.path
            )));
        }
        self.body = Some(body);
        Ok(())
    }

    fn read_body(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.body.is_none() {
            self.connect().map_err(io::Error::other)?;
        }
        let body = self.body.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        match body.read(&mut buffer[..want])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.read_body(buffer) {
                Ok(n) => {
                    self.position += n as u64;
                    self.failures = 0;
                    self.pause = self.http.options().retry_pause;
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.body = None;
                    self.failures += 1;
                    if self.failures > self.http.options().retries {
                        let done = format!("{} of {} bytes", self.position, self.size);
                        return Err(io::Error::new(
                            error.kind(),
                            format!("{}: {error} after {done}", self.path),
                        ));
                    }
                    std::thread::sleep(self.pause);
                    self.pause *= 2;
                }
            }
        }
    }
}
