//! `docker top`, without a `ps` program: the columns of `ps -ef` and those that `-o` names, read from /proc.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use engine_api::{ContainerTop, Error, Result};
use sys::cgroup::Cgroup;

use crate::Engine;

/// How long a process may take to show its command line; the name of its program stands for it then.
const ANSWER_MOST: Duration = Duration::from_secs(2);
/// Clock ticks per second in /proc (USER_HZ), the same on every architecture of ours.
const TICKS: u64 = 100;

impl Engine {
    /// `GET /containers/{id}/top`; `ps_args` may be `-ef` (also empty), `aux` or `-o` with columns, and
    /// `--sort` with one of them.
    ///
    /// # Errors
    /// 400 for other arguments, 404, 409 when it does not run.
    pub async fn container_top(&self, reference: &str, ps_args: &str) -> Result<ContainerTop> {
        let container = self.find(reference)?;
        container
            .record()
            .state
            .must_run(&container.id, "top")
            .or_else(|error| {
                // Docker lists the processes of a paused container.
                if container.status() == super::Status::Paused {
                    Ok(())
                } else {
                    Err(error)
                }
            })?;
        let (columns, sort) = (columns(ps_args)?, sort_key(ps_args));
        let mut pids: BTreeSet<i32> = Cgroup::at(&container.cgroup)
            .all_processes()
            .into_iter()
            .collect();
        pids.extend(container.pid());
        let uptime = read_uptime();
        let mut found: Vec<Proc> = pids.into_iter().filter_map(Proc::read).collect();
        self.read_commands(&mut found).await;
        if let Some(key) = sort {
            found.sort_by_cached_key(|process| {
                let text = process.column(key, uptime);
                (text.parse::<f64>().unwrap_or(0.0).to_bits(), text)
            });
        }
        let processes = found
            .iter()
            .map(|process| {
                columns
                    .iter()
                    .map(|column| process.column(column, uptime))
                    .collect()
            })
            .collect();
        Ok(ContainerTop {
            titles: columns.iter().map(|column| title(column)).collect(),
            processes,
        })
    }

    /// Fills in the command lines: they are in the processes' own memory, which can be on a file system that does not answer.
    async fn read_commands(&self, found: &mut [Proc]) {
        let paths: Vec<String> = found
            .iter()
            .map(|process| format!("/proc/{}/cmdline", process.pid))
            .collect();
        let contents = self.0.runtime.read(&paths, ANSWER_MOST).await;
        for (process, raw) in found.iter_mut().zip(contents.unwrap_or_default()) {
            process.set_command(&raw);
        }
    }
}

const FULL: [&str; 8] = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
const BSD: [&str; 11] = [
    "user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "time", "args",
];

/// The column of `--sort`, when there is such a column.
fn sort_key(ps_args: &str) -> Option<&str> {
    let key = ps_args
        .split_whitespace()
        .find_map(|word| word.strip_prefix("--sort="))?;
    (!title(key).is_empty()).then_some(key)
}

fn columns(ps_args: &str) -> Result<Vec<String>> {
    let words: Vec<&str> = ps_args.split_whitespace().collect();
    let mut chosen: Vec<String> = Vec::new();
    let mut usual: &[&str] = &FULL;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let list = match *word {
            "-o" | "-eo" | "o" | "--format" => rest.next().copied().unwrap_or_default(),
            "-ef" | "-e" | "-f" | "-A" | "-efl" | "ax" | "-ax" | "-w" | "-ww" => continue,
            "aux" | "-aux" | "u" => {
                usual = &BSD;
                continue;
            }
            sort if sort_key(sort).is_some() => continue,
            other => match other
                .strip_prefix("-o")
                .or_else(|| other.strip_prefix("--format="))
            {
                Some(list) => list,
                None => {
                    return Err(Error::bad_parameter(format!(
                        "top: ps argument {other:?} is not supported, use -ef or -o"
                    )));
                }
            },
        };
        for column in list.split(',') {
            let column = column.to_ascii_lowercase();
            if title(&column).is_empty() {
                return Err(Error::bad_parameter(format!(
                    "top: unknown column {column:?}"
                )));
            }
            chosen.push(column);
        }
    }
    if chosen.is_empty() {
        chosen = usual.iter().map(|column| (*column).to_owned()).collect();
    }
    if !chosen.iter().any(|column| column == "pid") {
        return Err(Error::server("Couldn't find PID field in ps output"));
    }
    Ok(chosen)
}

fn title(column: &str) -> String {
    match column {
        "args" | "command" => "COMMAND",
        "comm" | "ucmd" => "COMMAND",
        "cmd" => "CMD",
        "uid" => "UID",
        "user" | "euser" => "USER",
        "pid" => "PID",
        "ppid" => "PPID",
        "c" => "C",
        "%cpu" | "pcpu" => "%CPU",
        "%mem" | "pmem" => "%MEM",
        "stime" => "STIME",
        "start" => "START",
        "tty" => "TTY",
        "time" => "TIME",
        "rss" => "RSS",
        "vsz" => "VSZ",
        "stat" | "s" | "state" => "STAT",
        "nice" | "ni" => "NI",
        _ => "",
    }
    .to_owned()
}

/// A process as /proc shows it.
struct Proc {
    pid: i32,
    name: String,
    command: String,
    uid: String,
    /// Fields of /proc/PID/stat after the name, from the state on.
    fields: Vec<String>,
    rss_pages: u64,
}

impl Proc {
    fn read(pid: i32) -> Option<Self> {
        let directory = PathBuf::from("/proc").join(pid.to_string());
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(") ")?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<String> = tail.split_whitespace().map(str::to_owned).collect();
        let status = fs::read_to_string(directory.join("status")).unwrap_or_default();
        let uid = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().next())
            .unwrap_or("0");
        let rss_pages = fields
            .get(21)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        Some(Self {
            pid,
            command: format!("[{name}]"),
            name,
            uid: if uid == "0" {
                "root".to_owned()
            } else {
                uid.to_owned()
            },
            fields,
            rss_pages,
        })
    }

    /// The words of its command line, each with a zero after it; a process without one keeps its program's name.
    fn set_command(&mut self, raw: &[u8]) {
        let command = String::from_utf8_lossy(raw)
            .trim_end_matches('\0')
            .replace('\0', " ");
        if !command.is_empty() {
            self.command = command;
        }
    }

    fn number(&self, field: usize) -> u64 {
        self.fields
            .get(field)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    fn column(&self, column: &str, uptime: u64) -> String {
        let processor = (self.number(11) + self.number(12)) / TICKS;
        match column {
            "args" | "command" | "cmd" => self.command.clone(),
            "comm" | "ucmd" => self.name.clone(),
            "uid" | "user" | "euser" => self.uid.clone(),
            "pid" => self.pid.to_string(),
            "ppid" => self.fields.get(1).cloned().unwrap_or_default(),
            "c" | "%cpu" | "pcpu" => {
                let lived = uptime.saturating_sub(self.number(19) / TICKS).max(1);
                let mille = processor * 1000 / lived;
                if column == "c" {
                    (mille / 10).min(99).to_string()
                } else {
                    format!("{}.{}", mille / 10, mille % 10)
                }
            }
            "%mem" | "pmem" => {
                let all = crate::system::memory_total().max(1);
                let mille = self.rss_pages * 4096 * 1000 / all;
                format!("{}.{}", mille / 10, mille % 10)
            }
            "stime" | "start" => {
                let started =
                    i64::try_from(uptime.saturating_sub(self.number(19) / TICKS)).unwrap_or(0);
                let at = engine_api::Timestamp::from_unix(
                    engine_api::Timestamp::now().unix() - started,
                    0,
                )
                .to_string();
                at.get(11..16).unwrap_or("?").to_owned()
            }
            "tty" => tty_name(self.number(4)),
            "time" => format!(
                "{:02}:{:02}:{:02}",
                processor / 3600,
                processor / 60 % 60,
                processor % 60
            ),
            "rss" => (self.rss_pages * 4).to_string(),
            "vsz" => (self.number(20) / 1024).to_string(),
            "stat" | "s" | "state" => self.fields.first().cloned().unwrap_or_default(),
            _ => self.fields.get(16).cloned().unwrap_or_default(),
        }
    }
}

/// Name of a terminal by its device number as /proc/PID/stat encodes it.
fn tty_name(number: u64) -> String {
    let (major, minor) = (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0xfff00),
    );
    match major {
        0 => "?".to_owned(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major}:{minor}"),
    }
}

fn read_uptime() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split('.')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut process = Proc::read(pid).unwrap();
        assert_eq!(process.column("pid", 0), pid.to_string());
        process.set_command(b"");
        assert!(process.column("cmd", 0).starts_with('['));
        process.set_command(b"engine\0--flag\0");
        assert_eq!(process.column("cmd", 0), "engine --flag");
        assert!(process.column("rss", 0).parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn processes_come_first() {
        let text = serde_json::to_string(&ContainerTop::default()).unwrap();
        assert!(text.starts_with(r#"{"Processes""#), "{text}");
    }

    #[test]
    fn arguments_choose_columns() {
        assert_eq!(columns("").unwrap(), FULL);
        assert_eq!(columns("-o pid,comm").unwrap(), ["pid", "comm"]);
        assert_eq!(columns("aux --sort=comm").unwrap(), BSD);
        assert!(columns("aux --sort=nonsense").is_err());
        assert!(columns("-o comm").is_err());
        assert!(columns("--forest").is_err());
    }
}
