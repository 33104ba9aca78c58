//! Is a program fit to take over? Asked while the present one still runs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use engine_api::options::ByteStream;
use engine_api::{Error, Result};
use serde::{Deserialize, Serialize};
use sys::mount::{MountFlags, UnmountFlags};

use super::leave::encode;
use super::state::{Header, STATE_VERSION};
use super::{CHECK_VERB, Kept};
use crate::Engine;

/// Largest program that is accepted, in bytes: a debug build of ours fits several times.
const PROGRAM_MAX: u64 = 256 << 20;
/// How long a candidate may take to read the state.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may pause while it sends a program.
const RECEIVE_IDLE: Duration = Duration::from_secs(30);
/// Longest state that is read, in bytes: 10,000 containers with records of a few KiB fit.
pub(super) const STATE_MAX: u64 = 256 << 20;
/// Characters of a candidate's own words in an error.
const WORDS_MAX: usize = 300;
/// Where candidates are kept while they run, below the engine's run directory.
const FOLDER: &str = "programs";

/// What a candidate says of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    state_version: u32,
    version: String,
    #[serde(default)]
    error: String,
}

impl Engine {
    /// Receives a candidate and asks it; the path of the program to run.
    pub(super) async fn check_candidate(&self, candidate: Option<ByteStream>) -> Result<PathBuf> {
        let received = match candidate {
            Some(body) => self.receive(body).await,
            None => Ok(self.0.program.clone()),
        };
        let checked = match received {
            Ok(program) => self.check(program).await,
            Err(error) => Err(error),
        };
        if checked.is_err() {
            self.forget_programs_but(&self.0.program);
        }
        checked
    }

    async fn check(&self, program: PathBuf) -> Result<PathBuf> {
        // As it is now: only that it can be read counts here.
        let state = encode(
            &Header::default(),
            &self.state(&program, &mut Kept::default()),
        )?;
        let asked = program.clone();
        let checked = tokio::task::spawn_blocking(move || {
            check_elf(&asked)?;
            ask(&asked, state)
        })
        .await
        .map_err(|error| Error::server(format!("check the program: {error}")))?;
        checked.map_err(Error::bad_parameter)?;
        Ok(program)
    }

    /// Stores a program where nobody writes to it while it runs: bound read-only over itself, as PID 1's own is
    /// (CVE-2019-5736).
    async fn receive(&self, mut body: ByteStream) -> Result<PathBuf> {
        let failed = |error: io::Error| Error::server(format!("store the program: {error}"));
        let number = self.0.upgrades.generation.get() + 1;
        let folder = self.0.run.join(FOLDER).join(number.to_string());
        // What is left of a candidate that was refused.
        self.forget_programs_but(&self.0.program);
        fs::create_dir_all(&folder).map_err(failed)?;
        let path = folder.join("init");
        let mut file = File::create(&path).map_err(failed)?;
        let mut length: u64 = 0;
        loop {
            let piece = tokio::time::timeout(RECEIVE_IDLE, body.recv()).await;
            let Some(piece) = piece.map_err(|_| {
                Error::bad_parameter(format!(
                    "no more of the program has come for {} s",
                    RECEIVE_IDLE.as_secs()
                ))
            })?
            else {
                break;
            };
            let piece = piece
                .map_err(|error| Error::bad_parameter(format!("receive the program: {error}")))?;
            length += piece.len() as u64;
            if length > PROGRAM_MAX {
                return Err(Error::bad_parameter(format!(
                    "the program is larger than {PROGRAM_MAX} bytes"
                )));
            }
            file.write_all(&piece).map_err(failed)?;
        }
        drop(file); // a file that is open for writing cannot be executed: ETXTBSY of execve(2)
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let protect = || {
            sys::mount::bind(&path, &path, false)?;
            sys::mount::remount_bind(&path, MountFlags::RDONLY | MountFlags::NOSUID)
        };
        protect().map_err(|error| Error::server(error.to_string()))?;
        Ok(path)
    }

    /// Removes stored programs but the one at `keep`.
    pub(super) fn forget_programs_but(&self, keep: &Path) {
        let folders = fs::read_dir(self.0.run.join(FOLDER));
        for entry in folders.into_iter().flatten().flatten() {
            let folder = entry.path();
            if keep.starts_with(&folder) {
                continue;
            }
            // It may not be mounted. A program that a container's docker-init still runs lives on without a name.
            let _ = sys::mount::unmount(folder.join("init"), UnmountFlags::DETACH);
            if let Err(error) = fs::remove_dir_all(&folder) {
                crate::report(&format!("remove {}: {error}", folder.display()));
            }
        }
    }
}

/// Refuses what is not a whole program for this kind of machine (elf(5)).
fn check_elf(path: &Path) -> std::result::Result<(), String> {
    let head = |path: &Path| -> io::Result<([u8; 64], u64)> {
        let file = File::open(path)?;
        let mut head = [0; 64];
        file.read_exact_at(&mut head, 0)?;
        Ok((head, file.metadata()?.len()))
    };
    let own = head(Path::new("/proc/self/exe")).map_err(|e| format!("read /proc/self/exe: {e}"))?;
    let Ok((head, length)) = head(path) else {
        return Err("the program is not an ELF file: it is too short".to_owned());
    };
    if head[..4] != *b"\x7fELF" {
        return Err("the program is not an ELF file".to_owned());
    }
    // e_ident's class and byte order; e_machine.
    if head[4..6] != own.0[4..6] || head[18..20] != own.0[18..20] {
        return Err("the program is for another architecture".to_owned());
    }
    let short = |at: usize| u64::from(u16::from_ne_bytes([head[at], head[at + 1]]));
    let mut offset = [0; 8];
    offset.copy_from_slice(&head[40..48]);
    // The section headers are the last part of a file: e_shoff, e_shentsize, e_shnum.
    let end = u64::from_ne_bytes(offset).saturating_add(short(58) * short(60));
    if end > length {
        return Err(format!(
            "the program is cut off: {length} of {end} bytes are there"
        ));
    }
    Ok(())
}

/// Runs the candidate as a child and gives it the state to read.
fn ask(program: &Path, state: Vec<u8>) -> std::result::Result<(), String> {
    let refused = |why: String| format!("the program cannot take over: {why}");
    let output = sys::process::Command::new(program)
        .arg(CHECK_VERB)
        .env_clear()
        .stdin(state)
        .deadline(CHECK_DEADLINE)
        .run()
        .map_err(|error| refused(error.to_string()))?;
    let answer: Option<Answer> = json_reader::from_slice(&output.stdout).ok();
    match answer {
        Some(answer) if !answer.error.is_empty() => Err(refused(words(&answer.error))),
        Some(answer) if answer.state_version != STATE_VERSION => Err(refused(format!(
            "its state has version {} instead of {STATE_VERSION}",
            answer.state_version
        ))),
        Some(_) if output.status.success() => Ok(()),
        _ => {
            let said = words(&String::from_utf8_lossy(&output.stderr));
            let said = if said.is_empty() {
                String::new()
            } else {
                format!(": {said}")
            };
            Err(refused(format!(
                "it does not answer {CHECK_VERB} ({}){said}",
                output.status
            )))
        }
    }
}

fn words(text: &str) -> String {
    text.trim().chars().take(WORDS_MAX).collect()
}

/// The verb [`CHECK_VERB`]: reads a state as a program that takes over would, and says whether it could. `owner` judges
/// the owner's part.
pub fn check_main(
    owner: impl FnOnce(&serde_json::Value) -> std::result::Result<(), String>,
) -> ExitCode {
    let read = || -> std::result::Result<(), String> {
        let mut bytes = Vec::new();
        io::stdin()
            .take(STATE_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        let (_, state) = super::leave::decode(&bytes)?;
        owner(&state.owner)
    };
    let error = read().err().unwrap_or_default();
    let answer = Answer {
        state_version: STATE_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        error: error.clone(),
    };
    let written = serde_json::to_writer(io::stdout(), &answer);
    if error.is_empty() && written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_whole_program_of_this_machine_is_refused() {
        let own = fs::read("/proc/self/exe").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        let check = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            check_elf(&path)
        };
        check(&own).unwrap();
        let refusal = |content: &[u8]| check(content).unwrap_err();
        assert!(refusal(b"#!/bin/sh\n").contains("not an ELF"));
        assert!(refusal(&[b'x'; 100]).contains("not an ELF"));
        assert!(refusal(&own[..own.len() / 2]).contains("cut off"));
        let mut other = own;
        other[18] ^= 0x40;
        assert!(refusal(&other).contains("another architecture"));
    }

    #[test]
    fn a_program_that_does_not_know_the_question_is_refused() {
        let error = ask(Path::new("/bin/true"), Vec::new()).unwrap_err();
        assert!(error.contains("does not answer upgrade-check"), "{error}");
    }
}
