//! `ros install`: puts the running version, or one from an ISO file, on a disk.
//!
//! Everything that can be wrong is looked for before the first byte is written: the cloud-config, the medium, the disk. Until
//! "Installing" is printed the disk is untouched.

#[cfg(test)]
mod broken;
mod cloud_config;
pub(crate) mod copy;
pub(crate) mod device;
mod digest;
mod foreign;
mod kinds;
pub(crate) mod medium;
pub(crate) mod progress;
mod target;
mod unattended;
pub(crate) mod write;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use install::{Entry, Layout, Loader};

use cloud_config::CloudConfig;
use foreign::Tools;
use medium::Medium;
use target::Target;

use crate::os::failure;
use crate::os::policy::Policy;
pub(crate) use cloud_config::read as fetch_text;
pub(crate) use unattended::start;

/// RancherOS's flags, and ours at the end.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// ISO file, archive of an image, or name of an image, to install from; the medium that runs when absent
    #[arg(short, long, visible_alias = "from-image")]
    image: Option<String>,
    /// Install from an image that nobody has signed
    #[arg(long)]
    insecure: bool,
    /// Kind of installation: generic; names of RancherOS for GRUB or syslinux on a whole disk mean the same; noformat keeps the state
    /// partition of an earlier installation
    #[arg(short = 't', long, default_value = "generic")]
    install_type: String,
    /// Cloud-config for the installed machine: a file or an http(s) address
    #[arg(short, long)]
    cloud_config: Option<String>,
    /// Disk to install on: a path, `smallest`, or `serial:NUMBER`
    #[arg(short, long)]
    device: Option<String>,
    /// With -t noformat: the state partition, in place of the disk
    #[arg(short, long)]
    partition: Option<String>,
    /// Directory of the state partition that has the state, in place of all of it (rancher.state.directory)
    #[arg(long)]
    statedir: Option<String>,
    /// Do not ask, and install over whatever the disk has
    #[arg(short, long)]
    force: bool,
    /// Do not reboot afterwards
    #[arg(long)]
    no_reboot: bool,
    /// More kernel parameters for the installed machine
    #[arg(short, long, allow_hyphen_values = true)]
    append: Option<String>,
    /// Refused: the installed disk starts through the firmware
    #[arg(short, long)]
    kexec: bool,
    /// Refused: images and caches of this boot are not copied
    #[arg(short, long)]
    save: bool,
    /// Keep the state partition of an earlier installation
    #[arg(long)]
    keep_state: bool,
    /// Say each step, with the time since the first one
    #[arg(long)]
    debug: bool,
    /// Take everything from rancher.install.* of the kernel's command line
    #[arg(long, hide = true)]
    unattended: bool,
}

/// All that is known before anything is written.
struct Plan<'a> {
    medium: Medium,
    loader: Loader,
    target: Target,
    layout: Layout,
    /// The state partition of an earlier installation, when it stays.
    kept_state: Option<Entry>,
    cloud_config: CloudConfig,
    tools: Tools,
    options: &'a Options,
    begun: Instant,
}

/// Runs the command.
pub(crate) fn main(options: &Options) -> anyhow::Result<ExitCode> {
    let done = if options.unattended {
        unattended::run()
    } else {
        run(options)
    };
    Ok(done.unwrap_or_else(|error| failure::report(&error)))
}

fn run(options: &Options) -> anyhow::Result<ExitCode> {
    kinds::check(options)?;
    let plan = prepare(options)?;
    for line in plan.lines() {
        println!("{line}");
    }
    let somebody_is_there = !options.unattended && sys::tty::is_terminal(std::io::stdin());
    let asks = !options.force && somebody_is_there;
    if asks && !confirm("Continue")? {
        println!("Nothing was changed.");
        return Ok(ExitCode::FAILURE);
    }
    plan.write()?;
    println!(
        "RancherOS v{} is installed on {}.",
        plan.medium.manifest.version,
        plan.target.node.display()
    );
    if foreign::files().is_some() {
        println!("This machine goes on; what it starts from next is up to its firmware.");
        return Ok(ExitCode::SUCCESS);
    }
    if options.no_reboot {
        return Ok(ExitCode::SUCCESS);
    }
    if asks && !confirm("Continue with reboot")? {
        return Ok(ExitCode::SUCCESS);
    }
    println!("Rebooting. A disc or stick that the machine starts from first should be taken out.");
    crate::power::reboot()?;
    Ok(ExitCode::SUCCESS)
}

fn prepare(options: &Options) -> anyhow::Result<Plan<'_>> {
    let append = options.append.as_deref().unwrap_or_default();
    let cloud_config = CloudConfig::get(options.cloud_config.as_deref(), append)?;
    let policy = Policy::of_machine(options.insecure)?;
    let medium = Medium::open(options.image.as_deref(), &policy)?;
    let Some(device) = kinds::device(options)? else {
        bail!(
            "can not proceed without -d DEVICE; disks of this machine:\n{}",
            device::list()
        );
    };
    let node = device::resolve(&device, &medium, options.force)?;
    let target = Target::open(&node, &medium, kinds::takes_data(options))?;
    let loader = medium.loader()?;
    let bios = loader.bios.is_some();
    let (layout, kept_state) = if kinds::keeps_state(options) {
        let (layout, state) = target.kept(bios)?;
        (layout, Some(state))
    } else {
        (target.layout(bios)?, None)
    };
    medium.check_room(&layout)?;
    let tools = Tools::open(foreign::files().as_deref())?;
    Ok(Plan {
        tools,
        medium,
        loader,
        target,
        layout,
        kept_state,
        cloud_config,
        options,
        begun: Instant::now(),
    })
}

impl Plan<'_> {
    /// What the user is to know before the question.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "Install RancherOS v{} from {} on {}",
            self.medium.manifest.version,
            self.medium.name,
            self.target.describe()
        )];
        if let Some(key) = &self.medium.signed_by {
            lines.push(format!("  signed, checked with {key}"));
        }
        let lost = self.target.contents();
        if lost.is_empty() {
            lines.push("  the disk is empty".to_owned());
        }
        for content in lost {
            let kept = self.kept_state.is_some() && content.contains("RANCHER_STATE");
            let fate = if kept { "kept" } else { "will be lost" };
            lines.push(format!("  {content}: {fate}"));
        }
        lines.extend(self.cloud_config.lines());
        lines
    }

    /// Kernel parameters of the installed machine.
    fn arguments(&self) -> String {
        let mut words = self.medium.manifest.arguments.clone();
        words.extend(
            self.options
                .append
                .clone()
                .filter(|more| !more.trim().is_empty()),
        );
        if let Some(directory) = &self.options.statedir {
            words.push(format!("rancher.state.directory={directory}"));
        }
        words.join(" ")
    }

    /// Says a step, with `--debug`.
    fn step(&self, what: &str) {
        if self.options.debug {
            let seconds = self.begun.elapsed().as_secs_f64();
            eprintln!("debug: {seconds:7.2} s: {what}");
        }
    }
}

/// Asks a question of yes or no; anything but yes is no.
pub(crate) fn confirm(question: &str) -> anyhow::Result<bool> {
    print!("{question} [y/N]: ");
    std::io::stdout().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

/// The mount point of the medium that runs.
fn running_medium() -> &'static Path {
    Path::new("/run/rancher/media")
}
