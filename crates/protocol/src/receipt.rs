//! What a server signs about a file that it holds (`docs/PROTOCOL.md` §11): the text, not the
//! signature.

use sealane_base::types::{Digest, RemotePath, Username};

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The account whose file it is.
    pub account: Username,
    /// Where the file is in its home.
    pub path: RemotePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its BLAKE3.
    pub root: Digest,
    /// When the server read it, in seconds since 1970 UTC.
    pub time: u64,
}

impl Receipt {
    /// The text that is signed: one line for each field. No account and no path can hold the end of
    /// a line.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { account, path, size, root, time } = self;
        format!("sealane receipt v1\n{account}\n{}\n{size}\n{root}\n{time}\n", path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_the_document_says() {
        let receipt = Receipt {
            account: Username::parse("ann").unwrap(),
            path: RemotePath::parse("/a b/é").unwrap(),
            size: 5,
            root: Digest([0xab; 32]),
            time: 1_790_000_000,
        };
        let root = "ab".repeat(32);
        let text = format!("sealane receipt v1\nann\na b/é\n5\n{root}\n1790000000\n");
        assert_eq!(receipt.text(), text);
        assert!(RemotePath::parse("a\nb").is_err() && Username::parse("a\nb").is_err());
    }
}
