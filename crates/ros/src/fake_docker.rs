//! A Docker for tests: it notes what it is asked, and answers by a function.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};

use engine_api::Client;

/// What was asked, such as `GET /images/a/json` or `POST /containers/a/update {"..."}`.
type Asked = Arc<Mutex<Vec<String>>>;

/// It answers until the test ends.
pub(crate) struct FakeDocker {
    folder: tempfile::TempDir,
    asked: Asked,
}

impl FakeDocker {
    /// `answer` gives the status and the body for a method and path, without the API's version and the query.
    pub(crate) fn start(answer: impl FnMut(&str) -> (u16, String) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket");
        let asked = Asked::default();
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut answer = answer;
            for stream in listener.incoming().flatten() {
                // A client that has gone needs no answer
                let _ = serve(stream, &notes, &mut answer);
            }
        });
        Self { folder, asked }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.folder.path().join("docker.sock"))
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }

    /// Runs what asks it.
    pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = system_docker::event_loop();
        runtime.expect("an event loop").block_on(work)
    }
}

fn serve(
    mut stream: UnixStream,
    asked: &Asked,
    answer: &mut impl FnMut(&str) -> (u16, String),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= line.starts_with("transfer-encoding:");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    while chunked {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        chunked = size > 0;
    }
    let mut words = first.split_whitespace();
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    // `/v1.45/images/...`
    let path = path.get(1..).and_then(|path| path.split_once('/'));
    let line = format!(
        "{} /{}",
        method.unwrap_or_default(),
        path.unwrap_or_default().1
    );
    let (status, text) = answer(&line);
    let noted = format!("{line} {}", String::from_utf8_lossy(&body));
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.push(noted.trim().to_owned());
    drop(asked);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n");
    let end = format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(format!("{head}{end}{text}").as_bytes())
}
