//! Control messages: CBOR maps with integer keys (`docs/PROTOCOL.md` §2), one encode and one decode
//! for each direction.
//!
//! Texts are only checked to be UTF-8 within bounds; what they mean (a path, an account) is checked by
//! whoever uses them, so that a bad path is refused and does not end the connection.

use minicbor::{Decode, Encode};

use super::frame::{FrameError, HEADER, Header, Kind};
use super::status::Status;
use crate::types::Digest;

impl<C> Encode<C> for Digest {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Digest {
    fn decode(
        decoder: &mut minicbor::Decoder<'b>,
        _: &mut C,
    ) -> Result<Self, minicbor::decode::Error> {
        let bytes = decoder.bytes()?;
        bytes.try_into().map(Self).map_err(|_| minicbor::decode::Error::message("not 32 bytes"))
    }
}

/// Body of `HELLO`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// Highest protocol version the client speaks.
    #[n(0)]
    pub version: u16,
    /// Program and version, for the log.
    #[n(1)]
    pub agent: Option<String>,
}

/// Body of `LOGIN`. It has no `Debug`: it holds a password.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Login {
    /// Account name as typed.
    #[n(0)]
    pub user: String,
    /// Password as typed.
    #[n(1)]
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Login(***)")
    }
}

/// Body of `PUT`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Put {
    /// Where the file goes.
    #[n(0)]
    pub path: String,
    /// Its size in bytes.
    #[n(1)]
    pub size: u64,
    /// Base-2 logarithm of its chunk size.
    #[n(2)]
    pub chunk_log2: u8,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(3)]
    pub modified: Option<i64>,
    /// Permission bits.
    #[n(4)]
    pub mode: Option<u32>,
}

/// Map of `PUT_SMALL`; the file's bytes follow it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PutSmall {
    /// Where the file goes.
    #[n(0)]
    pub path: String,
    /// BLAKE3 of the bytes.
    #[n(1)]
    pub digest: Digest,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(3)]
    pub modified: Option<i64>,
    /// Permission bits.
    #[n(4)]
    pub mode: Option<u32>,
}

/// A path and a choice: body of `GET` (claims follow), `MAKE_DIRECTORY` (parents too) and `REMOVE`
/// (with all it holds).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PathFlag {
    /// The path.
    #[n(0)]
    pub path: String,
    /// The choice.
    #[n(1)]
    pub flag: bool,
}

/// Body of `LIST`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct List {
    /// The directory.
    #[n(0)]
    pub path: String,
    /// Only names greater than this one, bytewise.
    #[n(1)]
    pub after: Option<String>,
}

/// Body of `STAT` and `DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PathOnly {
    /// The path.
    #[n(0)]
    pub path: String,
}

/// Body of `RENAME`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rename {
    /// Present path.
    #[n(0)]
    pub from: String,
    /// New path.
    #[n(1)]
    pub to: String,
    /// A file at the new path may be replaced.
    #[n(2)]
    pub replace: bool,
}

/// Body of `USAGE` and `DONE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Empty {}

/// Body of `WELCOME`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Welcome {
    /// Version in force.
    #[n(0)]
    pub version: u16,
    /// Program and version of the server.
    #[n(1)]
    pub agent: Option<String>,
    /// Requests that may be unanswered.
    #[n(2)]
    pub max_requests: u32,
    /// Uploads and downloads among them.
    #[n(3)]
    pub max_transfers: u32,
}

/// Body of `LOGGED_IN`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LoggedIn {
    /// The account.
    #[n(0)]
    pub user: String,
}

/// Body of `ACCEPTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Accepted {
    /// Claims will follow.
    #[n(0)]
    pub claims: bool,
}

/// Body of `OFFER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Offer {
    /// Size in bytes.
    #[n(0)]
    pub size: u64,
    /// Base-2 logarithm of the chunk size.
    #[n(1)]
    pub chunk_log2: u8,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(2)]
    pub modified: Option<i64>,
    /// Permission bits.
    #[n(3)]
    pub mode: Option<u32>,
}

/// Map of `FILE`; the file's bytes follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct File {
    /// BLAKE3 of the bytes.
    #[n(0)]
    pub digest: Digest,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(2)]
    pub modified: Option<i64>,
    /// Permission bits.
    #[n(3)]
    pub mode: Option<u32>,
}

/// What is behind a name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// The name, one component.
    #[n(0)]
    pub name: String,
    /// 0 file, 1 directory, 2 symbolic link, 3 something else; a number, because it may grow.
    #[n(1)]
    pub kind: u8,
    /// Size in bytes.
    #[n(2)]
    pub size: u64,
    /// Modification time, nanoseconds since 1970 UTC.
    #[n(3)]
    pub modified: i64,
    /// Permission bits.
    #[n(4)]
    pub mode: u32,
}

/// Body of `ENTRIES`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entries {
    /// Sorted by name, bytewise.
    #[n(0)]
    pub entries: Vec<Entry>,
    /// There are more names after the last.
    #[n(1)]
    pub more: bool,
    /// Names in the directory that break the rules for paths and are left out.
    #[n(2)]
    pub hidden: u64,
}

/// Body of `USAGE_IS`, all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct UsageIs {
    /// Files and partials.
    #[n(0)]
    pub used: u64,
    /// Promised to uploads under way.
    #[n(1)]
    pub reserved: u64,
    /// The account's limit.
    #[n(2)]
    pub limit: u64,
}

/// Body of `DIGEST_IS` and `COMMITTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SizeRoot {
    /// Size in bytes.
    #[n(0)]
    pub size: u64,
    /// BLAKE3 of the file.
    #[n(1)]
    pub root: Digest,
}

/// Body of `REFUSED`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refused {
    /// Number of the status.
    #[n(0)]
    pub number: u16,
    /// For people.
    #[n(1)]
    pub text: String,
    /// Bytes short, with `Quota` and `DiskFull`.
    #[n(2)]
    pub short: Option<u64>,
    /// The account's limit in bytes, with `Quota`.
    #[n(3)]
    pub limit: Option<u64>,
}

impl Refused {
    /// A refusal with the status's own text.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self { number: status.number(), text: status.to_string(), short: None, limit: None }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::from_number(self.number)
    }
}

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
        Put(Put),
        Get(PathFlag),
        List(List),
        Stat(PathOnly),
        MakeDirectory(PathFlag),
        Remove(PathFlag),
        Rename(Rename),
        Usage(Empty),
        DigestOf(PathOnly),
    } with bytes {
        PutSmall(PutSmall),
    }
}

messages! {
    /// What a server may say, apart from the frames of a transfer.
    ServerMessage {
        Welcome(Welcome),
        LoggedIn(LoggedIn),
        Accepted(Accepted),
        Offer(Offer),
        Entries(Entries),
        Entry(Entry),
        Done(Empty),
        UsageIs(UsageIs),
        DigestIs(SizeRoot),
        Committed(SizeRoot),
        Refused(Refused),
    } with bytes {
        File(File),
    }
}

fn frame<T: Encode<()>>(kind: Kind, id: u32, map: &T, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER];
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
