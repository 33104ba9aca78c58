//! `network`

use engine_api::{Client, Ipam, IpamConfig, NetworkCreate};

use super::arguments::{Network, NetworkCreate as Options};
use super::create::pairs;
use super::listing::{self, Row, Show, row};
use super::{each, filters, inspect, prune, table};

/// Does what the second word says.
pub(crate) async fn network(client: &Client, verb: Network) -> anyhow::Result<()> {
    match verb {
        Network::Connect { network, container } => {
            Ok(client.network_connect(&network, &container, None).await?)
        }
        Network::Create(options) => create(client, &options).await,
        Network::Disconnect {
            force,
            network,
            container,
        } => Ok(client
            .network_disconnect(&network, &container, force)
            .await?),
        Network::Inspect(options) => inspect::inspect(client, &options, Some("network")).await,
        Network::Ls(options) => {
            let networks = client.network_list(&filters(&options.filters)?).await?;
            let rows: Vec<Row> = networks
                .iter()
                .map(|network| {
                    row([
                        ("ID", table::short_id(&network.id)),
                        ("Name", network.name.clone()),
                        ("Driver", network.driver.clone()),
                        ("Scope", network.scope.clone()),
                    ])
                })
                .collect();
            let columns = [
                ("NETWORK ID", "ID"),
                ("NAME", "Name"),
                ("DRIVER", "Driver"),
                ("SCOPE", "Scope"),
            ];
            listing::print(
                &rows,
                &columns,
                &Show {
                    only: options.quiet.then_some("ID"),
                    format: options.format.as_deref(),
                },
            )
        }
        Network::Prune(options) => prune::networks(client, &options).await,
        Network::Rm { networks } => each(&networks, |name| client.network_remove(name)).await,
    }
}

async fn create(client: &Client, options: &Options) -> anyhow::Result<()> {
    let config = options.subnet.as_ref().map(|subnet| IpamConfig {
        subnet: subnet.clone(),
        gateway: options.gateway.clone().unwrap_or_default(),
        ..IpamConfig::default()
    });
    let request = NetworkCreate {
        name: options.name.clone(),
        driver: options.driver.clone(),
        internal: options.internal,
        ipam: config.map(|config| Ipam {
            driver: "default".to_owned(),
            config: vec![config],
            ..Ipam::default()
        }),
        options: pairs("--opt", &options.options)?,
        labels: pairs("--label", &options.labels)?,
        ..NetworkCreate::default()
    };
    println!("{}", client.network_create(&request).await?.id);
    Ok(())
}
