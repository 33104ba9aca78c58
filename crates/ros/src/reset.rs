//! `ros reset`: forget settings, containers or everything, at the next boot, when nothing uses them.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use engine_api::{Client, Filters};
use machine_config::reset::{INSTALLED_WITH, ORDER, Scope, TRASH};

use crate::install::confirm;
use crate::problems;

/// Sockets of the two Dockers.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
const USER_DOCKER: &str = "/run/docker.sock";

/// What the command line says.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is forgotten
    #[arg(value_enum, required_unless_present = "cancel")]
    what: Option<What>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Wait for a reboot of somebody's
    #[arg(long)]
    no_reboot: bool,
    /// Take the order back, before the reboot
    #[arg(long, conflicts_with_all = ["what", "force", "no_reboot"])]
    cancel: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// Settings: the machine is configured as it was installed
    Configuration,
    /// Containers, images, volumes and networks of both Dockers
    Containers,
    /// All of the state disk, homes too
    Everything,
}

impl What {
    fn scope(self) -> Scope {
        match self {
            What::Configuration => Scope::Configuration,
            What::Containers => Scope::Containers,
            What::Everything => Scope::Everything,
        }
    }
}

/// Shows the plan, asks, and orders it.
pub(crate) fn main(options: &Options) -> anyhow::Result<ExitCode> {
    if options.cancel {
        fs::remove_file(ORDER).context("no reset is ordered")?;
        println!("The next boot forgets nothing.");
        return Ok(ExitCode::SUCCESS);
    }
    let scope = options.what.context("say what is to be forgotten")?.scope();
    let mount = problems::state_mount().context("the machine has no state")?;
    ensure!(
        problems::is_disk(&mount),
        "the machine keeps its state in RAM: a reboot forgets it"
    );
    for line in plan(scope) {
        println!("{line}");
    }
    if !options.force {
        if !sys::tty::is_terminal(std::io::stdin()) {
            bail!("nobody can be asked: --force does it without a question");
        }
        if !confirm("Forget this")? {
            return Ok(ExitCode::FAILURE);
        }
    }
    cloud_init::store::write_atomic(Path::new(ORDER), scope.name().as_bytes(), 0o600)?;
    if options.no_reboot || (!options.force && !confirm("Continue with reboot")?) {
        println!("It is done at the next boot; `ros reset --cancel` takes that back.");
        return Ok(ExitCode::SUCCESS);
    }
    // Whatever the configuration is: that may be what is reset
    crate::power::reboot()?;
    Ok(ExitCode::SUCCESS)
}

fn plan(scope: Scope) -> Vec<String> {
    let mut lines = vec![format!("The next boot forgets ({}):", scope.name())];
    let settings = "  the configuration: cloud-config, what `ros config set` wrote, /etc/docker";
    match scope {
        Scope::Configuration => {
            lines.push(settings.to_owned());
            lines.push("It keeps homes, containers, volumes and SSH host keys.".to_owned());
        }
        Scope::Containers => {
            lines.extend(containers());
            lines.push("It keeps the configuration and homes.".to_owned());
        }
        Scope::Everything => {
            lines.push(settings.to_owned());
            lines.extend(containers());
            lines.push("  /home, /opt, /mnt, /media, logs, SSH host keys".to_owned());
        }
    }
    if scope != Scope::Containers {
        lines.push(first_configuration());
    }
    lines
}

/// Whether somebody gets in afterwards.
fn first_configuration() -> String {
    let path = Path::new(machine_config::CONF).join(INSTALLED_WITH);
    if path.exists() {
        format!(
            "It keeps {}, with which the machine was installed.",
            path.display()
        )
    } else {
        "warning: the machine was installed without a cloud-config; unless a datasource or the kernel's command line lets \
         you in, nobody will be able to log in"
            .to_owned()
    }
}

fn containers() -> Vec<String> {
    let runtime = system_docker::event_loop();
    let Ok(runtime) = runtime else {
        return vec!["  all that both Dockers have".to_owned()];
    };
    let docker = |name: &str, socket| {
        let count = runtime.block_on(count(&Client::new(socket)));
        count.map_or_else(
            |_| format!("  all that {name} has; it does not answer"),
            |(containers, images, volumes)| {
                format!("  {name}: {containers} containers, {images} images, {volumes} volumes")
            },
        )
    };
    vec![
        docker("User Docker", USER_DOCKER),
        docker("System Docker", SYSTEM_DOCKER),
    ]
}

async fn count(client: &Client) -> anyhow::Result<(usize, usize, usize)> {
    let none = Filters::default();
    let ask = async {
        let containers = client.container_list(true, false, &none).await?.len();
        let images = client.image_list(false, &none).await?.len();
        let volumes = client.volume_list(&none).await?.volumes.len();
        anyhow::Ok((containers, images, volumes))
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), ask)
        .await
        .context("no answer")?
}

/// Removes what a reset has set aside; the machine runs meanwhile.
pub(crate) fn sweep() {
    let bin = Path::new(TRASH);
    if fs::symlink_metadata(bin).is_err() {
        return;
    }
    match fs::remove_dir_all(bin) {
        Ok(()) => println!("reset: what was forgotten is removed"),
        Err(error) => eprintln!("reset: {}: {error}: the next boot goes on", bin.display()),
    }
}
