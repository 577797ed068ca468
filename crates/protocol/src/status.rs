//! Statuses of `REFUSED`: number, meaning, whether trying again helps (`docs/PROTOCOL.md` §6).

use std::fmt;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a request was refused. Numbers that are not known yet are kept as they are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Status { $($(#[$doc])* $name,)* /** A number this version does not know. */ Other(u16) }

        impl Status {
            /// Every status that has a name.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* Self::Other(number) => number }
            }

            /// The status with this number.
            #[must_use]
            pub fn from_number(number: u16) -> Self {
                match number { $($number => Self::$name,)* other => Self::Other(other) }
            }
        }

        impl fmt::Display for Status {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => formatter.write_str($text),)*
                    Self::Other(number) => write!(formatter, "refused with status {number}"),
                }
            }
        }
    };
}

statuses! {
    /// Account or password is wrong, or the account may not log in: the reason is not told.
    LoginRefused = 100, "login refused";
    /// Too much at once; later it may work.
    Busy = 101, "the server is busy";
    /// No common protocol version.
    Version = 102, "no common protocol version";
    /// The password is right, but an administrator must set a new one first.
    ResetRequired = 103, "the password must be reset by the administrator";
    /// Too many failed logins from there, or for the account from places it is not known at.
    TooManyFailures = 104, "too many failed logins";
    /// The key of the connection does not open this account, or there is none: the reason is not
    /// told.
    KeyRefused = 105, "the server does not accept this key";
    /// The key of the connection was not enrolled; the text says why.
    NotEnrolled = 106, "the key was not enrolled";
    /// A further connection does not belong to a session: its token is none, or was used, or is too
    /// old.
    JoinRefused = 107, "the connection does not belong to a session";
    /// Nothing has this name.
    NotFound = 200, "no such file or directory";
    /// Something has this name.
    Exists = 201, "it exists already";
    /// A directory where a file was expected.
    IsDirectory = 202, "it is a directory";
    /// Something else where a directory was expected.
    NotDirectory = 203, "it is not a directory";
    /// The directory has entries.
    NotEmpty = 204, "the directory is not empty";
    /// A link, FIFO, socket or device.
    NotRegular = 205, "it is not a regular file or directory";
    /// The server's file system refuses.
    Denied = 206, "permission denied";
    /// The path breaks a rule.
    Path = 207, "the path is refused";
    /// Not possible for the home itself.
    Root = 208, "this cannot be done to the home itself";
    /// The key that logged in was not given that permission.
    Forbidden = 209, "this key may not do that";
    /// The account's limit is reached.
    Quota = 300, "over the quota";
    /// The server's disk is full.
    DiskFull = 301, "the server's disk is full";
    /// Larger than any file may be.
    TooLarge = 302, "the file is too large";
    /// The account may have no more files and directories.
    TooManyFiles = 303, "as many files and directories as the account may have";
    /// As many interrupted uploads are kept as may be.
    TooManyPartials = 304, "too many interrupted uploads are kept";
    /// The file changed while it was read.
    Changed = 400, "the file changed while it was being read";
    /// Bytes and digest do not agree.
    Integrity = 401, "what arrived does not have the digest it was sent with";
    /// A newer upload took over.
    Superseded = 402, "a newer upload to the same name took over";
    /// Another transfer to this path is ending.
    InUse = 403, "another transfer is writing to the same name";
    /// The transfer made no progress for too long.
    Stalled = 404, "the transfer stood still for too long";
    /// An error of the server.
    Internal = 500, "the server had an error; its log says which";
    /// The server is going down.
    ShuttingDown = 501, "the server is shutting down";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_number(status.number()), *status);
        }
        assert_eq!(Status::from_number(999).number(), 999);
    }

    #[test]
    fn the_document_lists_every_status() {
        let document = include_str!("../../../docs/PROTOCOL.md");
        for status in Status::ALL {
            assert!(document.contains(&format!("\n| {} | ", status.number())), "{status:?}");
        }
    }
}
