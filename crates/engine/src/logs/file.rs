//! The writing side of a log: cuts output into lines, appends them, rotates the file.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::record::{self, Attributes};
use crate::characters::whole;
use crate::options::StreamKind;
use crate::timestamp::Timestamp;

/// Longest piece of a line that is kept together, in bytes; Docker cuts at the same length.
const LINE_MAX: usize = 16 * 1024;

/// How much log a container may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes after which a new file is begun; none means never.
    pub max_size: Option<u64>,
    /// Files kept, the current one included; at least 1.
    pub max_file: u32,
}

impl LogLimits {
    /// 25 MB x 2: what System Docker keeps unless told otherwise.
    pub const DEFAULT: Self = Self {
        max_size: Some(25 * 1000 * 1000),
        max_file: 2,
    };
}

/// Where the end of the log is; readers that follow watch it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// How often the file was rotated.
    pub(super) generation: u64,
    /// Bytes in the current file.
    pub(super) bytes: u64,
    /// Whether more may come.
    pub(super) open: bool,
}

/// The log of one container.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    limits: LogLimits,
    attributes: Attributes,
    position: watch::Sender<Position>,
    writer: RefCell<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    encoded: Vec<u8>,
    unfinished: [Vec<u8>; 2],
    /// Lines that could not be written (disk full) since the file was opened.
    lost: u64,
}

impl LogFile {
    /// The log at `path`, which need not exist; nothing is opened.
    #[must_use]
    pub fn new(path: PathBuf, limits: LogLimits, attributes: Attributes) -> Self {
        // Files that are there already belong to generations before the present one.
        let position = Position {
            generation: u64::from(limits.max_file.max(1)),
            ..Position::default()
        };
        Self {
            path,
            limits,
            attributes,
            position: watch::Sender::new(position),
            writer: RefCell::default(),
        }
    }

    /// The current file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file that was rotated away `age` rotations ago.
    pub(super) fn rotated(&self, age: u64) -> PathBuf {
        if age == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        PathBuf::from(name)
    }

    pub(super) fn files_kept(&self) -> u64 {
        u64::from(self.limits.max_file.max(1))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    pub(super) fn generation(&self) -> u64 {
        self.position.borrow().generation
    }

    /// Opens the log for appending.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> io::Result<()> {
        let (file, bytes) = open_append(&self.path)?;
        *self.writer.borrow_mut() = Some(Writer {
            file,
            encoded: Vec::new(),
            unfinished: [Vec::new(), Vec::new()],
            lost: 0,
        });
        self.position.send_modify(|position| {
            position.bytes = bytes;
            position.open = true;
        });
        Ok(())
    }

    /// The beginnings of lines that wait for their ends, standard output's first.
    #[must_use]
    pub fn unfinished(&self) -> [Vec<u8>; 2] {
        let writer = self.writer.borrow();
        writer
            .as_ref()
            .map(|writer| writer.unfinished.clone())
            .unwrap_or_default()
    }

    /// Goes on where an earlier program stopped: the log is open, and these lines have begun.
    pub fn set_unfinished(&self, unfinished: [Vec<u8>; 2]) {
        if let Some(writer) = self.writer.borrow_mut().as_mut() {
            // A full piece would have been written: what is longer was not made by this code.
            writer.unfinished = unfinished.map(|mut text| {
                text.truncate(LINE_MAX - 1);
                text
            });
        }
    }

    /// Takes a piece of output; whole lines are written, the rest waits for its end.
    pub fn append(&self, stream: StreamKind, output: &[u8]) {
        let mut slot = self.writer.borrow_mut();
        let Some(writer) = slot.as_mut() else { return };
        let now = Timestamp::now();
        let mut rest = output;
        while !rest.is_empty() {
            let unfinished = &mut writer.unfinished[usize::from(stream == StreamKind::Stderr)];
            let room = LINE_MAX - unfinished.len();
            let window = &rest[..rest.len().min(room)];
            let newline = window.iter().position(|byte| *byte == b'\n');
            let (piece, after) = rest.split_at(newline.map_or(window.len(), |at| at + 1));
            rest = after;
            if newline.is_none() && unfinished.len() + piece.len() < LINE_MAX {
                unfinished.extend_from_slice(piece);
                break;
            }
            if unfinished.is_empty() && newline.is_some() {
                record::encode(&mut writer.encoded, piece, stream, &self.attributes, now);
            } else {
                unfinished.extend_from_slice(piece);
                // A line that is too long is cut between characters; Docker tears them.
                let end = newline.map_or_else(|| whole(unfinished), |_| unfinished.len());
                record::encode(
                    &mut writer.encoded,
                    &unfinished[..end],
                    stream,
                    &self.attributes,
                    now,
                );
                unfinished.drain(..end);
            }
            if writer.encoded.len() >= LINE_MAX {
                self.flush(writer);
            }
        }
        self.flush(writer);
    }

    /// Writes what waits for its end and closes the log; readers that follow come to an end.
    pub fn close(&self) {
        if let Some(mut writer) = self.writer.borrow_mut().take() {
            for stream in [StreamKind::Stdout, StreamKind::Stderr] {
                let text = std::mem::take(
                    &mut writer.unfinished[usize::from(stream == StreamKind::Stderr)],
                );
                if !text.is_empty() {
                    record::encode(
                        &mut writer.encoded,
                        &text,
                        stream,
                        &self.attributes,
                        Timestamp::now(),
                    );
                }
            }
            self.flush(&mut writer);
            if writer.lost > 0 {
                crate::report(&format!(
                    "{} pieces of the log {} could not be written",
                    writer.lost,
                    self.path.display()
                ));
            }
        }
        self.position.send_modify(|position| position.open = false);
    }

    fn flush(&self, writer: &mut Writer) {
        if writer.encoded.is_empty() {
            return;
        }
        let full = self
            .limits
            .max_size
            .is_some_and(|limit| self.position.borrow().bytes >= limit);
        // A rotation that fails leaves the old file in use: too long is better than lost.
        if full && let Ok(file) = self.rotate() {
            writer.file = file;
            self.position.send_modify(|position| {
                position.generation += 1;
                position.bytes = 0;
            });
        }
        match writer.file.write_all(&writer.encoded) {
            Ok(()) => {
                let added = writer.encoded.len() as u64;
                self.position
                    .send_modify(|position| position.bytes += added);
            }
            Err(_) => writer.lost += 1,
        }
        writer.encoded.clear();
    }

    fn rotate(&self) -> io::Result<File> {
        for age in (1..self.files_kept()).rev() {
            match fs::rename(self.rotated(age - 1), self.rotated(age)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files_kept() == 1 {
            // Readers keep the old content: a new file takes the name.
            fs::remove_file(&self.path)?;
        }
        open_append(&self.path).map(|(file, _)| file)
    }
}

fn open_append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<record::Record> {
        let content = fs::read(path).unwrap();
        content
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| record::decode(line).unwrap())
            .collect()
    }

    #[test]
    fn output_is_cut_into_lines_and_streams_do_not_mix() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogFile::new(
            directory.path().join("log"),
            LogLimits::DEFAULT,
            Attributes::new(),
        );
        log.open().unwrap();
        log.append(StreamKind::Stdout, b"one\ntw");
        log.append(StreamKind::Stderr, b"oops\n");
        log.append(StreamKind::Stdout, b"o\nthree");
        log.close();
        let found: Vec<_> = lines(log.path())
            .into_iter()
            .map(|line| (line.stream, line.text))
            .collect();
        let expected = [
            (StreamKind::Stdout, "one\n"),
            (StreamKind::Stderr, "oops\n"),
            (StreamKind::Stdout, "two\n"),
            (StreamKind::Stdout, "three"),
        ];
        assert_eq!(
            found,
            expected.map(|(stream, text)| (stream, text.to_owned()))
        );
    }

    #[test]
    fn a_line_that_began_before_an_upgrade_ends_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let open = || {
            let log = LogFile::new(path.clone(), LogLimits::DEFAULT, Attributes::new());
            log.open().unwrap();
            log
        };
        let former = open();
        former.append(StreamKind::Stdout, b"whole\nhal");
        former.append(StreamKind::Stderr, b"al");
        let next = open();
        next.set_unfinished(former.unfinished());
        std::mem::forget(former); // execve(2) closes nothing in order
        next.append(StreamKind::Stdout, b"f\n");
        next.append(StreamKind::Stderr, b"so\n");
        next.close();
        let found: Vec<_> = lines(&path).into_iter().map(|line| line.text).collect();
        assert_eq!(found, ["whole\n", "half\n", "also\n"]);
    }

    #[test]
    fn long_lines_are_kept_in_pieces_of_16_kib() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogFile::new(
            directory.path().join("log"),
            LogLimits::DEFAULT,
            Attributes::new(),
        );
        log.open().unwrap();
        let mut long = vec![b'x'; 3 * LINE_MAX + 5];
        long.push(b'\n');
        for piece in long.chunks(1000) {
            log.append(StreamKind::Stdout, piece);
        }
        log.close();
        let found = lines(log.path());
        assert!(found.iter().all(|line| line.text.len() <= LINE_MAX));
        assert_eq!(
            found
                .iter()
                .map(|line| line.text.as_str())
                .collect::<String>()
                .into_bytes(),
            long
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogFile::new(
            directory.path().join("log"),
            LogLimits::DEFAULT,
            Attributes::new(),
        );
        for (before, character) in [("x", "é"), ("xx", "€"), ("xyz", "😀"), ("", "€")] {
            let line = format!("{before}{}\n", character.repeat(LINE_MAX));
            for size in [1, 1000, 32 << 10] {
                log.open().unwrap();
                for piece in line.as_bytes().chunks(size) {
                    log.append(StreamKind::Stdout, piece);
                }
                log.close();
                let found: String = lines(log.path())
                    .iter()
                    .map(|line| line.text.as_str())
                    .collect();
                assert!(found == line, "{before}{character} by {size}");
                fs::remove_file(log.path()).unwrap();
            }
        }
    }

    #[test]
    fn the_log_never_outgrows_its_limits() {
        let directory = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            max_size: Some(1000),
            max_file: 3,
        };
        let log = LogFile::new(directory.path().join("log"), limits, Attributes::new());
        log.open().unwrap();
        for number in 0..200 {
            log.append(StreamKind::Stdout, format!("line {number}\n").as_bytes());
        }
        log.close();
        let files: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(files.len(), 3);
        assert!(
            files
                .iter()
                .all(|file| file.metadata().unwrap().len() < 1200)
        );
        assert_eq!(lines(log.path()).last().unwrap().text, "line 199\n");
    }
}
