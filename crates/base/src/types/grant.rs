//! What somebody may do with a home: three permissions, and perhaps only a part of the home.
//!
//! `accounts` says who has which, `storage` keeps everybody to theirs.

use std::fmt;

use thiserror::Error;

use super::{Pin, RemotePath};

/// One thing that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To learn what files hold, digests included.
    Read,
    /// To bring files, to replace, move and remove what is there.
    Write,
    /// To see names, sizes, times and how much is used.
    List,
}

impl Permission {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::List];

    const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::List => 4,
        }
    }
}

/// A set of permissions. `Display` and [`Permissions::parse`] agree: `read,write,list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(u8);

/// The text names no permissions.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no list of permissions: expected some of read,write,list")]
pub struct PermissionsError(String);

impl Permissions {
    /// Everything.
    pub const ALL: Self = Self(7);

    /// Exactly these.
    #[must_use]
    pub fn of(permissions: &[Permission]) -> Self {
        Self(permissions.iter().fold(0, |bits, permission| bits | permission.bit()))
    }

    /// Reads words between commas: at least one, none twice, nothing else.
    ///
    /// # Errors
    /// [`PermissionsError`], which repeats the text made printable.
    pub fn parse(text: &str) -> Result<Self, PermissionsError> {
        let error = || PermissionsError(super::text::printable(text));
        text.split(',').try_fold(Self(0), |set, word| {
            let named = Permission::ALL.into_iter().find(|permission| permission.word() == word);
            match named {
                Some(permission) if !set.allows(permission) => Ok(Self(set.0 | permission.bit())),
                _ => Err(error()),
            }
        })
    }

    /// True if `permission` is one of them.
    #[must_use]
    pub const fn allows(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Permission::ALL.into_iter().filter(|permission| self.allows(*permission));
        formatter.write_str(&words.map(Permission::word).collect::<Vec<_>>().join(","))
    }
}

/// What one login may do with the home of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What may be done.
    pub permissions: Permissions,
    /// The part of the home that is all of it for this login; the empty path is the whole home.
    pub root: RemotePath,
    /// The key that logged in, if one did.
    pub key: Option<Pin>,
}

impl Grant {
    /// Everything in the whole home, as a password has it.
    #[must_use]
    pub fn full() -> Self {
        Self { permissions: Permissions::ALL, root: RemotePath::default(), key: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_back_in_any_order_and_nothing_else_does() {
        for bits in 1..8 {
            let set = Permissions(bits);
            assert_eq!(Permissions::parse(&set.to_string()), Ok(set));
        }
        assert_eq!(Permissions::parse("list,read").unwrap().to_string(), "read,list");
        assert_eq!(Permissions::of(&[Permission::Write]).to_string(), "write");
        for wrong in ["", ",", "read,", "read,read", "READ", "all", "read write", "read, list"] {
            assert!(Permissions::parse(wrong).is_err(), "{wrong}");
        }
    }
}
