//! The reading side of a log: tail, since, until, and following across rotations.

mod tail;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use bytes::Bytes;
use engine_api::Timestamp;
use engine_api::options::{LogsOptions, OutputChunk, STREAM_DEPTH, StreamKind};
use tokio::sync::{mpsc, watch};

use super::file::{LogFile, Position};
use super::holes::next_data;
use super::record::{self, Record};

/// Bytes read at once: bounds how long PID 1 is busy with one reader.
const BLOCK: usize = 64 * 1024;
/// Longest encoded line that is taken for one; every byte of 16 KiB may become six (`\u0000`), plus attributes.
const ENCODED_MAX: usize = 256 * 1024;

impl LogFile {
    /// Starts reading; what passes `options` arrives in the channel.
    pub fn read(self: &Rc<Self>, options: LogsOptions) -> mpsc::Receiver<OutputChunk> {
        let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
        let log = Rc::clone(self);
        engine_api::tasks::spawn(async move {
            let deadline = options.until.filter(|_| options.follow);
            let reading = Reader {
                sender: sender.clone(),
                options,
                log,
            }
            .run();
            let out_of_time = async {
                match deadline {
                    Some(until) => tokio::time::sleep(until.since(Timestamp::now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = reading => {}
                () = sender.closed() => {}
                () = out_of_time => {}
            }
        });
        receiver
    }
}

/// Why reading came to an end: all was read, or the other side went away or asked for no more.
struct End;

struct Reader {
    log: Rc<LogFile>,
    options: LogsOptions,
    sender: mpsc::Sender<OutputChunk>,
}

struct Source {
    file: File,
    generation: u64,
    offset: u64,
    unfinished: Vec<u8>,
}

impl Source {
    /// Goes on where the next data is, after a block of zeros: no line has those.
    fn skip_hole(&mut self) -> io::Result<()> {
        self.unfinished.clear();
        self.offset = match next_data(&self.file, self.offset) {
            Some(next) => next,
            None => self.offset.max(self.file.metadata()?.len()),
        };
        Ok(())
    }
}

impl Reader {
    async fn run(self) -> Result<(), End> {
        let mut watch = self.log.watch();
        let Some(mut source) = self.first_source().await else {
            return Ok(());
        };
        loop {
            // What is written from here on is seen by this look, or is a reason for the next.
            let seen = *watch.borrow_and_update();
            self.drain(&mut source).await?;
            if source.generation < self.log.generation() {
                // Nothing is added to a file after it was rotated away, so one more look finds its end.
                self.drain(&mut source).await?;
                let Some(next) = self.open_from(source.generation + 1) else {
                    return Ok(());
                };
                source = next;
                continue;
            }
            if !self.options.follow {
                return Ok(());
            }
            wait_for_more(&mut watch, seen, &source).await?;
        }
    }

    /// The place to begin: the oldest file, or where the last `tail` lines begin.
    async fn first_source(&self) -> Option<Source> {
        let newest = self.log.generation();
        let Some(mut wanted) = self.options.tail else {
            return self.open_oldest(newest);
        };
        let mut found = None;
        for age in 0..self.log.files_kept() {
            let Ok(file) = open(&self.log.rotated(age)) else {
                break;
            };
            let (offset, lines) = tail::offset(&file, wanted).await.unwrap_or((0, 0));
            found = Some(Source {
                file,
                generation: newest.saturating_sub(age),
                offset,
                unfinished: Vec::new(),
            });
            wanted = wanted.saturating_sub(lines);
            if wanted == 0 {
                break;
            }
        }
        found.or_else(|| self.open_from(newest))
    }

    fn open_oldest(&self, newest: u64) -> Option<Source> {
        (0..self.log.files_kept()).rev().find_map(|age| {
            let file = open(&self.log.rotated(age)).ok()?;
            Some(Source {
                file,
                generation: newest.saturating_sub(age),
                offset: 0,
                unfinished: Vec::new(),
            })
        })
    }

    /// Opens the file that `generation` wrote, or the oldest after it that is still there.
    fn open_from(&self, generation: u64) -> Option<Source> {
        let newest = self.log.generation();
        let age = newest
            .saturating_sub(generation)
            .min(self.log.files_kept() - 1);
        (0..=age).rev().find_map(|age| {
            let file = open(&self.log.rotated(age)).ok()?;
            Some(Source {
                file,
                generation: newest - age,
                offset: 0,
                unfinished: Vec::new(),
            })
        })
    }

    /// Reads to the present end of the file.
    async fn drain(&self, source: &mut Source) -> Result<(), End> {
        let mut block = vec![0; BLOCK];
        loop {
            let count = source
                .file
                .read_at(&mut block, source.offset)
                .map_err(|_| End)?;
            if count == 0 {
                let length = source.file.metadata().map_err(|_| End)?.len();
                if length >= source.offset {
                    return Ok(());
                }
                // Somebody has emptied it: what is there now is new.
                source.offset = 0;
                source.unfinished.clear();
                continue;
            }
            source.offset += count as u64;
            let mut rest = &block[..count];
            if rest.iter().all(|byte| *byte == 0) {
                source.skip_hole().map_err(|_| End)?;
                rest = &[];
            }
            while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let (line, after) = rest.split_at(at + 1);
                rest = after;
                if source.unfinished.is_empty() {
                    self.line(line).await?;
                } else {
                    source.unfinished.extend_from_slice(line);
                    let whole = std::mem::take(&mut source.unfinished);
                    self.line(&whole).await?;
                }
            }
            if source.unfinished.len() + rest.len() > ENCODED_MAX {
                source.unfinished.clear();
            }
            source.unfinished.extend_from_slice(rest);
            tokio::task::yield_now().await;
        }
    }

    async fn line(&self, line: &[u8]) -> Result<(), End> {
        // A damaged line (power cut) is passed over.
        let Some(record) = record::decode(line) else {
            return Ok(());
        };
        if self.options.until.is_some_and(|until| record.time > until) {
            return Err(End);
        }
        let wanted = match record.stream {
            StreamKind::Stderr => self.options.stderr,
            _ => self.options.stdout,
        };
        if !wanted || self.options.since.is_some_and(|since| record.time < since) {
            return Ok(());
        }
        self.sender
            .send((record.stream, self.render(record)))
            .await
            .map_err(|_| End)
    }

    fn render(&self, record: Record) -> Bytes {
        let mut text = String::new();
        if self.options.timestamps {
            text.push_str(&record.time.fixed());
            text.push(' ');
        }
        if self.options.details {
            text.push_str(&details(&record.attributes));
            text.push(' ');
        }
        if text.is_empty() {
            return Bytes::from(record.text);
        }
        text.push_str(&record.text);
        Bytes::from(text)
    }
}

fn details(attributes: &BTreeMap<String, String>) -> String {
    attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Waits for what comes after `seen`. Lengths are not compared: somebody may have made the file shorter, or longer.
async fn wait_for_more(
    watch: &mut watch::Receiver<Position>,
    seen: Position,
    source: &Source,
) -> Result<(), End> {
    let more = |position: &Position| {
        position.generation != source.generation || position.writes != seen.writes || !position.open
    };
    let position = *watch.wait_for(more).await.map_err(|_| End)?;
    let finished = !position.open
        && position.generation == source.generation
        && position.writes == seen.writes;
    if finished { Err(End) } else { Ok(()) }
}

/// Opens a file of the log for reading; a named pipe in its place must not hold the engine up.
fn open(path: &std::path::Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

#[cfg(test)]
mod tests;
