//! `ros os check`: whether there is a version that this machine would take. Nothing but its manifest is fetched.

use std::process::ExitCode;

use anyhow::bail;
use config::VERSION;
use serde_json::json;

use super::installed::Installed;
use super::policy::Policy;
use super::{rules, source, stage};
use crate::install::medium::Medium;

/// Exit code when there is nothing newer; scripts tell it from a failure, which is 1.
const UP_TO_DATE: u8 = 10;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of an image, archive of one, or ISO file; the newest of rancher.upgrade.image when absent
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
    if !matches!(options.format.as_str(), "text" | "json") {
        bail!(
            "format {:?} is not known, only text and json",
            options.format
        );
    }
    let json = options.format == "json";
    let machine = Installed::here()?;
    let policy = Policy::of_machine(options.insecure)?;
    let image = match &options.image {
        Some(image) => image.clone(),
        None => {
            let image = policy.image()?;
            let versions = source::versions(image, &policy.rancher)?;
            let newest =
                source::newest(&versions).filter(|tag| install::compare(tag, VERSION).is_gt());
            match newest {
                Some(newest) => format!("{image}:{newest}"),
                None => {
                    if json {
                        println!("{:#}", json!({"running": VERSION, "available": null}));
                    } else {
                        println!("v{VERSION} is the newest");
                    }
                    return Ok(ExitCode::from(UP_TO_DATE));
                }
            }
        }
    };
    let medium = Medium::open(Some(&image), &policy)?;
    let slot = stage::slot(&machine)?;
    let verdict =
        rules::check(&machine, &medium, false).and_then(|()| stage::check_room(slot, &medium));
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
        for line in rules::describe(&machine, &medium)? {
            println!("{}", line.replacen("Upgrading to", "Available:", 1));
        }
        println!(
            "  {} bytes are not on the disk yet",
            stage::missing(slot, &medium)?
        );
    }
    verdict.map(|()| ExitCode::SUCCESS)
}
