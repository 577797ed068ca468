//! Bodies of what a client says.

use minicbor::{Decode, Encode};

use super::ClientMessage;
use sealane_base::types::{Digest, Secret};

/// Body of `HELLO`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// Version of the protocol; any other than [`VERSION`](crate::VERSION) is refused.
    #[n(0)]
    pub version: u64,
    /// Program and version, for the log.
    #[n(1)]
    pub agent: Option<String>,
    /// Numbers of features the client knows beyond the version. None is defined.
    #[n(2)]
    pub features: Option<Vec<u64>>,
}

/// Body of `LOGIN`. It has no `Debug`: it holds a password.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Login {
    /// Account name as typed.
    #[n(0)]
    pub user: String,
    /// Password as typed; without one, the key that the connection's handshake proved is meant.
    #[n(1)]
    #[cbor(with = "secret", has_nil)]
    pub password: Option<Secret>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Login(***)")
    }
}

/// A text that is wiped from memory when it is dropped.
mod secret {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    use sealane_base::types::Secret;

    pub(super) fn encode<C, W: Write>(
        value: &Option<Secret>,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match value {
            Some(secret) => encoder.str(secret.expose())?.ok(),
            None => encoder.null()?.ok(),
        }
    }

    pub(super) fn decode<C>(
        decoder: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Option<Secret>, decode::Error> {
        if decoder.datatype()? == minicbor::data::Type::Null {
            decoder.null()?;
            return Ok(None);
        }
        Ok(Some(Secret::new(decoder.str()?.to_owned())))
    }

    pub(super) fn nil() -> Option<Option<Secret>> {
        Some(None)
    }

    pub(super) fn is_nil(value: &Option<Secret>) -> bool {
        value.is_none()
    }
}

/// Body of `ENROLL`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Enroll {
    /// Whose key it is, for people; at most 128 bytes.
    #[n(0)]
    pub comment: Option<String>,
}

/// Body of `JOIN`. It has no `Debug`: it holds a token.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Join {
    /// As the server gave it.
    #[n(0)]
    pub token: Digest,
    /// That this is the connection the session means ([`join::proof`](crate::join::proof)).
    #[n(1)]
    pub proof: Digest,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Join(***)")
    }
}

/// Body of `TOKENS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tokens {
    /// How many are wanted.
    #[n(0)]
    pub count: u8,
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

/// Body of `GET`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Get {
    /// The path.
    #[n(0)]
    pub path: String,
    /// Claims will follow.
    #[n(1)]
    pub claims: bool,
    /// The client answers `SEEK`.
    #[n(2)]
    pub pieces: Option<bool>,
    /// Only if the file has at most [`limits::AT_ONCE`](crate::limits::AT_ONCE) bytes.
    #[n(3)]
    pub small: Option<bool>,
}

/// A path and a choice: body of `MAKE_DIRECTORY` (parents too) and `REMOVE` (with all it holds).
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
    /// All of it, in any order and in as many `ENTRIES` as it takes.
    #[n(2)]
    pub whole: Option<bool>,
}

/// Body of `STAT` and `DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PathOnly {
    /// The path.
    #[n(0)]
    pub path: String,
}

/// Body of `SET_META`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SetMeta {
    /// The file or directory.
    #[n(0)]
    pub path: String,
    /// Modification time, nanoseconds since 1970 UTC; as it is if missing.
    #[n(1)]
    pub modified: Option<i64>,
    /// Permission bits; as they are if missing.
    #[n(2)]
    pub mode: Option<u32>,
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

/// Body of `PARTIALS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Partials {
    /// Only ids greater than this one, bytewise.
    #[n(0)]
    pub after: Option<String>,
}

/// Body of `DISCARD_PARTIAL`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DiscardPartial {
    /// The partial's id.
    #[n(0)]
    pub id: String,
}

/// Body of `RECEIPT`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReceiptOf {
    /// The file.
    #[n(0)]
    pub path: String,
    /// Pin of the key to sign with; another one signs if the server does not have it.
    #[n(1)]
    pub pin: Option<Digest>,
}

impl ClientMessage {
    /// The path that it is about, and the one that something is to get, as they were sent.
    #[must_use]
    pub fn paths(&self) -> (Option<&str>, Option<&str>) {
        let path = match self {
            Self::Put(Put { path, .. })
            | Self::PutSmall(PutSmall { path, .. }, _)
            | Self::Get(Get { path, .. })
            | Self::List(List { path, .. })
            | Self::Stat(PathOnly { path })
            | Self::DigestOf(PathOnly { path })
            | Self::MakeDirectory(PathFlag { path, .. })
            | Self::Remove(PathFlag { path, .. })
            | Self::SetMeta(SetMeta { path, .. })
            | Self::ReceiptOf(ReceiptOf { path, .. }) => path,
            Self::Rename(Rename { from, to, .. }) => return (Some(from), Some(to)),
            Self::DiscardPartial(DiscardPartial { id }) => id,
            _ => return (None, None),
        };
        (Some(path), None)
    }
}
