//! Transactions of nf_tables over nfnetlink, and the list of tables.

use rustix::net::netlink;

use super::rule::Rule;
use super::{Chain, ChainType, Family};
use crate::netlink::error::{Error, Result};
use crate::netlink::message::{Attributes, Message, text};
use crate::netlink::socket::{ACK, APPEND, CREATE, DUMP, REQUEST, Socket};

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const DELETE_RULE: u16 = SUBSYSTEM | 8;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const POLICY_ACCEPT: u32 = 1;

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn open() -> Result<Socket> {
    Socket::open(Some(netlink::NETFILTER), "nfnetlink")
}

/// A transaction under construction.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// What each message does, by its sequence number less 1.
    steps: Vec<String>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty transaction.
    pub fn new() -> Self {
        let mut begin = Message::new(BATCH_BEGIN, REQUEST, &header(0, SUBSYSTEM >> 8));
        Self {
            bytes: begin.finish(0).to_vec(),
            steps: Vec::new(),
        }
    }

    fn push(&mut self, step: String, mut message: Message) -> &mut Self {
        self.steps.push(step);
        let sequence = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(message.finish(sequence));
        self
    }

    /// Creates the table; an existing one is kept.
    pub fn add_table(&mut self, family: Family, table: &str) -> &mut Self {
        let mut message = Message::new(NEW_TABLE, REQUEST | ACK | CREATE, &header(family as u8, 0));
        message.attr_str(TABLE_NAME, table);
        self.push(format!("create table {table}"), message)
    }

    /// Deletes the table with all that is in it.
    pub fn delete_table(&mut self, family: Family, table: &str) -> &mut Self {
        let mut message = Message::new(DELETE_TABLE, REQUEST | ACK, &header(family as u8, 0));
        message.attr_str(TABLE_NAME, table);
        self.push(format!("delete table {table}"), message)
    }

    /// Creates a base chain; an existing one is kept.
    pub fn add_chain(&mut self, family: Family, table: &str, chain: &Chain) -> &mut Self {
        let mut message = Message::new(NEW_CHAIN, REQUEST | ACK | CREATE, &header(family as u8, 0));
        let kind = match chain.kind {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
        };
        message
            .attr_str(CHAIN_TABLE, table)
            .attr_str(CHAIN_NAME, chain.name);
        message.nest(CHAIN_HOOK, |m| {
            m.attr_be32(HOOK_NUMBER, chain.hook as u32)
                .attr_be32(HOOK_PRIORITY, chain.priority.cast_unsigned());
        });
        message
            .attr_be32(CHAIN_POLICY, POLICY_ACCEPT)
            .attr_str(CHAIN_TYPE, kind);
        self.push(format!("create chain {table} {}", chain.name), message)
    }

    /// Deletes every rule of the table; chains stay.
    pub fn flush_table(&mut self, family: Family, table: &str) -> &mut Self {
        let mut message = Message::new(DELETE_RULE, REQUEST | ACK, &header(family as u8, 0));
        message.attr_str(RULE_TABLE, table);
        self.push(format!("flush table {table}"), message)
    }

    /// Appends `rule` to the chain.
    pub fn add_rule(&mut self, family: Family, table: &str, chain: &str, rule: &Rule) -> &mut Self {
        let flags = REQUEST | ACK | CREATE | APPEND;
        let mut message = Message::new(NEW_RULE, flags, &header(family as u8, 0));
        message
            .attr_str(RULE_TABLE, table)
            .attr_str(RULE_CHAIN, chain)
            .nest(RULE_EXPRESSIONS, |m| {
                for expression in rule.expressions() {
                    m.nest(LIST_ELEMENT, |m| expression.encode(m));
                }
            });
        self.push(format!("add rule to {table} {chain}: {rule}"), message)
    }

    /// Applies all of it, or nothing.
    ///
    /// # Errors
    /// The first step that the kernel refused, by name, with its text.
    pub fn commit(mut self) -> Result<()> {
        let what = "commit nf_tables batch";
        let last = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        let mut end = Message::new(BATCH_END, REQUEST, &header(0, SUBSYSTEM >> 8));
        self.bytes
            .extend_from_slice(end.finish(last.saturating_add(1)));
        let mut acknowledged = 0u32;
        for (sequence, refusal) in open()?.batch(what, &self.bytes)? {
            match refusal {
                None => acknowledged += 1,
                Some(refusal) => {
                    let step = (sequence as usize)
                        .checked_sub(1)
                        .and_then(|index| self.steps.get(index));
                    return Err(refusal.into_error(step.map_or(what, String::as_str)));
                }
            }
        }
        if acknowledged < last {
            return Err(Error::invalid(
                what,
                "the kernel did not acknowledge every step",
            ));
        }
        Ok(())
    }
}

/// All tables of the namespace, as (family, name); families this module does not know are left out.
///
/// # Errors
/// When the kernel has no nf_tables.
pub fn tables() -> Result<Vec<(Family, String)>> {
    let mut message = Message::new(GET_TABLE, REQUEST | DUMP, &header(0, 0));
    open()?.dump("list nf_tables tables", &mut message, |reply| {
        let family = Family::from_number(*reply.body.first()?)?;
        let name = Attributes::after(reply.body, 4).find(|(kind, _)| *kind == TABLE_NAME);
        Some((family, text(name?.1)))
    })
}
