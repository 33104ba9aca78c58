//! What the engine tells its network child: one JSON object a message, with the open files that it needs. The one answer is
//! the number of a ticket, once sockets are closed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest name that can be asked for (RFC 1035, 2.3.4); longer ones are not sent.
pub(crate) const NAME_MAX: usize = 255;
/// Names in one message: eight of the longest, each byte escaped, are below [`sys::fdpass::MAX_MESSAGE`].
pub(crate) const NAMES_MAX: usize = 8;

/// A message to the child. Those of one table come together: `Begin`, `Names`, `Commit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Command {
    /// The first message.
    Configure {
        /// The host's resolver configuration; read for each question that it is needed for.
        resolv_conf: PathBuf,
    },
    /// Starts a container's new table.
    Begin {
        /// Its id.
        container: String,
        /// Who is asked for all other names.
        servers: Servers,
    },
    /// Names of the container on one network; several messages for one network are joined.
    Names {
        /// The network's id.
        network: String,
        /// Its name, a suffix of names.
        network_name: String,
        /// The container's addresses there.
        addresses: Vec<IpAddr>,
        /// Its names there; the first of all is the answer to questions for the address.
        names: Vec<String>,
    },
    /// The new table takes the place of the old one.
    Commit,
    /// Answers DNS on two sockets: UDP, TCP.
    Serve {
        /// The container that they are in.
        container: String,
    },
    /// Carries the clients of one socket to the container.
    Publish {
        /// Its id.
        container: String,
        /// The socket is for datagrams.
        udp: bool,
        /// Where to.
        target: SocketAddr,
    },
    /// Closes the container's published sockets, and answers with the ticket.
    Unpublish {
        /// Its id.
        container: String,
        /// For the answer.
        ticket: u64,
    },
    /// Closes all of a container and drops its table.
    Forget {
        /// Its id.
        container: String,
    },
}

/// DNS servers of the world outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Servers {
    /// The host's.
    Host,
    /// These; nobody if there are none.
    These(Vec<SocketAddr>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_fit_into_a_message() {
        let names = Command::Names {
            network: "f".repeat(64),
            network_name: "\u{1}".repeat(NAME_MAX),
            addresses: vec![IpAddr::from([0xff; 16]); 2],
            names: vec!["\u{1}".repeat(NAME_MAX); NAMES_MAX],
        };
        let bytes = serde_json::to_vec(&names).unwrap();
        assert!(bytes.len() <= sys::fdpass::MAX_MESSAGE, "{}", bytes.len());
        assert_eq!(serde_json::from_slice::<Command>(&bytes).unwrap(), names);
    }
}
