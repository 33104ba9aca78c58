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
                        ("CreatedAt", network.created.clone()),
                        ("IPv6", network.enable_ipv6.to_string()),
                        ("Internal", network.internal.to_string()),
                    ])
                    .with_labels(&network.labels)
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
    let settings = settings(options)?;
    Ok(client
        .network_connect(&options.network, &options.container, Some(settings))
        .await?)
}

fn settings(options: &NetworkConnect) -> anyhow::Result<EndpointSettings> {
    let driver_options = pairs("--driver-opt", &options.driver_options)?;
    Ok(EndpointSettings {
        driver_opts: (!driver_options.is_empty()).then_some(driver_options),
        ..endpoint(
            options.ip.as_deref(),
            options.ip6.as_deref(),
            &options.link_local_ips,
            &options.aliases,
        )
    })
}

async fn create(client: &Client, options: &Options) -> anyhow::Result<()> {
    println!("{}", client.network_create(&request(options)?).await?.id);
    Ok(())
}

fn request(options: &Options) -> anyhow::Result<NetworkCreate> {
    let config = ipam::config(
        &options.subnets,
        &options.ip_ranges,
        &options.gateways,
        &pairs("--aux-address", &options.aux_addresses)?,
    )?;
    let ipam_options = pairs("--ipam-opt", &options.ipam_options)?;
    Ok(NetworkCreate {
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
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Verb};

    fn parsed(line: &str) -> Network {
        let words = ["system-docker", "network"].into_iter();
        match Arguments::try_parse_from(words.chain(line.split(' '))) {
            Ok(Arguments {
                verb: Verb::Network(verb),
                ..
            }) => verb,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_of_create_reach_the_engine() {
        let Network::Create(options) = parsed(
            "create --subnet 10.1.0.0/16,fd00::/64 --ip-range 10.1.5.0/24 --aux-address r=10.1.0.9 \
             --ipv6 --attachable --scope local --ipam-opt a=b --config-from base -d ipvlan -o c=d n",
        ) else {
            panic!("not create");
        };
        let request = request(&options).unwrap();
        let ipam = request.ipam.unwrap();
        assert_eq!(ipam.driver, "default");
        assert_eq!(ipam.options.unwrap()["a"], "b");
        assert_eq!(ipam.config[0].ip_range, "10.1.5.0/24");
        assert_eq!(ipam.config[0].auxiliary_addresses["r"], "10.1.0.9");
        assert_eq!(ipam.config[1].subnet, "fd00::/64");
        assert!(request.enable_ipv6 && request.attachable);
        assert_eq!(request.scope, "local");
        assert_eq!(request.config_from.unwrap().network, "base");
        assert_eq!(
            (request.driver.as_str(), &*request.options["c"]),
            ("ipvlan", "d")
        );
    }

    #[test]
    fn flags_of_connect_reach_the_engine() {
        let Network::Connect(options) = parsed(
            "connect --alias x --ip 10.1.0.2 --link-local-ip 169.254.3.3 --driver-opt a=b n c",
        ) else {
            panic!("not connect");
        };
        let settings = settings(&options).unwrap();
        let addresses = settings.ipam_config.unwrap();
        assert_eq!(addresses.ipv4_address, "10.1.0.2");
        assert_eq!(addresses.link_local_ips, ["169.254.3.3"]);
        assert_eq!(settings.aliases.unwrap(), ["x"]);
        assert_eq!(settings.driver_opts.unwrap()["a"], "b");
    }
}
