//! Receipts as they are kept: what a server signed about files that it held, in a file of text.
//!
//! Whose key it is that signed is told and not judged here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::session::SessionError;
use sealane_base::types::text::json_printable;
use sealane_base::types::{Digest, Pin, RemotePath, Username};
use sealane_protocol::message::ReceiptIs;
use sealane_protocol::receipt::Receipt;
use sealane_tls::is_signed;

/// A receipt is not what it should be.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// The text is no receipt.
    #[error("not a receipt: {0}")]
    Form(String),
    /// The signature does not fit.
    #[error("the signature is not that of the key over this account, path, size, root and time")]
    Signature,
    /// The server signed something else.
    #[error("the server signed {signed} of {size} bytes, and {sent} was sent")]
    Other {
        /// Root that was signed.
        signed: Digest,
        /// Size that was signed.
        size: u64,
        /// Root that was committed.
        sent: Digest,
    },
    /// A key that is not trusted signed.
    #[error("it is signed with the key {0}, which is not one of the server's that are trusted")]
    Key(Pin),
    /// A key signed that is not one of the server that the file names.
    #[error("it is signed with the key {pin} of {signer}, and says that it is of {named}")]
    Server {
        /// Which key.
        pin: Pin,
        /// Whose key it is.
        signer: String,
        /// The server that the file names.
        named: String,
    },
    /// There is none.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A receipt and the signature under it, which is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What was signed.
    pub receipt: Receipt,
    /// DER SubjectPublicKeyInfo of the signer.
    public_key: Vec<u8>,
    signature: Vec<u8>,
}

/// A path as a file of receipts has it, and what it says of that path if its signature is good.
pub type ReadReceipt = (String, Result<SignedReceipt, ReceiptError>);

/// The file that receipts are kept in.
#[derive(Debug, Serialize, Deserialize)]
struct Paper {
    sealane_receipt: u32,
    server: String,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    account: String,
    path: String,
    size: u64,
    root: String,
    time: u64,
    key: String,
    signature: String,
}

impl SignedReceipt {
    /// Checks the signature under what a server answered about `path`.
    ///
    /// # Errors
    /// [`ReceiptError::Signature`], [`ReceiptError::Form`] for an account that cannot be.
    pub fn new(path: &RemotePath, answer: ReceiptIs) -> Result<Self, ReceiptError> {
        let ReceiptIs { account, size, root, time, public_key, signature } = answer;
        let account = Username::parse(&account).map_err(form)?;
        let receipt = Receipt { account, path: path.clone(), size, root, time };
        Self { receipt, public_key, signature }.checked()
    }

    fn checked(self) -> Result<Self, ReceiptError> {
        let text = self.receipt.text();
        match is_signed(&self.public_key, text.as_bytes(), &self.signature) {
            true => Ok(self),
            false => Err(ReceiptError::Signature),
        }
    }

    /// Which key signed.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_public_key(&self.public_key)
    }

    /// The text of a file with receipts of `server`, which is a remark and not signed.
    #[must_use]
    pub fn write_all(server: &str, receipts: &[Self]) -> String {
        let files = receipts.iter().map(Entry::of).collect();
        let paper = Paper { sealane_receipt: 1, server: server.to_owned(), files };
        json_printable(&serde_json::to_string_pretty(&paper).unwrap_or_default()) + "\n"
    }

    /// Reads such a file: the server that it names, which nobody signed, and for each receipt its
    /// path and whether it is good. Paths and server are as the file has them.
    ///
    /// # Errors
    /// [`ReceiptError::Form`] if it is no such file.
    pub fn read_all(text: &[u8]) -> Result<(String, Vec<ReadReceipt>), ReceiptError> {
        let paper: Paper = serde_json::from_slice(text).map_err(form)?;
        match paper.sealane_receipt {
            1 => {
                let read = |entry: Entry| (entry.path.clone(), entry.read());
                Ok((paper.server, paper.files.into_iter().map(read).collect()))
            }
            other => Err(form(format!("version {other} is not known"))),
        }
    }
}

impl Entry {
    fn of(signed: &SignedReceipt) -> Self {
        let Receipt { account, path, size, root, time } = &signed.receipt;
        Self {
            account: account.to_string(),
            path: path.as_str().to_owned(),
            size: *size,
            root: root.to_string(),
            time: *time,
            key: STANDARD.encode(&signed.public_key),
            signature: STANDARD.encode(&signed.signature),
        }
    }

    fn read(self) -> Result<SignedReceipt, ReceiptError> {
        let root = blake3::Hash::from_hex(&self.root).map_err(form)?;
        let receipt = Receipt {
            account: Username::parse(&self.account).map_err(form)?,
            path: RemotePath::parse(&self.path).map_err(form)?,
            size: self.size,
            root: Digest(*root.as_bytes()),
            time: self.time,
        };
        let public_key = STANDARD.decode(&self.key).map_err(form)?;
        let signature = STANDARD.decode(&self.signature).map_err(form)?;
        SignedReceipt { receipt, public_key, signature }.checked()
    }
}

fn form(error: impl std::fmt::Display) -> ReceiptError {
    ReceiptError::Form(sealane_base::types::text::printable(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealane_tls::{Identity, generate::key_pair};

    fn signed() -> SignedReceipt {
        let made = key_pair(time::OffsetDateTime::UNIX_EPOCH).unwrap();
        let key =
            Identity::from_pem(made.certificate_pem.as_bytes(), made.key_pem.expose().as_bytes());
        let (key, path) = (key.unwrap(), RemotePath::parse("d/f").unwrap());
        let (account, root) = (Username::parse("ann").unwrap(), Digest([7; 32]));
        let receipt = Receipt { account, path: path.clone(), size: 5, root, time: 9 };
        let answer = ReceiptIs {
            account: "ann".into(),
            size: 5,
            root,
            time: 9,
            public_key: key.public_key(),
            signature: key.sign(receipt.text().as_bytes()).unwrap(),
        };
        let signed = SignedReceipt::new(&path, answer).unwrap();
        assert_eq!((signed.pin(), &signed.receipt), (key.pin(), &receipt));
        signed
    }

    #[test]
    fn a_receipt_is_written_read_and_worth_nothing_once_a_field_was_changed() {
        let (one, other) = (signed(), signed());
        let text = SignedReceipt::write_all("host:1", std::slice::from_ref(&one));
        let (server, read) = SignedReceipt::read_all(text.as_bytes()).unwrap();
        assert_eq!((server.as_str(), read[0].1.as_ref().unwrap()), ("host:1", &one));
        let good: serde_json::Value = serde_json::from_str(&text).unwrap();
        let foreign: serde_json::Value =
            serde_json::from_str(&SignedReceipt::write_all("host:1", &[other])).unwrap();
        let root = "08".repeat(32);
        let changes = [
            ("account", "bob".into()),
            ("path", "d/g".into()),
            ("size", 6.into()),
            ("root", root.into()),
            ("time", 10.into()),
            ("key", foreign["files"][0]["key"].clone()),
            ("signature", foreign["files"][0]["signature"].clone()),
        ];
        for (field, value) in changes {
            let mut changed = good.clone();
            changed["files"][0][field] = value;
            let text = changed.to_string();
            let (_, read) = SignedReceipt::read_all(text.as_bytes()).unwrap();
            assert!(matches!(read[0].1, Err(ReceiptError::Signature)), "{field}");
        }
        for wrong in ["", "{}", "[]", r#"{"sealane_receipt":2,"server":"","files":[]}"#] {
            assert!(SignedReceipt::read_all(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
