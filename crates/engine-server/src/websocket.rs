//! `GET /containers/{id}/attach/ws`: attach for browsers (RFC 6455). Output is raw, not framed by stream, as in Docker.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use engine_api::options::AttachSession;
use engine_api::{Error, Result, base64};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::call::Call;
use super::reply::Reply;
use super::reply::header_value;
use super::version::ApiVersion;
use super::{attach, hijack};

/// What RFC 6455 appends to the client's key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest message a client may send, in bytes; typing is shorter.
const MAX_MESSAGE_BYTES: u64 = 1 << 20;
/// Longest payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL_BYTES: usize = 125;
/// Control frames that wait for the writer; more are dropped.
const CONTROL_DEPTH: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Data,
    Close,
    Ping,
    Pong,
}

/// Attaches and takes the connection over.
pub(super) async fn attach(call: Call, id: &str) -> Result<Reply> {
    // Docker looks for the container before it looks at the handshake.
    call.engine.container_inspect(id, false).await?;
    if !call.header("upgrade").eq_ignore_ascii_case("websocket")
        || call.header("sec-websocket-version") != "13"
    {
        return Err(Error::bad_parameter("not a websocket handshake"));
    }
    let key = call.header("sec-websocket-key");
    if key.is_empty() {
        return Err(Error::bad_parameter("websocket handshake has no key"));
    }
    let accept = accept(key);
    let session = call
        .engine
        .container_attach(id, attach::options(&call))
        .await?;
    let mut reply = hijack::switch("", "websocket")?;
    reply
        .headers_mut()
        .insert("sec-websocket-accept", header_value(&accept)?);
    // Text frames must be UTF-8, which output need not be; old clients expect them all the same.
    let opcode = if call.version >= ApiVersion(1, 28) {
        2
    } else {
        1
    };
    let upgrade = call.upgrade;
    engine_api::tasks::spawn(async move {
        if let Ok((stream, early)) = hijack::take_over(upgrade).await {
            pump(stream, early, session, opcode).await;
        }
    });
    Ok(reply)
}

/// What proves that the handshake was understood (RFC 6455, section 4.2.2).
fn accept(key: &str) -> String {
    base64::encode(&Sha1::digest(format!("{key}{GUID}")))
}

async fn pump(stream: UnixStream, early: Bytes, session: AttachSession, opcode: u8) {
    let (reader, writer) = stream.into_split();
    let (control, controls) = mpsc::channel(CONTROL_DEPTH);
    let AttachSession { input, output, .. } = session;
    let input = read(reader, early, input, control);
    let output = write(writer, output, controls, opcode);
    tokio::pin!(input);
    tokio::select! {
        // Errors end the session, as a close does.
        _ = &mut input => {}
        written = output => if written.is_ok() {
            hijack::take_the_rest(input).await;
        }
    }
}

async fn read(
    mut reader: OwnedReadHalf,
    early: Bytes,
    mut input: Option<mpsc::Sender<Bytes>>,
    control: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let mut buffer = BytesMut::from(early);
    loop {
        while let Some((opcode, payload)) = take_frame(&mut buffer)? {
            match opcode {
                Opcode::Data => {
                    let closed = match &input {
                        Some(sender) => sender.send(payload).await.is_err(),
                        None => false,
                    };
                    if closed {
                        input = None;
                    }
                }
                // A full queue means the client does not read: its ping can wait for the next one.
                Opcode::Ping => drop(control.try_send(payload)),
                Opcode::Pong => {}
                Opcode::Close => return Ok(()),
            }
        }
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut output: mpsc::Receiver<engine_api::options::OutputChunk>,
    mut controls: mpsc::Receiver<Bytes>,
    opcode: u8,
) -> io::Result<()> {
    loop {
        let frame = tokio::select! {
            Some(ping) = controls.recv() => encode(10, &ping),
            chunk = output.recv() => match chunk {
                Some((_, bytes)) => encode(opcode, &bytes),
                None => break,
            },
        };
        writer.write_all(&frame).await?;
    }
    // Status 1000: the container has ended.
    writer
        .write_all(&encode(8, &1000_u16.to_be_bytes()))
        .await?;
    writer.shutdown().await
}

/// A whole message in one frame; servers do not mask.
fn encode(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => frame.put_u8(u8::try_from(short).unwrap_or(125)),
        medium @ 126..=0xffff => {
            frame.put_u8(126);
            frame.put_u16(u16::try_from(medium).unwrap_or(u16::MAX));
        }
        long => {
            frame.put_u8(127);
            frame.put_u64(long as u64);
        }
    }
    frame.extend_from_slice(payload);
    frame.freeze()
}

/// Takes the next whole frame of a client, unmasked. Continuations are data like the frames they continue.
fn take_frame(buffer: &mut BytesMut) -> io::Result<Option<(Opcode, Bytes)>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut header = &buffer[..];
    if header.len() < 2 {
        return Ok(None);
    }
    let (first, second) = (header.get_u8(), header.get_u8());
    let opcode = match first & 0x0f {
        0..=2 => Opcode::Data,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(invalid("unknown opcode")),
    };
    if second & 0x80 == 0 {
        return Err(invalid("client's frame is not masked"));
    }
    let length = match second & 0x7f {
        126 if header.len() < 2 => return Ok(None),
        126 => u64::from(header.get_u16()),
        127 if header.len() < 8 => return Ok(None),
        127 => header.get_u64(),
        short => u64::from(short),
    };
    let limit = if opcode == Opcode::Data {
        MAX_MESSAGE_BYTES
    } else {
        MAX_CONTROL_BYTES as u64
    };
    if length > limit {
        return Err(invalid("frame is too long"));
    }
    let length = usize::try_from(length).map_err(|_| invalid("frame is too long"))?;
    if header.len() < 4 + length {
        return Ok(None);
    }
    let mut mask = [0; 4];
    header.copy_to_slice(&mut mask);
    let start = buffer.len() - header.len();
    buffer.advance(start);
    let mut payload = buffer.split_to(length);
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok(Some((opcode, payload.freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6455_examples() {
        let accept = accept("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(
            &encode(1, b"Hello")[..],
            &[0x81, 5, b'H', b'e', b'l', b'l', b'o']
        );
        let masked = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        for cut in 0..masked.len() {
            let mut buffer = BytesMut::from(&masked[..cut]);
            assert_eq!(take_frame(&mut buffer).unwrap(), None);
        }
        let mut buffer = BytesMut::from(&masked[..]);
        assert_eq!(
            take_frame(&mut buffer).unwrap(),
            Some((Opcode::Data, Bytes::from("Hello")))
        );
        assert!(buffer.is_empty());
    }

    #[test]
    fn hostile_frames_are_refused() {
        for bytes in [
            &[0x82, 5][..],
            &[0x83, 0x80, 0, 0, 0, 0],
            &[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x89, 0xfe, 1, 0],
        ] {
            assert!(take_frame(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn lengths_have_three_forms() {
        assert_eq!(encode(2, &[0; 125])[1], 125);
        assert_eq!(encode(2, &[0; 126])[1..4], [126, 0, 126]);
        assert_eq!(
            encode(2, &vec![0; 0x1_0000])[1..10],
            [127, 0, 0, 0, 0, 0, 1, 0, 0]
        );
    }
}
