//! `ros config validate`: all that a boot would say of a document, or of this machine's files.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use cloud_init::{UserData, user_data};
use config::{Location, Problem, Severity};

use super::{advice, network};
use crate::container_files;
use crate::machine_config::{CONF, MachineConfig, authorized_keys, of_documents};

/// Prints the problems, and fails when one costs something.
pub(super) fn main(input: Option<&Path>) -> anyhow::Result<ExitCode> {
    let problems = if input.is_none() && sys::tty::is_terminal(std::io::stdin()) {
        of_machine(&MachineConfig::load())
    } else {
        let (name, bytes) = bytes(input)?;
        of_document(&name, &bytes)
    };
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(if problems.iter().any(fails) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// A boot goes on without a key that it does not know; `ros config set` refuses it, and so does this: it is misspelt, and what it
/// should do is not done.
fn fails(problem: &Problem) -> bool {
    problem.severity == Severity::Error || problem.is_unknown_key()
}

/// A file, or standard input. User data may be packed.
fn bytes(input: Option<&Path>) -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let limit = user_data::MAX_BYTES + 1;
    let (name, read) = match input {
        Some(path) => {
            let name = path.display().to_string();
            let file = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
            (name, file.take(limit).read_to_end(&mut bytes))
        }
        None => {
            let read = std::io::stdin().take(limit).read_to_end(&mut bytes);
            ("standard input".to_owned(), read)
        }
    };
    read.with_context(|| format!("cannot read {name}"))?;
    Ok((name, bytes))
}

/// What is wrong with user data: its first line, its parts, and what they make of a machine. A file among the machine's own needs no
/// first line.
fn of_document(name: &str, bytes: &[u8]) -> Vec<Problem> {
    if Path::new(name).starts_with(CONF) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        return of_machine(&of_documents(vec![(name.to_owned(), text)]));
    }
    let documents = match user_data::documents(bytes) {
        Ok(documents) => documents,
        Err(error) => return vec![Problem::error(&first_line(name), "", error.to_string())],
    };
    let mut problems = Vec::new();
    let mut configs = Vec::new();
    let count = documents.len();
    for (index, document) in documents.into_iter().enumerate() {
        let name = match count {
            1 => name.to_owned(),
            _ => format!("{name} part {}", index + 1),
        };
        let at = first_line(&name);
        match document {
            UserData::Empty => problems.push(Problem::warning(&at, "", "it is empty")),
            UserData::Script(_) => {} // a shell's to judge
            UserData::Include(urls) => {
                let message = format!(
                    "what #include names is not fetched here: {}",
                    urls.join(", ")
                );
                problems.push(Problem::warning(&at, "", message));
            }
            UserData::Unsupported(words) => problems.push(Problem::error(&at, "", words)),
            UserData::CloudConfig { text, note } => {
                problems.extend(note.map(|note| Problem::warning(&at, "", note)));
                configs.push((name, text));
            }
        }
    }
    if !configs.is_empty() {
        problems.extend(of_machine(&of_documents(configs)));
    }
    in_order(problems)
}

/// By their lines, as the writer goes through the file; each once.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_cached_key(|found| (found.at.file.clone(), found.at.line, found.at.column));
    problems.dedup();
    problems
}

/// What is wrong with a configuration: what its reader says, and the plans that the boot makes of it.
fn of_machine(machine: &MachineConfig) -> Vec<Problem> {
    let rancher = &machine.loaded.config.rancher;
    let mut problems = machine.loaded.problems.clone();
    problems.extend(machine.unfilled.iter().cloned());
    problems.extend(machine.unfetched.values().cloned());
    let mut planned = compose::plan(&rancher.services, rancher).problems;
    planned.retain(|new| !problems.iter().any(|old| old.key == new.key));
    problems.append(&mut planned);
    let place = |key: &str| place(machine, key);
    for key in authorized_keys(machine).1 {
        let shown: String = key.chars().take(20).collect();
        let message = format!("{shown:?} is not a public key");
        problems.push(Problem::error(
            &place("ssh_authorized_keys"),
            "ssh_authorized_keys",
            message,
        ));
    }
    for (index, error) in container_files::examine(machine) {
        let key = format!("write_files[{index}]");
        problems.push(Problem::error(
            &place(&format!("write_files.{index}")),
            key,
            error,
        ));
    }
    for error in crate::console::mounts::entries(&machine.loaded.config.mounts).1 {
        problems.push(Problem::error(&place("mounts"), "mounts", error));
    }
    network::add(machine, &mut problems);
    advice::add(machine, &mut problems);
    in_order(problems)
}

fn first_line(name: &str) -> Location {
    Location::new(&Arc::from(name), 1, 1)
}

/// Where a key stands.
fn place(machine: &MachineConfig, key: &str) -> Location {
    let node = machine.loaded.tree.get(key);
    node.map_or_else(Location::built_in, |node| node.at.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let problems = of_document("t", text.as_bytes());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_document_has_no_problem() {
        let text = "#cloud-config\nhostname: a\nrancher:\n  network:\n    interfaces:\n      eth*: {dhcp: true}\n      mac=52:54:00:12:34:56: {bond: bond0}\n      bond0: {address: 10.0.0.2/24, vlans: '5'}\n      bond0.5: {address: 10.0.5.2/24}\n  services:\n    a: {image: b, ports: ['80:80']}\n";
        assert_eq!(said(text), Vec::<String>::new());
        assert_eq!(said("#!/bin/sh\necho\n"), Vec::<String>::new());
        assert_eq!(said("#compose\na: {image: b}\n"), Vec::<String>::new());
    }

    /// Where the system does not run, too: a developer's machine has no built-in configuration.
    #[test]
    fn the_systems_own_services_are_known_everywhere() {
        let text = "#cloud-config\nwrite_files:\n- {path: /a, container: network}\nrancher:\n  services:\n    console: {environment: {TZ: Asia/Tokyo}}\n    a: {image: b, labels: {io.rancher.os.after: docker}}\n";
        assert_eq!(said(text), Vec::<String>::new());
    }

    #[test]
    fn problems_are_in_the_order_of_the_lines_and_each_is_told_once() {
        let text = "#cloud-config\nwrite_files:\n- {path: a}\nrancher:\n  services:\n    b: {image: x, links: [c]}\n  network:\n    interfaces:\n      eth0: {address: 10.0.0.x/24, dhcp: false}\n  consol: a\nhostnam: a\n";
        let said = said(text);
        let lines: Vec<&str> = said
            .iter()
            .filter_map(|line| line.split(':').nth(1))
            .collect();
        assert_eq!(lines, ["3", "6", "9", "10", "11"], "{said:#?}");
    }

    #[test]
    fn unknown_keys_fail_and_what_is_only_named_does_not() {
        for (text, wanted) in [
            ("hostname: a", false),
            ("hostnam: a", true),
            (
                "rancher: {network: {interfaces: {eth0: {dhpc: true}}}}",
                true,
            ),
            ("rancher: {network: {registry_auths: {}}}", true),
            ("rancher: {docker: {pidfile: /x}}", true),
            ("xyzzy: 1", true),
            ("rancher: {services: {a: {image: b, volumez: [x]}}}", true),
            ("write_files: [{pth: /a, path: /b}]", true),
            // Known, and not applied or spelt otherwise.
            ("mount_default_fields: []", false),
            ("ssh-authorized-keys: []", false),
            ("write_files: [{path: /etc/ntp.conf}]", false),
        ] {
            let problems = of_document("t", format!("#cloud-config\n{text}\n").as_bytes());
            assert_eq!(problems.iter().any(fails), wanted, "{text}: {problems:#?}");
        }
        let problems = of_document("t", b"#cloud-config\nmount_default_fields: []\n");
        assert_eq!(problems.len(), 1, "{problems:#?}");
    }

    /// Each with the first words of what a boot says.
    #[test]
    fn what_a_boot_would_say_is_said() {
        let service = |text: &str| format!("#cloud-config\nrancher:\n  services:\n    {text}\n");
        let network = |text: &str| {
            format!("#cloud-config\nrancher:\n  network:\n    interfaces:\n      {text}\n")
        };
        for (text, words) in [
            ("hostname: a\n".to_owned(), "t:1:1: warning: the first line is \"hostname: a\", it should be"),
            ("# cloud-config\nhostname: a\n".to_owned(), "t:1:1: warning: the first line is"),
            ("## template: jinja\n#cloud-config\nhostname: a\n".to_owned(), "t:1:1: error: jinja templates"),
            ("#cloud-boothook\n".to_owned(), "t:1:1: error: user data that begins with"),
            ("#compose\n- a\n".to_owned(), "t:1:1: error: #compose: expected services"),
            ("#include\nhttp://x\n".to_owned(), "t:1:1: warning: what #include names"),
            (String::new(), "t:1:1: warning: it is empty"),
            ("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\nhostname: [a]\n--b\nContent-Type: text/cloud-boothook\n\nx\n--b--\n".to_owned(), "t part 2:1:1: error: "),
            ("#cloud-config\nrancher:\n\tdebug: true\n".to_owned(), "indented with a tab"),
            ("#cloud-config\nhostnam: a\n".to_owned(), "t:2:1: warning: hostnam: unknown key"),
            ("#cloud-config\nhostname: [a]\n".to_owned(), "t:2:11: error: hostname: expected"),
            ("#cloud-config\nhostname: a b\n".to_owned(), "t:2:11: error: hostname: expected a host name"),
            (service("a: {command: b}"), "t:4:5: error: rancher.services.a.image: "),
            (service("a: {image: b, ports: ['x:y']}"), "t:4:5: error: rancher.services.a.ports: "),
            (service("a: {image: b, mem_limit: many}"), "t:4:5: error: rancher.services.a.mem_limit: "),
            (service("a: {image: b, volumes: ['a:b']}"), "t:4:5: "),
            (service("a: {image: b, labels: {io.rancher.os.after: nowhere}}"), "t:4:5: warning: rancher.services.a"),
            (service("a: {image: b, labels: {io.rancher.os.after: a}}"), "t:4:5: "),
            (network("eth0: {address: 10.0.0.2/24, gateway: 'fd00::1'}"), "t:5:45: error: rancher.network.interfaces.eth0: gateway is of the other family"),
            ("#cloud-config\nwrite_files:\n- {path: /a, container: nowhere}\n".to_owned(), "t:3:3: error: write_files[0]: /a: there is no service"),
            ("#cloud-config\nwrite_files:\n- {path: a}\n".to_owned(), "t:3:3: error: write_files[0]: a: the path is not absolute"),
            ("#cloud-config\nmounts:\n- [a]\n".to_owned(), "t:3:3: error: mounts: [a]: "),
            ("#cloud-config\nssh_authorized_keys: [junk]\n".to_owned(), "t:2:22: error: ssh_authorized_keys: \"junk\""),
        ] {
            let said = said(&text);
            assert!(said.iter().any(|line| line.contains(words)), "{text}: {said:#?}");
        }
    }
}
