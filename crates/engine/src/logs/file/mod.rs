//! The writing side of a log: cuts output into lines, appends them, rotates the file.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use engine_api::Timestamp;
use engine_api::options::StreamKind;
use tokio::sync::watch;

use super::holes::data_end;
use super::record::{self, Attributes};
use crate::characters::whole;

/// Longest piece of a line that is kept together, in bytes; Docker cuts at the same length.
const LINE_MAX: usize = 16 * 1024;

/// Zeros at the end of a log are looked for in pieces of this size, bytes.
const BLOCK: u64 = 64 * 1024;

/// Zeros that are looked through at a start, bytes: milliseconds. A hole is not read at all.
const ZEROS_MOST: u64 = 16 * 1024 * 1024;

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
    /// How often something was written.
    pub(super) writes: u64,
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
    /// The file ends with a part of a line that could not be taken away.
    torn: bool,
}

impl Writer {
    /// Appends what is encoded. Of lines that the disk has no room for, none stays in part: the next line would be its end, and
    /// both would be lost. `before` is the file's length.
    fn write(&mut self, before: u64) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
            return self.write_whole(before + 1);
        }
        self.write_whole(before)
    }

    fn write_whole(&mut self, before: u64) -> io::Result<()> {
        let Err(error) = self.file.write_all(&self.encoded) else {
            return Ok(());
        };
        let added = self.file.metadata().ok().and_then(|found| {
            let added = found.len().checked_sub(before)?;
            usize::try_from(added).ok()
        });
        // It fits unless somebody else has changed the file's length.
        let part = added.and_then(|added| self.encoded.get(..added));
        self.torn = match part {
            Some([]) => false,
            Some(part) => {
                let whole = part
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1);
                self.file.set_len(before + whole as u64).is_err()
            }
            None => true,
        };
        Err(error)
    }
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
            torn: false,
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
        let before = self.position.borrow().bytes;
        let written = writer.write(before);
        writer.lost += u64::from(written.is_err());
        // Somebody may have made the file shorter; what the kernel says is right also then.
        let now = writer.file.metadata().map_or(before, |found| found.len());
        self.position.send_modify(|position| {
            position.bytes = now;
            position.writes += 1;
        });
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
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        // A named pipe in the log's place must not hold the engine up.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let bytes = end_last_line(&file)?;
    Ok((file, bytes))
}

/// Makes the first line of this run begin on a new line. After a power cut a log can end within a line, or with
/// zeros where blocks were promised and not written. Zeros are cut off; what is left of a line stays, ended.
fn end_last_line(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let data = data_end(file, length);
    let least = data.saturating_sub(ZEROS_MOST);
    let (mut end, mut last) = (data, None);
    let mut block = vec![0; usize::try_from(BLOCK.min(data)).unwrap_or_default()];
    while end > least && last.is_none() {
        let start = end.saturating_sub(BLOCK).max(least);
        let block = &mut block[..usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(block, start)?;
        match block.iter().rposition(|byte| *byte != 0) {
            Some(at) => {
                last = Some(block[at]);
                end = start + at as u64 + 1;
            }
            None => end = start,
        }
    }
    if last.is_none() && end > 0 {
        // Too many zeros: they stay, and end as a line that nobody reads.
        (end, last) = (data, Some(0));
    }
    if end < length {
        file.set_len(end)?;
    }
    if last.is_none_or(|byte| byte == b'\n') {
        return Ok(end);
    }
    (&mut &*file).write_all(b"\n")?;
    Ok(end + 1)
}

#[cfg(test)]
mod tests;
