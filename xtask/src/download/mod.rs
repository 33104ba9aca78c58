//! Downloads that are resumed, retried, verified and cached by content.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use reqwest::blocking::Client;
use reqwest::{Certificate, StatusCode};

use crate::{cache, progress};

/// Tries of one file before the build gives up; with the pauses below about half a minute.
const ATTEMPTS: u32 = 6;
/// Pause after the first failed try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A server that says nothing for this long is given up on, and asked again.
const SILENCE: Duration = Duration::from_secs(60);
/// Files fetched at the same time: more does not help one mirror.
const PARALLEL: usize = 4;
/// Largest index or release file that is read into memory: bytes, ten times what Debian has today.
const INDEX_LIMIT: u64 = 128 * 1024 * 1024;

/// One file of known content.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// What the user sees.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) url: String,
    /// SHA-256 in hexadecimal.
    pub(crate) sha256: String,
    /// Length in bytes.
    pub(crate) size: u64,
}

/// Why a download failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server does not have the file (any more).
    Vanished(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Vanished(url) => anyhow::anyhow!("{url} is not on the server"),
            Failure::Other(error) => error,
        }
    }
}

/// Certificates that this host trusts: `SSL_CERT_FILE`, else the usual file of Debian and Ubuntu.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An HTTP client that honours the system's proxy variables and certificates.
///
/// # Errors
/// When the file of certificates is not PEM.
pub(crate) fn client() -> Result<Client> {
    let path = std::env::var_os("SSL_CERT_FILE")
        .map_or_else(|| PathBuf::from(CERTIFICATES), PathBuf::from);
    // Without the file only mirrors by http answer; apt itself needs it for the others
    let roots = match fs::read(&path) {
        Ok(pem) => Certificate::from_pem_bundle(&pem)
            .with_context(|| format!("read the certificates in {}", path.display()))?,
        Err(_) => Vec::new(),
    };
    // The first client of the process sets the provider, all others find it set
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    Client::builder()
        .connect_timeout(SILENCE)
        // Not the time of the whole transfer: reqwest's blocking client counts it from the start for each read
        .timeout(SILENCE)
        .tls_certs_only(roots)
        .user_agent(concat!("rancheros-xtask/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("make an HTTP client")
}

/// The cached file with this content, if it is there and whole.
pub(crate) fn cached(sha256: &str, size: u64) -> Result<Option<PathBuf>> {
    let path = cache::dir("downloads")?.join(sha256);
    match fs::metadata(&path) {
        Ok(found) if found.len() == size && cache::verify(&path, sha256).is_ok() => Ok(Some(path)),
        Ok(_) => {
            progress::warn(&format!("{} is damaged and fetched again", path.display()));
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}

/// Fetches all items, several at a time; the answer has the items' order.
pub(crate) fn fetch_all(
    client: &Client,
    title: &str,
    items: &[Item],
) -> Vec<Result<PathBuf, Failure>> {
    let bar = progress::bytes(title, items.iter().map(|item| item.size).sum());
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<PathBuf, Failure>>>> =
        items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(items.len()) {
            scope.spawn(|| {
                while let Some(position) = claim(&next, items.len()) {
                    let result = fetch(client, &items[position], &bar);
                    if let Ok(mut slot) = results[position].lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let lost = || Err(Failure::Other(anyhow::anyhow!("a download thread died")));
    results
        .into_iter()
        .map(|slot| slot.into_inner().ok().flatten().unwrap_or_else(lost))
        .collect()
}

fn claim(next: &AtomicUsize, length: usize) -> Option<usize> {
    let position = next.fetch_add(1, Ordering::Relaxed);
    (position < length).then_some(position)
}

/// Fetches one item into the cache and returns its path there.
pub(crate) fn fetch(client: &Client, item: &Item, bar: &ProgressBar) -> Result<PathBuf, Failure> {
    if let Some(path) = cached(&item.sha256, item.size).map_err(Failure::Other)? {
        bar.inc(item.size);
        return Ok(path);
    }
    let folder = cache::dir("downloads").map_err(Failure::Other)?;
    let partial = folder.join(format!("{}.partial", item.sha256));
    retry(&item.url, || append(client, item, &partial, bar))?;
    let found = cache::sha256_file(&partial).map_err(Failure::Other)?;
    if found != item.sha256 {
        fs::remove_file(&partial).ok();
        return Err(Failure::Other(anyhow::anyhow!(
            "{} has sha256 {found}, but {} was promised: the mirror or the lock file is wrong",
            item.url,
            item.sha256
        )));
    }
    let path = folder.join(&item.sha256);
    fs::rename(&partial, &path)
        .with_context(|| format!("rename {}", partial.display()))
        .map_err(Failure::Other)?;
    Ok(path)
}

/// Continues the partial file until it has the item's size.
fn append(client: &Client, item: &Item, partial: &Path, bar: &ProgressBar) -> Result<(), Failure> {
    let other = Failure::Other;
    let mut have = fs::metadata(partial).map_or(0, |found| found.len());
    if have > item.size {
        fs::remove_file(partial).ok();
        have = 0;
    }
    if have == item.size && have > 0 {
        return Ok(());
    }
    let mut request = client.get(&item.url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut answer = request
        .send()
        .with_context(|| format!("ask for {}", item.url))
        .map_err(other)?;
    let resumed = answer.status() == StatusCode::PARTIAL_CONTENT;
    check_status(answer.status(), &item.url)?;
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(resumed)
        .write(true)
        .truncate(!resumed)
        .open(partial)
        .with_context(|| format!("write {}", partial.display()))
        .map_err(other)?;
    let done = if resumed { have } else { 0 };
    copy(&mut answer, &mut file, item.size - done, bar).map_err(other)
}

/// Copies at most `limit` bytes, and fails when there are fewer.
fn copy(from: &mut impl Read, to: &mut impl Write, limit: u64, bar: &ProgressBar) -> Result<()> {
    let mut buffer = vec![0; cache::COPY_BUFFER];
    let mut left = limit;
    while left > 0 {
        let read = from.read(&mut buffer).context("the transfer broke off")?;
        if read == 0 {
            bail!("the transfer ended {left} bytes early");
        }
        let wanted = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&buffer[..wanted])
            .context("write the download (is the disk full?)")?;
        bar.inc(wanted as u64);
        left -= wanted as u64;
    }
    Ok(())
}

fn check_status(status: StatusCode, url: &str) -> Result<(), Failure> {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Failure::Vanished(url.to_owned())),
        status if status.is_success() => Ok(()),
        status => Err(Failure::Other(anyhow::anyhow!("{url} answered {status}"))),
    }
}

/// Runs `work` until it succeeds, with longer and longer pauses; a file that is not there is not asked for again.
fn retry<T>(url: &str, mut work: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match work() {
            Err(Failure::Other(error)) => {
                progress::warn(&format!("{error:#}, trying again in {} s", pause.as_secs()));
                std::thread::sleep(pause);
                pause *= 2;
            }
            result => return result,
        }
    }
    work().map_err(|failure| match failure {
        Failure::Other(error) => {
            let context =
                format!("{url} failed {ATTEMPTS} times (is there a network, is a proxy needed?)");
            Failure::Other(error.context(context))
        }
        vanished @ Failure::Vanished(_) => vanished,
    })
}

/// Fetches a small file of unknown content; `None` when the server does not have it.
pub(crate) fn text(client: &Client, url: &str) -> Result<Option<Vec<u8>>> {
    let result = retry(url, || {
        let answer = client
            .get(url)
            .send()
            .with_context(|| format!("ask for {url}"))
            .map_err(Failure::Other)?;
        check_status(answer.status(), url)?;
        let mut bytes = Vec::new();
        answer
            .take(INDEX_LIMIT)
            .read_to_end(&mut bytes)
            .with_context(|| format!("read {url}"))
            .map_err(Failure::Other)?;
        Ok(bytes)
    });
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Failure::Vanished(_)) => Ok(None),
        Err(Failure::Other(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
