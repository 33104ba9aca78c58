//! Questions to VMware's hypervisor: messages in words of four bytes, one question and one answer each (facts of the protocol in
//! open-vm-tools' guest_msg_def.h and in Linux's drivers/gpu/drm/vmwgfx/vmwgfx_msg.c).

use sys::vmware::Registers;

/// The command of messages, in the lower half of `ecx`; its upper half has one of the following.
const MESSAGE: u32 = 30;
const OPEN: u32 = 0;
const SEND_SIZE: u32 = 1;
const SEND_WORD: u32 = 2;
const RECEIVE_SIZE: u32 = 3;
const RECEIVE_WORD: u32 = 4;
const RECEIVE_STATUS: u32 = 5;
const CLOSE: u32 = 6;

/// Bits of the answer in the upper half of `ecx`.
const SUCCESS: u32 = 1;
const HAS_ANSWER: u32 = 2;
/// The machine was suspended or moved in between: the question is to be asked again.
const CHECKPOINT: u32 = 16;

/// Questions and answers of the guest ("RPCI"), and that both ends use a cookie.
const PROTOCOL: u32 = 0x4943_5052;
const COOKIE: u32 = 0x8000_0000;

/// Longest answer that is taken, in bytes: user data has its own limit below this.
const LONGEST: u32 = 16 << 20;
/// How often a question is asked again.
const TRIES: usize = 3;

/// The port: registers in, registers out; none where there is no port.
pub trait Port {
    /// Reads it once.
    fn call(&mut self, registers: Registers) -> Option<Registers>;
}

/// The hypervisor's.
#[derive(Debug)]
pub struct Backdoor;

impl Port for Backdoor {
    fn call(&mut self, registers: Registers) -> Option<Registers> {
        sys::vmware::call(registers)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// This processor does not have the port.
    NoPort,
    /// The hypervisor does not open a channel: it is another one, or the port is switched off.
    NoChannel,
    /// It stopped in the middle.
    Broken,
    /// The answer is longer than any that is expected.
    TooLong,
    /// The machine was suspended meanwhile.
    Interrupted,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoPort => "this processor does not have VMware's port",
            Self::NoChannel => "the hypervisor does not open a channel",
            Self::Broken => "the hypervisor broke off an answer",
            Self::TooLong => "the hypervisor's answer is too long",
            Self::Interrupted => "the machine was suspended while it asked",
        })
    }
}

/// A channel, which is closed when this is dropped.
#[derive(Debug)]
pub struct Channel<P: Port> {
    port: P,
    /// Its number in the upper half of `edx`, and the cookie in `esi` and `edi`.
    own: Registers,
}

impl<P: Port> Channel<P> {
    /// Opens one.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn open(mut port: P) -> Result<Channel<P>, Failure> {
        let question = Registers {
            b: PROTOCOL | COOKIE,
            c: MESSAGE | OPEN << 16,
            ..Registers::default()
        };
        let answer = port.call(question).ok_or(Failure::NoPort)?;
        if answer.c >> 16 & SUCCESS == 0 {
            return Err(Failure::NoChannel);
        }
        let own = Registers {
            d: answer.d & 0xffff_0000,
            si: answer.si,
            di: answer.di,
            ..Registers::default()
        };
        Ok(Channel { port, own })
    }

    /// The value of a key, as the machine's settings have it (`guestinfo.NAME`); none when it is not set.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn value(&mut self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let question = format!("info-get {key}");
        let mut result = self.ask(question.as_bytes());
        for _ in 1..TRIES {
            if result != Err(Failure::Interrupted) {
                break;
            }
            result = self.ask(question.as_bytes());
        }
        let answer = result?;
        // `1 VALUE`, or `0 ` and words about why not.
        Ok(answer.strip_prefix(b"1 ").map(<[u8]>::to_vec))
    }

    fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, Failure> {
        let size = u32::try_from(question.len()).map_err(|_| Failure::TooLong)?;
        self.step(SEND_SIZE, size)?;
        for word in question.chunks(4) {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            self.step(SEND_WORD, u32::from_le_bytes(bytes))?;
        }
        let answer = self.step(RECEIVE_SIZE, 0)?;
        if answer.c >> 16 & HAS_ANSWER == 0 || answer.d >> 16 != SEND_SIZE {
            return Err(Failure::Broken);
        }
        let size = answer.b;
        if size > LONGEST {
            return Err(Failure::TooLong);
        }
        let mut text = Vec::new();
        while text.len() < size as usize {
            let answer = self.step(RECEIVE_WORD, SUCCESS)?;
            if answer.d >> 16 != SEND_WORD {
                return Err(Failure::Broken);
            }
            text.extend(answer.b.to_le_bytes());
        }
        text.truncate(size as usize);
        self.step(RECEIVE_STATUS, SUCCESS)?;
        Ok(text)
    }

    fn step(&mut self, kind: u32, value: u32) -> Result<Registers, Failure> {
        let question = Registers {
            b: value,
            c: MESSAGE | kind << 16,
            ..self.own
        };
        let answer = self.port.call(question).ok_or(Failure::NoPort)?;
        match answer.c >> 16 {
            status if status & CHECKPOINT != 0 => Err(Failure::Interrupted),
            status if status & SUCCESS != 0 => Ok(answer),
            _ => Err(Failure::Broken),
        }
    }
}

impl<P: Port> Drop for Channel<P> {
    fn drop(&mut self) {
        // The hypervisor closes it after a while by itself.
        let _ = self.step(CLOSE, 0);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A hypervisor with these settings, as strict as the protocol.
    #[derive(Debug, Default)]
    pub(crate) struct Fake {
        pub(crate) settings: BTreeMap<String, Vec<u8>>,
        /// Before this many steps it says that the machine was suspended.
        interrupted: usize,
        /// The number of bytes that its answers claim.
        claims: Option<u32>,
        is_open: bool,
        expected: usize,
        question: Vec<u8>,
        answer: Vec<u8>,
        taken: usize,
    }

    impl Fake {
        fn answer(&mut self) {
            let text = String::from_utf8(std::mem::take(&mut self.question)).unwrap();
            let key = text.strip_prefix("info-get ").unwrap();
            self.answer = match self.settings.get(key) {
                Some(value) => [b"1 ", value.as_slice()].concat(),
                None => b"0 No value found".to_vec(),
            };
            self.taken = 0;
        }
    }

    impl Port for &mut Fake {
        fn call(&mut self, asked: Registers) -> Option<Registers> {
            assert_eq!(asked.c & 0xffff, 30);
            let mut answer = asked;
            let kind = asked.c >> 16;
            let mut status = 1;
            if kind != 0 {
                assert!(self.is_open, "the channel is not open");
                assert_eq!((asked.d >> 16, asked.si, asked.di), (5, 0x1111, 0x2222));
            }
            match kind {
                0 => {
                    assert_eq!(asked.b, 0xc943_5052);
                    self.is_open = true;
                    (answer.d, answer.si, answer.di) = (5 << 16, 0x1111, 0x2222);
                }
                1 => {
                    self.expected = asked.b as usize;
                    self.question.clear();
                }
                2 => {
                    self.question.extend(asked.b.to_le_bytes());
                    if self.question.len() >= self.expected {
                        self.question.truncate(self.expected);
                        self.answer();
                    }
                }
                3 => {
                    status |= 2;
                    answer.d = 1 << 16;
                    answer.b = self
                        .claims
                        .unwrap_or(u32::try_from(self.answer.len()).unwrap());
                }
                4 => {
                    assert_eq!(asked.b, 1);
                    let mut word = [0; 4];
                    let rest = &self.answer[self.taken.min(self.answer.len())..];
                    let length = rest.len().min(4);
                    word[..length].copy_from_slice(&rest[..length]);
                    self.taken += length;
                    if length == 0 {
                        status = 0;
                    }
                    answer.d = 2 << 16;
                    answer.b = u32::from_le_bytes(word);
                }
                5 => {
                    if self.interrupted > 0 {
                        self.interrupted -= 1;
                        status |= 16;
                    }
                }
                6 => self.is_open = false,
                other => panic!("{other}"),
            }
            answer.c = asked.c & 0xffff | status << 16;
            Some(answer)
        }
    }

    #[test]
    fn values_of_every_length_come_whole() {
        let mut fake = Fake::default();
        for length in 0..9 {
            let value = (0..length).collect::<Vec<u8>>();
            fake.settings.insert(format!("guestinfo.{length}"), value);
        }
        let mut channel = Channel::open(&mut fake).unwrap();
        for length in 0..9 {
            let value = channel.value(&format!("guestinfo.{length}")).unwrap();
            assert_eq!(value, Some((0..length).collect()));
        }
        assert_eq!(channel.value("guestinfo.none").unwrap(), None);
        drop(channel);
        assert!(!fake.is_open);
    }

    #[test]
    fn what_is_not_an_answer_is_none() {
        #[derive(Debug)]
        struct Deaf;
        impl Port for Deaf {
            fn call(&mut self, asked: Registers) -> Option<Registers> {
                // QEMU's port leaves registers as they are.
                Some(asked)
            }
        }
        assert_eq!(Channel::open(Deaf).unwrap_err(), Failure::NoChannel);
        let mut fake = Fake {
            claims: Some(u32::MAX),
            ..Fake::default()
        };
        let mut channel = Channel::open(&mut fake).unwrap();
        assert_eq!(channel.value("a").unwrap_err(), Failure::TooLong);
        drop(channel);
        fake.claims = Some(64);
        let mut channel = Channel::open(&mut fake).unwrap();
        assert_eq!(channel.value("a").unwrap_err(), Failure::Broken);
    }

    #[test]
    fn a_machine_that_was_moved_meanwhile_asks_again() {
        let mut fake = Fake {
            interrupted: 2,
            ..Fake::default()
        };
        fake.settings.insert("k".into(), b"value".to_vec());
        let mut channel = Channel::open(&mut fake).unwrap();
        assert_eq!(channel.value("k").unwrap().unwrap(), b"value");
        drop(channel);
        fake.interrupted = 9;
        let mut channel = Channel::open(&mut fake).unwrap();
        assert_eq!(channel.value("k").unwrap_err(), Failure::Interrupted);
    }
}
