//! Control messages: CBOR maps with integer keys (`docs/PROTOCOL.md` §2), one encode and one decode
//! for each direction.
//!
//! Texts are only checked to be UTF-8 within bounds; what they mean (a path, an account) is checked
//! by whoever uses them, so that a bad path is refused and does not end the connection.

use minicbor::{Decode, Encode};

use super::frame::{FrameError, HEADER, Header, Kind};

mod answers;
mod requests;

pub use answers::{
    Accepted, AnnouncedKey, Entries, Entry, File, KeySignature, Keys, LoggedIn, Offer, Partial,
    PartialsAre, ReceiptIs, Refused, SizeRoot, TokensAre, UsageIs, Welcome,
};
pub use requests::{
    DiscardPartial, Enroll, Get, Hello, Join, List, Login, Partials, PathFlag, PathOnly, Put,
    PutSmall, ReceiptOf, Rename, SetMeta, Tokens,
};

/// Body of `USAGE`, `DONE` and `JOINED`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Empty {}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($variant:ident($body:ty),)* } with bytes { $($raw:ident($map:ty),)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is the frame type of the same name")]
        pub enum $name { $($variant($body),)* $($raw($map, Vec<u8>),)* }

        impl $name {
            /// The frame type that carries this message.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* $(Self::$raw(..) => Kind::$raw,)* }
            }

            /// The whole frame, header included.
            #[must_use]
            pub fn encode(&self, id: u32) -> Vec<u8> {
                match self {
                    $(Self::$variant(body) => frame(Kind::$variant, id, body, &[]),)*
                    $(Self::$raw(map, bytes) => frame(Kind::$raw, id, map, bytes),)*
                }
            }

            /// Reads the body of a frame of type `kind`.
            ///
            /// # Errors
            /// [`FrameError::Body`] for a body that is not the map of its type or has bytes behind
            /// it; [`FrameError::State`] for a type that carries no message of this direction.
            pub fn decode(kind: Kind, body: &[u8]) -> Result<Self, FrameError> {
                match kind {
                    $(Kind::$variant => map_only(kind, body).map(Self::$variant),)*
                    $(Kind::$raw => {
                        let (map, bytes) = map_and_bytes(kind, body)?;
                        Ok(Self::$raw(map, bytes.to_vec()))
                    })*
                    _ => Err(FrameError::State(kind)),
                }
            }
        }
    };
}

messages! {
    /// What a client may say, apart from the frames of a transfer.
    ClientMessage {
        Hello(Hello),
        Login(Login),
        Join(Join),
        Put(Put),
        Get(Get),
        List(List),
        Stat(PathOnly),
        MakeDirectory(PathFlag),
        Remove(PathFlag),
        Rename(Rename),
        Usage(Empty),
        DigestOf(PathOnly),
        Partials(Partials),
        DiscardPartial(DiscardPartial),
        SetMeta(SetMeta),
        ReceiptOf(ReceiptOf),
        Enroll(Enroll),
        Tokens(Tokens),
    } with bytes {
        PutSmall(PutSmall),
    }
}

messages! {
    /// What a server may say, apart from the frames of a transfer.
    ServerMessage {
        Welcome(Welcome),
        LoggedIn(LoggedIn),
        Keys(Keys),
        Joined(Empty),
        Accepted(Accepted),
        Offer(Offer),
        Entries(Entries),
        Entry(Entry),
        Done(Empty),
        UsageIs(UsageIs),
        DigestIs(SizeRoot),
        PartialsAre(PartialsAre),
        ReceiptIs(ReceiptIs),
        TokensAre(TokensAre),
        Committed(SizeRoot),
        Refused(Refused),
    } with bytes {
        File(File),
    }
}

/// Most bytes of an encoded `LOGIN` with a user name and password that a server of ours would look
/// at.
const LOGIN: usize = 4096;

fn frame<T: Encode<()>>(kind: Kind, id: u32, map: &T, bytes: &[u8]) -> Vec<u8> {
    // A secret is written once: a vector that grows leaves copies behind.
    let room = if kind == Kind::Login { LOGIN } else { HEADER };
    let mut frame = Vec::with_capacity(room);
    frame.resize(HEADER, 0);
    // Writing to a Vec cannot fail, and none of these bodies has an encoder that refuses a value.
    let _ = minicbor::encode(map, &mut frame);
    frame.extend_from_slice(bytes);
    let length = u32::try_from(frame.len() - HEADER).unwrap_or(u32::MAX);
    if let Some(header) = frame.first_chunk_mut::<HEADER>() {
        *header = Header::new(kind, id, length).encode();
    }
    frame
}

fn map_only<'b, T: Decode<'b, ()>>(kind: Kind, body: &'b [u8]) -> Result<T, FrameError> {
    match map_and_bytes(kind, body)? {
        (map, []) => Ok(map),
        _ => Err(FrameError::Body(kind)),
    }
}

fn map_and_bytes<'b, T: Decode<'b, ()>>(
    kind: Kind,
    body: &'b [u8],
) -> Result<(T, &'b [u8]), FrameError> {
    let mut decoder = minicbor::Decoder::new(body);
    let map = decoder.decode().map_err(|_| FrameError::Body(kind))?;
    let rest = body.get(decoder.position()..).ok_or(FrameError::Body(kind))?;
    Ok((map, rest))
}

#[cfg(test)]
mod tests;
