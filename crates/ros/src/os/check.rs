//! `ros os check`: whether there is a version that this machine would take. Nothing but its manifest and the
//! list of its images is fetched.

use std::process::ExitCode;

use config::VERSION;
use serde_json::json;

use super::installed::Installed;
use super::listing::is_json;
use super::policy::Policy;
use super::rules::Asker;
use super::wanted::Wanted;
use super::{changes, releases, rules, stage};
use crate::install::medium::Medium;

/// Exit code when there is nothing newer; scripts tell it from a failure, which is 1.
const UP_TO_DATE: u8 = 10;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of an image, archive of one, or ISO file; the newest of rancher.upgrade.url or rancher.upgrade.image when absent
    image: Option<String>,
    /// Take it although nobody has signed it
    #[arg(long)]
    insecure: bool,
    /// text or json
    #[arg(long, default_value = "text")]
    format: String,
}

/// Answers the question; the exit code is 0 for a version that can be taken, 10 when there is none.
pub(super) fn main(options: &Options) -> anyhow::Result<ExitCode> {
    let json = is_json(&options.format)?;
    let machine = Installed::here()?;
    let policy = Policy::of_machine(options.insecure)?;
    let image = match &options.image {
        Some(image) => image.clone(),
        None => {
            let newest = releases::newest(&policy)?;
            if !newest.is_newer() {
                if json {
                    println!("{:#}", json!({"running": VERSION, "available": null}));
                } else {
                    println!("v{VERSION} is the newest");
                }
                return Ok(ExitCode::from(UP_TO_DATE));
            }
            newest.image
        }
    };
    let medium = Medium::open(Some(&image), &policy)?;
    let slot = stage::slot(&machine)?;
    let asker = Asker::Person { force: false };
    let wanted = Wanted::on_medium(&medium, &image);
    let verdict =
        rules::check(&machine, &wanted, asker).and_then(|()| stage::check_room(slot, &medium));
    if json {
        let manifest = &medium.manifest;
        let value = json!({
            "running": VERSION,
            "available": manifest.version,
            "image": image,
            "signed_by": medium.signed_by,
            "bytes": stage::missing(slot, &medium)?,
            "kernel": manifest.release.linux,
            "docker": manifest.release.docker,
            "refused": verdict.as_ref().err().map(|error| format!("{error:#}")),
        });
        println!("{value:#}");
    } else {
        for line in rules::describe(&machine, &wanted) {
            println!("{}", line.replacen("Upgrading to", "Available:", 1));
        }
        println!("{}", changes::line(&machine, &wanted));
        println!(
            "  {} bytes are not on the disk yet",
            stage::missing(slot, &medium)?
        );
    }
    verdict.map(|()| ExitCode::SUCCESS)
}
