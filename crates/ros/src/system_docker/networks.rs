//! `network`

use engine_api::{Client, ConfigReference, EndpointSettings, Ipam, NetworkCreate};

use super::arguments::{Network, NetworkConnect, NetworkCreate as Options};
use super::create::{endpoint, pairs};
use super::listing::{self, Row, Show, row};
use super::{each, filters, inspect, ipam, prune, table};

/// Does what the second word says.
pub(crate) async fn network(client: &Client, verb: Network) -> anyhow::Result<()> {
    match verb {
        Network::Connect(options) => connect(client, &options).await,
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

async fn connect(client: &Client, options: &NetworkConnect) -> anyhow::Result<()> {
    let driver_options = pairs("--driver-opt", &options.driver_options)?;
    let settings = EndpointSettings {
        driver_opts: (!driver_options.is_empty()).then_some(driver_options),
        ..endpoint(
            options.ip.as_deref(),
            options.ip6.as_deref(),
            &options.link_local_ips,
            &options.aliases,
        )
    };
    Ok(client
        .network_connect(&options.network, &options.container, Some(settings))
        .await?)
}

async fn create(client: &Client, options: &Options) -> anyhow::Result<()> {
    let config = ipam::config(
        &options.subnets,
        &options.ip_ranges,
        &options.gateways,
        &pairs("--aux-address", &options.aux_addresses)?,
    )?;
    let ipam_options = pairs("--ipam-opt", &options.ipam_options)?;
    let request = NetworkCreate {
        name: options.name.clone(),
        driver: options.driver.clone(),
        scope: options.scope.clone().unwrap_or_default(),
        enable_ipv6: options.ipv6,
        ipam: Some(Ipam {
            driver: options.ipam_driver.clone(),
            options: (!ipam_options.is_empty()).then_some(ipam_options),
            config,
        }),
        internal: options.internal,
        attachable: options.attachable,
        ingress: options.ingress,
        config_only: options.config_only,
        config_from: options.config_from.as_ref().map(|network| ConfigReference {
            network: network.clone(),
        }),
        options: pairs("--opt", &options.options)?,
        labels: pairs("--label", &options.labels)?,
        ..NetworkCreate::default()
    };
    println!("{}", client.network_create(&request).await?.id);
    Ok(())
}
