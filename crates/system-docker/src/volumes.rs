//! `volume`

use std::collections::BTreeMap;

use engine_api::{Client, VolumeCreate};

use super::arguments::Volume;
use super::create::pairs;
use super::listing::{self, Row, Show, row};
use super::{each, filters, inspect, prune};

/// Does what the second word says.
pub(crate) async fn volume(client: &Client, verb: Volume) -> anyhow::Result<()> {
    match verb {
        Volume::Create {
            options,
            labels,
            name,
        } => {
            let request = VolumeCreate {
                name: name.unwrap_or_default(),
                driver: "local".to_owned(),
                driver_opts: pairs("--opt", &options)?,
                labels: pairs("--label", &labels)?,
                ..VolumeCreate::default()
            };
            println!("{}", client.volume_create(&request).await?.name);
            Ok(())
        }
        Volume::Inspect(options) => inspect::inspect(client, &options, Some("volume")).await,
        Volume::Ls(options) => {
            let volumes = client
                .volume_list(&filters(&options.filters)?)
                .await?
                .volumes;
            let rows: Vec<Row> = volumes
                .iter()
                .map(|volume| {
                    row([
                        ("Driver", volume.driver.clone()),
                        ("Name", volume.name.clone()),
                        ("Mountpoint", volume.mountpoint.clone()),
                        ("Scope", volume.scope.clone()),
                    ])
                    .with_labels(volume.labels.as_ref().unwrap_or(&BTreeMap::new()))
                })
                .collect();
            let show = Show {
                only: options.quiet.then_some("Name"),
                format: options.format.as_deref(),
            };
            listing::print(
                &rows,
                &[("DRIVER", "Driver"), ("VOLUME NAME", "Name")],
                &show,
            )
        }
        Volume::Prune(options) => prune::volumes(client, &options).await,
        Volume::Rm { force, volumes } => {
            each(&volumes, |name| client.volume_remove(name, force)).await
        }
    }
}
