//! A container in User Docker that needs what users' containers need: an image, a network, a published port, a volume.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use engine_api::Client;
use sys::process::Command;

use super::facts::{USER_DOCKER, block_on_for};
use crate::preload;

/// One command; an emulated machine needs 20 s to run a container.
const DEADLINE: Duration = Duration::from_secs(120);
/// The server in the container listens a moment after it was started; a failure is tried again by the gate.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);
/// The image of both containers: every medium brings it.
const IMAGE: &str = "busybox";
/// Longest time to take it in again.
const LOAD_DEADLINE: Duration = Duration::from_secs(300);
/// Of container and volume.
const NAME: &str = "ros-upgrade-canary";
const SONG: &str = "alive";
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Writes a file into a volume by one container, and reads it through a published port of another; without a `network` that containers
/// get by themselves, a second one reads it.
pub(super) fn sing(network: bool) -> anyhow::Result<()> {
    // Its owner may have removed it, and it was loaded once: `docker system prune -a` must not cost every version to come
    block_on_for(
        LOAD_DEADLINE,
        preload::bring(&Client::new(USER_DOCKER), IMAGE),
    )?;
    let canary = Canary;
    // What an earlier round has left
    canary.remove();
    let volume = format!("{NAME}:/song");
    let link = if network {
        "ifconfig eth0 >/dev/null && "
    } else {
        ""
    };
    let write = format!("{link}echo {SONG} > /song/index.html");
    let run = ["run", "--rm", "--pull", "never", "--volume"];
    docker(&[&run[..], &[&volume, IMAGE, "sh", "-c", &write]].concat())?;
    let read_only = format!("{volume}:ro");
    if !network {
        let song = docker(&[&run[..], &[&read_only, IMAGE, "cat", "/song/index.html"]].concat())?;
        ensure!(song == SONG, "the volume has {song:?} in place of {SONG:?}");
        return Ok(());
    }
    docker(&[
        "run",
        "--detach",
        "--pull",
        "never",
        "--name",
        NAME,
        "--volume",
        &read_only,
        "--publish",
        "127.0.0.1::80",
        IMAGE,
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        "/song",
    ])?;
    let published = docker(&["port", NAME, "80/tcp"])?;
    let address: SocketAddr = published
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .parse()
        .with_context(|| format!("docker has published {published:?}"))?;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match ask(address) {
            Ok(song) if song.trim() == SONG => return Ok(()),
            Ok(other) => bail!("the volume has {other:?} in place of {SONG:?}"),
            Err(error) => last = Some(error),
        }
        std::thread::sleep(PAUSE);
    }
    let last = last.unwrap_or_else(|| anyhow::anyhow!("nobody was asked"));
    Err(last.context(format!("the published port {address} does not answer")))
}

fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_DEADLINE)?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    ensure!(
        head.contains(" 200 "),
        "{}",
        head.lines().next().unwrap_or_default()
    );
    Ok(body.to_owned())
}

fn docker(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker")
        .args(words)
        .deadline(DEADLINE)
        .run()
        .context("docker did not run a container")?;
    ensure!(
        output.status.success(),
        "docker did not run a container: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Container and volume, which end with it.
struct Canary;

impl Canary {
    fn remove(&self) {
        // Each may be there or not
        let _ = docker(&["rm", "--force", "--volumes", NAME]);
        let _ = docker(&["volume", "rm", "--force", NAME]);
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_the_body_of_a_good_one_only() {
        for (answer, expected) in [
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nalive\n",
                Some("alive\n"),
            ),
            ("HTTP/1.0 404 Not Found\r\n\r\nalive", None),
            ("HTTP/1.0 200 OK", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 28];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(ask(address).ok().as_deref(), expected, "{answer}");
            server.join().unwrap();
        }
    }
}
