//! `ros netconf`: the service network. Links, addresses, routes and name servers from `rancher.network`; dhcpcd for links
//! that ask for addresses; and again whenever a link appears.

mod commands;
mod firewall;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use netconf::resolver::{MAX_SERVERS, Resolver, has_server};
use netconf::{LinkPlan, Plan, apply, dhcp};
use sys::netlink::Rtnetlink;
use sys::process::{Child, Command};

use self::commands::Commands;
use crate::machine_config::MachineConfig;
use crate::problems;
use crate::resolv_conf::ResolvConf;
use crate::wifi::{self, Supplicant};
use crate::wireguard_hosts::Hosts;

const DHCPCD: &str = "/usr/sbin/dhcpcd";
/// The image's configuration, which ours is added to.
const IMAGE_SETTINGS: &str = "/etc/dhcpcd.conf";
const SETTINGS: &str = "/run/dhcpcd.conf";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How often links are looked for; a card that is plugged in, or whose driver comes late, waits no longer.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// How long post_cmds and the fallback of DNS wait for addresses when `dhcp_timeout` is not set.
const DHCP_TIMEOUT: Duration = Duration::from_secs(10);

/// Configures the network until it is told to end.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    // What an earlier run has said may be mended.
    problems::clear("network");
    problems::clear("wifi");
    let machine = MachineConfig::load();
    let rancher = &machine.loaded.config.rancher;
    let network = &rancher.network;
    // First of all: what earlier commands did may keep everybody out.
    let mut commands = Commands::start(network);
    let resolver = Resolver::new(network, &rancher.defaults.network);
    let is_plain = network.interfaces.is_empty()
        && network.pre_cmds.is_empty()
        && network.post_cmds.is_empty()
        && network.dns == Default::default();
    let resolv_conf = ResolvConf::default();
    resolv_conf.forget()?;
    if is_plain {
        clean_up(network);
        resolv_conf.want(&resolver)?;
        // dhcpcd looks for links itself, and this process need not stay.
        let environment = sys::process::environment();
        let arguments = ["dhcpcd", "--nobackground"].map(Into::into);
        return Err(sys::process::exec(Path::new(DHCPCD), &arguments, &environment).into());
    }
    for error in &resolver.problems {
        loudly(error);
    }
    commands.run("pre_cmds", &network.pre_cmds);
    let timeout = network
        .dhcp_timeout
        .or(rancher.defaults.network.dhcp_timeout)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DHCP_TIMEOUT, Duration::from_secs);
    Service {
        network: network.clone(),
        commands,
        resolver,
        resolv_conf,
        netlink: Rtnetlink::open()?,
        plan: Plan::default(),
        settings: None,
        dhcpcd: None,
        hosts: Hosts::default(),
        supplicant: Supplicant::new(Path::new(wifi::DIRECTORY)),
        wifi_errors: Vec::new(),
    }
    .run(timeout)
}

/// Takes away what an earlier configuration has made; dhcpcd, which finds its links itself, does not look for it.
fn clean_up(network: &config::cloud_config::Network) {
    let errors = Supplicant::new(Path::new(wifi::DIRECTORY)).follow(&Plan::default());
    errors.iter().for_each(|error| loudly(error));
    let cleaned = Rtnetlink::open().and_then(|mut netlink| {
        let plan = Plan::new(network, &apply::candidates(&mut netlink)?);
        Ok(netconf::clean(&mut netlink, &plan))
    });
    match cleaned {
        Ok(errors) => errors.iter().for_each(|error| loudly(error)),
        Err(error) => loudly(&error.to_string()),
    }
}

struct Service {
    network: config::cloud_config::Network,
    commands: Commands,
    resolver: Resolver,
    resolv_conf: ResolvConf,
    netlink: Rtnetlink,
    /// What is in the kernel.
    plan: Plan,
    settings: Option<String>,
    dhcpcd: Option<Child>,
    /// Of peers that are named by them.
    hosts: Hosts,
    /// Of cards that join Wi-Fi networks.
    supplicant: Supplicant,
    /// What is wrong with them now.
    wifi_errors: Vec<String>,
}

impl Service {
    fn run(mut self, timeout: Duration) -> anyhow::Result<ExitCode> {
        // A machine without a link has name servers, too.
        self.resolve()?;
        self.update()?;
        let end = Instant::now() + timeout;
        while !self.has_addresses()? && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
        let has_dns = has_server(&fs::read_to_string(RESOLV_CONF).unwrap_or_default());
        if !has_dns {
            self.resolver.has_waited = true;
            self.resolve()?;
        }
        self.commands.run("post_cmds", &self.network.post_cmds);
        loop {
            match &self.dhcpcd {
                None => std::thread::sleep(LOOK_AGAIN),
                Some(dhcpcd) => {
                    if dhcpcd.pidfd().wait_ended(Some(LOOK_AGAIN))? {
                        bail!("dhcpcd has ended: {}", dhcpcd.wait()?);
                    }
                }
            }
            self.update()?;
            self.join_networks();
        }
    }

    /// Until wpa_supplicant has every card of the plan; it may start later than this service, or start again.
    fn join_networks(&mut self) {
        let errors = self.supplicant.follow(&self.plan);
        if errors == self.wifi_errors {
            return;
        }
        problems::clear("wifi");
        for error in &errors {
            eprintln!("{error}");
            problems::warn("wifi", error);
        }
        self.wifi_errors = errors;
    }

    /// Plans for the links that there are now, and applies what is new.
    fn update(&mut self) -> anyhow::Result<()> {
        let plan = Plan::new(&self.network, &apply::candidates(&mut self.netlink)?);
        if plan == self.plan {
            return Ok(());
        }
        for problem in plan
            .problems
            .iter()
            .filter(|problem| !self.plan.problems.contains(problem))
        {
            loudly(&format!("interfaces: {problem}"));
        }
        // What an earlier plan, of this program or of the one before, has made and this one does not have.
        for error in netconf::clean(&mut self.netlink, &plan) {
            loudly(&error);
        }
        for error in apply::make(&mut self.netlink, &plan) {
            loudly(&error);
        }
        self.hosts.look_up(&plan);
        let (old, new): (Vec<&LinkPlan>, Vec<&LinkPlan>) = (
            self.plan.links.iter().collect(),
            plan.links.iter().collect(),
        );
        for link in new.into_iter().filter(|link| !old.contains(link)) {
            self.commands.run_for("pre_up", &link.pre_up, &link.name);
            for error in apply::configure(&mut self.netlink, link) {
                loudly(&error);
            }
            println!("{}: {}", link.name, describe(link));
            self.commands.run_for("post_up", &link.post_up, &link.name);
        }
        let may_name = |name: &str| {
            let mut links = plan.dhcp_links();
            links.any(|link| link.name == name && !link.refuses_name)
        };
        if let Err(error) = crate::lease_hook::keep_names(may_name) {
            loudly(&format!("{error:#}"));
        }
        let settings = dhcp::settings(&plan);
        let arguments = dhcp::arguments(&plan);
        self.resolver = std::mem::take(&mut self.resolver).with_links(&plan);
        self.plan = plan;
        self.join_networks();
        self.resolve()?;
        if settings != self.settings {
            self.start_dhcpcd(settings, &arguments)?;
        }
        Ok(())
    }

    fn start_dhcpcd(
        &mut self,
        settings: Option<String>,
        arguments: &[String],
    ) -> anyhow::Result<()> {
        if let Some(earlier) = self.dhcpcd.take() {
            // It keeps its addresses (`persistent`), and told to end kindly while an answer comes in, it crashes.
            let _ = earlier.pidfd().send_signal(sys::process::Signal::KILL);
            earlier.wait()?;
        }
        self.settings.clone_from(&settings);
        let Some(settings) = settings else {
            return Ok(());
        };
        let image = fs::read_to_string(IMAGE_SETTINGS).unwrap_or_default();
        fs::write(SETTINGS, format!("{image}\n{settings}"))
            .with_context(|| format!("cannot write {SETTINGS}"))?;
        let command = Command::new(DHCPCD)
            .args(["--nobackground", "--config", SETTINGS])
            .args(arguments);
        self.dhcpcd = Some(command.spawn()?);
        Ok(())
    }

    /// Whether every link that asks has an address that others can reach.
    fn has_addresses(&mut self) -> anyhow::Result<bool> {
        let (links, addresses) = (self.netlink.links()?, self.netlink.addresses()?);
        Ok(self.plan.dhcp_links().all(|plan| {
            let index = links
                .iter()
                .find(|link| link.name == plan.name)
                .map(|link| link.index);
            addresses
                .iter()
                .any(|address| Some(address.link) == index && !address.link_local)
        }))
    }

    /// Says what is wanted of the resolver, and which of it is in vain.
    fn resolve(&self) -> anyhow::Result<()> {
        let left_out = self.resolv_conf.want(&self.resolver)?;
        let own = self.resolver.links.iter().flat_map(|link| &link.servers);
        let own: Vec<&String> = own.chain(&self.resolver.servers).collect();
        for server in left_out.iter().filter(|server| own.contains(server)) {
            loudly(&format!(
                "dns: {server} is not asked: a resolver asks the first {MAX_SERVERS} servers"
            ));
        }
        Ok(())
    }
}

fn describe(link: &LinkPlan) -> String {
    let addresses: Vec<String> = link.addresses.iter().map(ToString::to_string).collect();
    match &link.role {
        netconf::Role::Dhcp(_) => format!("DHCP {}", addresses.join(" ")),
        netconf::Role::Member(master) => format!("belongs to {master}"),
        netconf::Role::Static if addresses.is_empty() => "up, without an address".to_owned(),
        netconf::Role::Static => addresses.join(" "),
    }
}

/// In the service's log, and on the machine's console by way of the kernel's log.
fn loudly(line: &str) {
    eprintln!("{line}");
    problems::warn("network", line);
}
