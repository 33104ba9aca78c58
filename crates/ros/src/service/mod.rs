//! `ros service`: services of the configuration and of files, in System Docker and in User Docker.

mod arguments;
mod enable;
mod fetch;
mod list;
pub(crate) mod swap;
mod up;
mod upgrade;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::bail;
use compose::{Scope, Step};

use crate::machine_config::MachineConfig;
use crate::os;

pub(crate) use arguments::Service;

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
        Service::Create {
            names,
            force_recreate,
            no_recreate,
        } => up::up(
            &steps(names)?,
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
        } => up::up(
            &steps(names)?,
            up::Options {
                start: true,
                foreground: *foreground,
                force: *force_recreate,
                keep: *no_recreate,
            },
        ),
        Service::Upgrade { name, image } => upgrade::main(name, image.as_deref()),
        Service::Start { names, .. } => each(names, &["start"]),
        Service::Stop { names, timeout } => each(names, &["stop", "--time", &timeout.to_string()]),
        Service::Restart { names, timeout } => {
            each(names, &["restart", "--time", &timeout.to_string()])
        }
        Service::Logs {
            names,
            lines,
            follow,
        } => {
            let lines = lines.to_string();
            let words = ["logs", "--tail", &lines];
            each(names, &with_flags(&words, &[(*follow, "--follow")]))
        }
        Service::Pull { names, .. } => pull(names),
        Service::Kill { names, signal } => each(names, &["kill", "--signal", signal]),
        Service::Rm {
            names,
            force,
            volumes,
        } => {
            let flags = [(*force, "--force"), (*volumes, "--volumes")];
            each(names, &with_flags(&["rm"], &flags))
        }
        Service::Down { names } => each(names, &["rm", "--force"]),
        Service::Ps { quiet } => {
            let words = [
                "ps",
                "--all",
                "--filter",
                "label=com.docker.compose.project=os",
            ];
            let words = with_flags(&words, &[(*quiet, "--quiet")]);
            Ok(docker(Scope::System, &words))
        }
    }
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
    for step in steps(names)? {
        code = docker(step.scope, &["pull", &step.request.config.image]);
    }
    Ok(code)
}

/// The steps of these services, in the order in which they start.
fn steps(names: &[String]) -> anyhow::Result<Vec<Step>> {
    let machine = MachineConfig::load();
    let config = &machine.loaded.config;
    let services = machine_config::with_files(&config.rancher.services, &config.write_files);
    let plan = compose::plan(&services, &config.rancher);
    let known: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("{unknown} is not a valid service: ros service list --all");
    }
    if names.is_empty() {
        bail!("name a service: ros service list --all");
    }
    for problem in plan.problems.iter().filter(|problem| {
        names
            .iter()
            .any(|name| problem.key == format!("rancher.services.{name}"))
    }) {
        eprintln!("{problem}");
    }
    Ok(plan
        .steps
        .into_iter()
        .filter(|step| names.contains(&step.name))
        .collect())
}

/// Runs a command of docker on each of these services' containers.
fn each(names: &[String], words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for step in steps(names)? {
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
