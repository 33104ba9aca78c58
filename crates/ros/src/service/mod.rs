//! `ros service`: services of the configuration and of files, in System Docker and in User Docker.

mod arguments;
mod down;
mod enable;
mod fetch;
mod late;
mod list;
mod ps;
pub(crate) mod swap;
mod up;
mod upgrade;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::bail;
use compose::{Plan, Scope, Step};
use config::Node;

use crate::machine_config::MachineConfig;
use crate::os;

pub(crate) use arguments::{Service, verbose};
pub(crate) use late::fetch_missing;

/// Runs one of the subcommands.
pub(crate) fn main(command: &Service) -> anyhow::Result<ExitCode> {
    match command {
        Service::List {
            all,
            update,
            format,
        } => list::main(*all, *update, *format),
        Service::Enable { names } => enable::switch(names, true),
        Service::Disable { names } => enable::switch(names, false),
        Service::Delete { names } => enable::delete(names),
        Service::Build { .. } => bail!(
            "images of services are not built here: build it with `docker build`, push or load it, and name it as the service's image"
        ),
        Service::Create {
            names,
            force_recreate,
            no_recreate,
            ..
        } => up::up(
            &chosen(names)?,
            up::Options {
                start: false,
                foreground: false,
                force: *force_recreate,
                keep: *no_recreate,
            },
        ),
        Service::Up {
            names,
            foreground,
            force_recreate,
            no_recreate,
            ..
        } => up::up(
            &chosen(names)?,
            up::Options {
                start: true,
                foreground: *foreground,
                force: *force_recreate,
                keep: *no_recreate,
            },
        ),
        Service::Upgrade { name, image } => upgrade::main(name, image.as_deref()),
        Service::Start { names, .. } => each(&to_run(names)?, &["start"]),
        Service::Stop { names, timeout } => {
            each(&chosen(names)?, &["stop", "--time", &timeout.to_string()])
        }
        Service::Restart { names, timeout } => each(
            &to_run(names)?,
            &["restart", "--time", &timeout.to_string()],
        ),
        Service::Logs {
            names,
            lines,
            follow,
        } => logs(names, *lines, *follow),
        Service::Pull { names, .. } => pull(names),
        Service::Kill { names, signal } => each(&steps(names)?, &["kill", "--signal", signal]),
        Service::Rm {
            names,
            force,
            volumes,
        } => remove(names, *force, *volumes),
        Service::Down {
            names,
            volumes,
            rmi,
            remove_orphans,
        } => down::main(&steps(names)?, *volumes, *rmi, *remove_orphans),
        Service::Ps { quiet, format } => ps::main(*quiet, *format),
    }
}

fn remove(names: &[String], force: bool, volumes: bool) -> anyhow::Result<ExitCode> {
    let flags = [(force, "--force"), (volumes, "--volumes")];
    each(&steps(names)?, &with_flags(&["rm"], &flags))
}

/// Shows the output of the services' containers, one after the other.
fn logs(names: &[String], lines: u32, follow: bool) -> anyhow::Result<ExitCode> {
    let lines = lines.to_string();
    let words = ["logs", "--tail", &lines];
    each(
        &chosen(names)?,
        &with_flags(&words, &[(follow, "--follow")]),
    )
}

/// The words, and those flags that are set.
fn with_flags<'a>(words: &[&'a str], flags: &[(bool, &'a str)]) -> Vec<&'a str> {
    let set = flags.iter().filter(|(is_set, _)| *is_set);
    words
        .iter()
        .copied()
        .chain(set.map(|(_, flag)| *flag))
        .collect()
}

/// Pulls the services' images.
fn pull(names: &[String]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for step in chosen(names)? {
        code = docker(step.scope, &["pull", &step.request.config.image]);
    }
    Ok(code)
}

/// What the configuration makes of all services.
fn plan(machine: &MachineConfig) -> Plan {
    let config = &machine.loaded.config;
    let services = machine_config::with_files(&config.rancher.services, &config.write_files);
    compose::plan(&services, &config.rancher)
}

/// The steps of these services, in the order in which they start.
fn steps(names: &[String]) -> anyhow::Result<Vec<Step>> {
    let plan = plan(&MachineConfig::load());
    let known: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("{unknown} is not a valid service: ros service list --all");
    }
    if names.is_empty() {
        bail!("name a service: ros service list --all");
    }
    for problem in plan
        .problems
        .iter()
        .filter(|problem| names.iter().any(|name| is_of(&problem.key, name)))
    {
        eprintln!("{problem}");
    }
    Ok(plan
        .steps
        .into_iter()
        .filter(|step| names.contains(&step.name))
        .collect())
}

/// Whether a key of the configuration is a service, or one of a service's.
fn is_of(key: &str, service: &str) -> bool {
    key.strip_prefix("rancher.services.")
        .and_then(|key| key.strip_prefix(service))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The steps of these services, and without names those of all that are not the system's own: nobody stops the console by
/// naming nothing.
fn chosen(names: &[String]) -> anyhow::Result<Vec<Step>> {
    if !names.is_empty() {
        return steps(names);
    }
    let machine = MachineConfig::load();
    let steps = plan(&machine).steps.into_iter();
    let own = own(steps, &machine.loaded.tree);
    if own.is_empty() {
        eprintln!("the configuration has no services of yours: ros service list --all");
    }
    Ok(own)
}

fn own(steps: impl Iterator<Item = Step>, tree: &Node) -> Vec<Step> {
    steps
        .filter(|step| !machine_config::is_built_in(tree, &step.name))
        .collect()
}

/// As [`chosen`]; without names, containers that the clock or somebody else starts are left alone.
fn to_run(names: &[String]) -> anyhow::Result<Vec<Step>> {
    let mut steps = chosen(names)?;
    steps.retain(|step| !names.is_empty() || !step.create_only);
    Ok(steps)
}

/// Runs a command of docker on each of these services' containers.
fn each(steps: &[Step], words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for step in steps {
        let mut words = words.to_vec();
        words.push(&step.container_name);
        let ended = docker(step.scope, &words);
        if ended != ExitCode::SUCCESS {
            code = ended;
        }
    }
    Ok(code)
}

/// The path of the socket of one of the Dockers.
fn socket(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "/run/system-docker.sock",
        Scope::User => "/run/docker.sock",
    }
}

fn docker(scope: Scope, words: &[&str]) -> ExitCode {
    let host = format!("unix://{}", socket(scope));
    let mut arguments: Vec<OsString> = ["system-docker", "--host", &host]
        .map(OsString::from)
        .to_vec();
    arguments.extend(words.iter().map(OsString::from));
    system_docker::main(arguments, os::program_keeper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_all_services_but_the_systems_are_meant() {
        let text = |services: &str| format!("rancher: {{services: {{{services}}}}}");
        let built_in = text("console: {image: c, command: a}, ntp: {image: n}");
        let mine = text("web: {image: w}, ntp: {command: slowly}, console: {image: other}");
        // An image of somebody else does not make the console a service that `stop` without a name stops
        let sources = [(machine_config::BUILT_IN, &built_in), ("mine.yml", &mine)];
        let sources = sources.map(|(name, text)| config::Source { name, text });
        let loaded = config::load(&sources, &config::CommandLine::default());
        let rancher = &loaded.config.rancher;
        let plan = compose::plan(&rancher.services, rancher);
        let steps = own(plan.steps.into_iter(), &loaded.tree);
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["web"]);
    }

    #[test]
    fn problems_of_a_service_are_those_of_its_keys() {
        for (key, want) in [
            ("rancher.services.web", true),
            ("rancher.services.web.ports", true),
            ("rancher.services.web2", false),
            ("rancher.web", false),
        ] {
            assert_eq!(is_of(key, "web"), want, "{key}");
        }
    }
}
