//! The steps of a rule as nf_tables executes them, and their form in a message.

use crate::netlink::message::Message;

const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const REGISTER_VERDICT: u32 = 0;
pub(super) const REGISTER_1: u32 = 1;
pub(super) const REGISTER_2: u32 = 2;
const NAT_DESTINATION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Network = 1,
    Transport = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal = 0,
    NotEqual = 1,
}

/// One step of a rule, as nf_tables executes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Meta { key: u32 },
    Conntrack { key: u32 },
    Fib { result: u32, flags: u32 },
    Payload { base: Base, offset: u32, len: u32 },
    Bitwise { mask: Vec<u8> },
    Compare { op: Compare, value: Vec<u8> },
    Immediate { register: u32, value: Vec<u8> },
    Counter,
    Verdict(u32),
    Nat { family: u8 },
    Masquerade,
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } => "meta",
            Self::Conntrack { .. } => "ct",
            Self::Fib { .. } => "fib",
            Self::Payload { .. } => "payload",
            Self::Bitwise { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Counter => "counter",
            Self::Nat { .. } => "nat",
            Self::Masquerade => "masq",
        }
    }

    pub(crate) fn encode(&self, message: &mut Message) {
        message
            .attr_str(EXPRESSION_NAME, self.name())
            .nest(EXPRESSION_DATA, |m| self.encode_data(m));
    }

    fn encode_data(&self, m: &mut Message) {
        match self {
            // NFTA_META_DREG, NFTA_META_KEY; NFTA_CT_* have the same numbers.
            Self::Meta { key } | Self::Conntrack { key } => {
                m.attr_be32(1, REGISTER_1).attr_be32(2, *key);
            }
            Self::Fib { result, flags } => {
                m.attr_be32(1, REGISTER_1)
                    .attr_be32(2, *result)
                    .attr_be32(3, *flags);
            }
            Self::Payload { base, offset, len } => {
                m.attr_be32(1, REGISTER_1)
                    .attr_be32(2, *base as u32)
                    .attr_be32(3, *offset)
                    .attr_be32(4, *len);
            }
            Self::Bitwise { mask } => {
                let zero = vec![0; mask.len()];
                let len = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                m.attr_be32(1, REGISTER_1)
                    .attr_be32(2, REGISTER_1)
                    .attr_be32(3, len);
                m.nest(4, |m| {
                    m.attr(DATA_VALUE, mask);
                });
                m.nest(5, |m| {
                    m.attr(DATA_VALUE, &zero);
                });
            }
            Self::Compare { op, value } => {
                m.attr_be32(1, REGISTER_1).attr_be32(2, *op as u32);
                m.nest(3, |m| {
                    m.attr(DATA_VALUE, value);
                });
            }
            Self::Immediate { register, value } => {
                m.attr_be32(1, *register).nest(2, |m| {
                    m.attr(DATA_VALUE, value);
                });
            }
            Self::Verdict(code) => {
                m.attr_be32(1, REGISTER_VERDICT).nest(2, |m| {
                    m.nest(DATA_VERDICT, |m| {
                        m.attr_be32(VERDICT_CODE, *code);
                    });
                });
            }
            Self::Nat { family } => {
                // NFTA_NAT_TYPE, _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN.
                m.attr_be32(1, NAT_DESTINATION)
                    .attr_be32(2, u32::from(*family));
                m.attr_be32(3, REGISTER_1).attr_be32(5, REGISTER_2);
            }
            Self::Counter | Self::Masquerade => {}
        }
    }
}
