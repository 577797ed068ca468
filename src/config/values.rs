//! Values of single keys: read, checked, and if wrong refused with what was expected.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use time::Date;

use sealane_base::types::{Address, ListenAddress, Pin, day};
use sealane_core::accounts::PasswordEncoding;
use sealane_server::sandbox::Mode;
use sealane_tls::socket::Congestion;

/// A whole number from 1 to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count<const MAX: u32>(pub(super) u32);

impl<const MAX: u32> Count<MAX> {
    pub(super) fn seconds(self) -> Duration {
        Duration::from_secs(self.0.into())
    }

    pub(super) fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de, const MAX: u32> Deserialize<'de> for Count<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(CountVisitor)
    }
}

struct CountVisitor<const MAX: u32>;

impl<const MAX: u32> Visitor<'_> for CountVisitor<MAX> {
    type Value = Count<MAX>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a whole number from 1 to {MAX} (zero is not unlimited)")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match u32::try_from(value) {
            Ok(number) if (1..=MAX).contains(&number) => Ok(Count(number)),
            _ => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        // What does not fit is too large in any case.
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// One place to listen, or a list of them.
pub(super) fn listen_addresses<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<ListenAddress>, D::Error> {
    from.deserialize_any(ListenVisitor)
}

struct ListenVisitor;

impl<'de> Visitor<'de> for ListenVisitor {
    type Value = Vec<ListenAddress>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "an IP address and port such as 127.0.0.1:9901 or [::]:9901, a host name and port, \
             or a list of these",
        )
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        let parsed = ListenAddress::parse(value);
        parsed.map(|one| vec![one]).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut addresses = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            addresses.append(&mut Self.visit_str(&text)?);
        }
        match addresses.is_empty() {
            true => Err(A::Error::invalid_length(0, &self)),
            false => Ok(addresses),
        }
    }
}

pub(super) fn host_and_port<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Address>, D::Error> {
    text(from, "a host and port such as files.example.com:9901", |text| {
        let address = Address::parse(&format!("sealane://{text}")).ok()?;
        // Anything but host and port would not be what this key is for.
        let is_plain = !text.contains(['/', '?', '@']);
        is_plain.then_some(Some(address))
    })
}

pub(super) fn congestion<'de, D: Deserializer<'de>>(from: D) -> Result<Congestion, D::Error> {
    text(from, "\"bbr\" or \"system\"", |text| match text {
        "bbr" => Some(Congestion::Bbr),
        "system" => Some(Congestion::System),
        _ => None,
    })
}

pub(super) fn pin<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Pin>, D::Error> {
    text(from, "a pin such as `sealane-admin cert show` prints", |text| {
        Some(Some(Pin::parse(text).ok()?))
    })
}

pub(super) fn sandbox<'de, D: Deserializer<'de>>(from: D) -> Result<Mode, D::Error> {
    text(from, "\"off\", \"best-effort\" or \"required\"", |text| match text {
        "off" => Some(Mode::Off),
        "best-effort" => Some(Mode::BestEffort),
        "required" => Some(Mode::Required),
        _ => None,
    })
}

pub(super) fn day<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Date>, D::Error> {
    text(from, "a day such as 2027-01-31", |text| Some(Some(day::parse(text)?)))
}

pub(super) fn encodings<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<PasswordEncoding>, D::Error> {
    let expected = "some of \"utf-8\", \"gbk\", \"cp1252\", \"cp1251\", \"shift_jis\", \"euc-kr\" and \"big5\"";
    let names = Vec::<String>::deserialize(from)?;
    let encodings: Option<Vec<_>> =
        names.iter().map(|name| PasswordEncoding::parse(name)).collect();
    match encodings {
        Some(encodings) if (1..=PasswordEncoding::ALL.len()).contains(&encodings.len()) => {
            Ok(encodings)
        }
        _ => {
            let names = format!("{names:?}");
            Err(D::Error::invalid_value(Unexpected::Other(&names), &expected))
        }
    }
}

pub(super) fn optional_path<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    path(from).map(Some)
}

pub(super) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    text(from, "a path", |text| {
        let is_path = !text.is_empty() && !text.contains('\0');
        is_path.then(|| PathBuf::from(text))
    })
}

fn text<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
}
