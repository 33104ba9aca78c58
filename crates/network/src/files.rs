//! Content of a container's `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname`.
//!
//! A container on the host's network that has no DNS options follows the host: its resolv.conf should be the
//! host's file itself (a bind mount), see [`ResolvConf::FollowHost`].

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use engine_api::{Error, Result};

use super::record::is_predefined;
use super::{NetworkMode, dns};

/// Longest resolv.conf that is read, in bytes; real ones have some hundred.
const RESOLV_CONF_MAX: u64 = 64 * 1024;
/// Servers for containers on the default bridge when the host has none that they can reach; Docker's choice.
const FALLBACK_SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
/// Host names that resolve to this address of the host, in `--add-host NAME:host-gateway`.
const HOST_GATEWAY: &str = "host-gateway";

/// The parts of resolv.conf(5) that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolverConfig {
    /// `nameserver` lines, as written.
    pub servers: Vec<String>,
    /// The last `search` (or `domain`) line.
    pub search: Vec<String>,
    /// All `options`.
    pub options: Vec<String>,
}

impl ResolverConfig {
    /// Reads the text of a resolv.conf.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => config.servers.extend(words.next()),
                Some("search" | "domain") => config.search = words.collect(),
                Some("options") => config.options.extend(words),
                _ => {}
            }
        }
        config
    }

    /// Reads a file; one that is missing, or that cannot be read at once, is an empty configuration. Containers with the
    /// machine's network have it bound, and may do with it what they like.
    pub fn read(path: &Path) -> Self {
        let bytes = sys::regular::read(path, RESOLV_CONF_MAX).unwrap_or_default();
        String::from_utf8(bytes).map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    /// Makes the embedded server the one that is asked; it knows whom to ask in turn.
    pub fn ask_embedded(&mut self) {
        self.servers = vec![dns::ADDRESS.to_string()];
        let has_dots = |option: &String| option.starts_with("ndots:");
        if !self.options.iter().any(has_dots) {
            self.options.push("ndots:0".into());
        }
    }

    /// The text of a resolv.conf.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        text
    }
}

/// What the container's resolv.conf is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvConf {
    /// The host's file: bind it, so that changes (DHCP) reach the container.
    FollowHost,
    /// Its own file.
    Own(String),
}

/// The three files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFiles {
    /// `/etc/resolv.conf`.
    pub resolv_conf: ResolvConf,
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/hostname`.
    pub hostname: String,
}

/// What the files depend on.
#[derive(Debug, Clone, Default)]
pub struct FilesRequest<'a> {
    /// `HostConfig.NetworkMode`.
    pub network_mode: &'a str,
    /// Names of the networks that it is on besides.
    pub networks: &'a [String],
    /// `Config.Hostname`.
    pub hostname: &'a str,
    /// `Config.Domainname`.
    pub domainname: &'a str,
    /// The container's addresses, from its attachment.
    pub addresses: &'a [IpAddr],
    /// `HostConfig.ExtraHosts`: `NAME:ADDRESS` or `NAME=ADDRESS`.
    pub extra_hosts: &'a [String],
    /// `HostConfig.Dns`.
    pub dns: &'a [String],
    /// `HostConfig.DnsSearch`; a single `.` means none.
    pub dns_search: &'a [String],
    /// `HostConfig.DnsOptions`.
    pub dns_options: &'a [String],
    /// What `host-gateway` stands for.
    pub host_gateway: Option<IpAddr>,
}

/// Makes the three files; `host` is the host's resolver configuration.
///
/// # Errors
/// 400 when an extra host is malformed.
pub fn build(request: &FilesRequest<'_>, host: &ResolverConfig) -> Result<NetworkFiles> {
    Ok(NetworkFiles {
        resolv_conf: resolv_conf(request, host),
        hosts: hosts(request)?,
        hostname: format!("{}\n", request.hostname),
    })
}

fn resolv_conf(request: &FilesRequest<'_>, host: &ResolverConfig) -> ResolvConf {
    let mode = NetworkMode::parse(request.network_mode);
    let untouched =
        request.dns.is_empty() && request.dns_search.is_empty() && request.dns_options.is_empty();
    if mode == NetworkMode::Host && untouched {
        return ResolvConf::FollowHost;
    }
    let mut config = host.clone();
    if !request.dns.is_empty() {
        config.servers = request.dns.to_vec();
    } else if mode == NetworkMode::Default {
        let reachable = |server: &String| {
            server
                .parse::<IpAddr>()
                .map_or(server.contains('%'), |address| !address.is_loopback())
        };
        config.servers.retain(reachable);
        if config.servers.is_empty() {
            config.servers = FALLBACK_SERVERS.map(str::to_owned).to_vec();
        }
    }
    if !request.dns_search.is_empty() {
        config.search = request
            .dns_search
            .iter()
            .filter(|domain| *domain != ".")
            .cloned()
            .collect();
    }
    if !request.dns_options.is_empty() {
        config.options = request.dns_options.to_vec();
    }
    let user_defined = request.networks.iter().any(|name| !is_predefined(name));
    if user_defined || matches!(mode, NetworkMode::Network(_)) {
        config.ask_embedded();
    }
    ResolvConf::Own(config.to_text())
}

fn hosts(request: &FilesRequest<'_>) -> Result<String> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for extra in request.extra_hosts {
        let (name, address) = extra_host(extra, request.host_gateway)?;
        let _ = writeln!(text, "{address}\t{name}");
    }
    // The whole name may be in the host name or in both; the bare one follows it.
    let mut names = request.hostname.to_owned();
    if !request.domainname.is_empty() {
        names = format!("{names}.{}", request.domainname);
    }
    if let Some((bare, _)) = names.clone().split_once('.') {
        let _ = write!(names, " {bare}");
    }
    for address in request.addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    Ok(text)
}

/// Reads `NAME:ADDRESS` or `NAME=ADDRESS`; also for the check when a container is created.
///
/// # Errors
/// 400 with Docker's text.
pub fn extra_host(text: &str, host_gateway: Option<IpAddr>) -> Result<(&str, IpAddr)> {
    let bad_format = || Error::bad_parameter(format!("bad format for add-host: {text:?}"));
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(bad_format)?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(bad_format());
    }
    if address == HOST_GATEWAY {
        return host_gateway
            .map(|address| (name, address))
            .ok_or_else(|| Error::bad_parameter("unable to derive the IP value for host-gateway"));
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    let parsed = bare.parse().map_err(|_| {
        Error::bad_parameter(format!("invalid IP address in add-host: {address:?}"))
    })?;
    Ok((name, parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(mode: &str, host: &str, dns: &[String]) -> String {
        let request = FilesRequest {
            network_mode: mode,
            hostname: "web",
            dns,
            ..FilesRequest::default()
        };
        match build(&request, &ResolverConfig::parse(host))
            .unwrap()
            .resolv_conf
        {
            ResolvConf::Own(text) => text,
            ResolvConf::FollowHost => "host".into(),
        }
    }

    const HOST: &str =
        "# comment\nnameserver 127.0.0.53\nnameserver 10.0.2.3\nsearch lan\noptions edns0\n";

    #[test]
    fn each_mode_has_its_servers() {
        assert_eq!(own("host", HOST, &[]), "host");
        assert_eq!(
            own("bridge", HOST, &[]),
            "nameserver 10.0.2.3\nsearch lan\noptions edns0\n"
        );
        assert_eq!(
            own("default", "nameserver 127.0.0.1\n", &[]),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
        assert_eq!(
            own("front", HOST, &[]),
            "nameserver 127.0.0.11\nsearch lan\noptions edns0 ndots:0\n"
        );
        // On the default bridge and, by `network connect`, on one of the user's
        let both = ["bridge".to_owned(), "front".to_owned()];
        for (networks, server) in [(&both[..1], "10.0.2.3"), (&both, "127.0.0.11")] {
            let request = FilesRequest {
                network_mode: "default",
                networks,
                ..FilesRequest::default()
            };
            let files = build(&request, &ResolverConfig::parse(HOST)).unwrap();
            let ResolvConf::Own(text) = files.resolv_conf else {
                panic!("follows the host");
            };
            assert_eq!(ResolverConfig::parse(&text).servers, [server]);
        }
        let dns = ["9.9.9.9".to_owned()];
        assert_eq!(
            own("host", HOST, &dns),
            "nameserver 9.9.9.9\nsearch lan\noptions edns0\n"
        );
    }

    #[test]
    fn hosts_name_the_container_and_the_extras() {
        let extra = [
            "db:10.0.0.9".to_owned(),
            "v6=[fd00::1]".to_owned(),
            "up:host-gateway".to_owned(),
        ];
        let request = FilesRequest {
            hostname: "web",
            domainname: "lan",
            addresses: &["172.19.0.2".parse().unwrap()],
            extra_hosts: &extra,
            host_gateway: Some("172.18.42.1".parse().unwrap()),
            ..FilesRequest::default()
        };
        let files = build(&request, &ResolverConfig::default()).unwrap();
        let tail = files.hosts.split("ip6-allrouters\n").nth(1).unwrap();
        assert_eq!(
            tail,
            "10.0.0.9\tdb\nfd00::1\tv6\n172.18.42.1\tup\n172.19.0.2\tweb.lan web\n"
        );
        assert_eq!(files.hostname, "web\n");
        let request = FilesRequest {
            hostname: "web.example.org",
            addresses: &["172.19.0.2".parse().unwrap()],
            ..FilesRequest::default()
        };
        let files = build(&request, &ResolverConfig::default()).unwrap();
        assert!(files.hosts.ends_with("\n172.19.0.2\tweb.example.org web\n"));
        for bad in ["db", ":1.2.3.4", "db:nonsense"] {
            assert_eq!(extra_host(bad, None).unwrap_err().status, 400, "{bad}");
        }
    }
}
