//! One account record: the legacy JSON object, kept as it is.
//!
//! A record with something wrong in it can still be read, shown and repaired; each question about
//! it has its own answer or problem. Keys that are not ours stay, in their order.

use serde_json::{Map, Value};
use thiserror::Error;

use sealane_base::types::Username;
use sealane_base::types::text::{composed, printable};

use super::password::{PasswordProblem, StoredPassword};
use super::strict_json;

/// Longest record in bytes.
pub const MAX_RECORD: u64 = 64 * 1024;

const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const LIMIT: &str = "limitsize";
const HOME: &str = "homepath";
const DISABLED: &str = "disabled";
/// While the account is renamed: what it was called, and whether it was disabled.
const RENAMED: &str = "renamed_from";
const WAS_DISABLED: &str = "disabled_before";
const LAST_LOGIN: &str = "last_login";

/// An account record: a JSON object whose `username` has been checked.
#[derive(Clone, PartialEq)]
pub struct Record {
    name: Username,
    pub(super) fields: Map<String, Value>,
}

/// What is wrong with a record. It never quotes a password.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordProblem {
    /// `disabled` is something else than true or false.
    #[error("its disabled is neither true nor false")]
    Disabled,
    /// No bytes, or only white space.
    #[error("it is empty")]
    Empty,
    /// `homepath` is absent or not a text.
    #[error("its homepath is missing or not a text")]
    Home,
    /// Not JSON, a key twice, or nested too deep; the text says which.
    #[error("it is not JSON as expected: {0}")]
    Json(String),
    /// `limitsize` is absent.
    #[error("its limitsize is missing")]
    LimitMissing,
    /// `limitsize` is a text, a fraction, or beyond 64 bits.
    #[error("its limitsize is not a whole number of bytes")]
    LimitNotInteger,
    /// `limitsize` is 0 or negative: neither means unlimited.
    #[error("its limitsize is 0 or negative")]
    LimitNotPositive,
    /// JSON, but not an object.
    #[error("it is not a JSON object")]
    NotObject,
    /// `password` is not one of the three forms.
    #[error(transparent)]
    Password(#[from] PasswordProblem),
    /// `password` is absent or not a text.
    #[error("its password is missing or not a text")]
    PasswordMissing,
    /// It would be longer than [`MAX_RECORD`].
    #[error("it would be longer than {MAX_RECORD} bytes")]
    TooLong,
    /// `username` is absent, not a text, or not the name of the file.
    #[error("its username does not match the name of its file ('{0}')")]
    Username(String),
}

impl Record {
    /// A new record as Sealane writes it. `password` is a stored form, not a typed password.
    #[must_use]
    pub fn new(name: &Username, password: &str, quota: u64, home: &str) -> Self {
        let mut fields = Map::new();
        fields.insert(USERNAME.into(), name.as_str().into());
        fields.insert(PASSWORD.into(), password.into());
        fields.insert(LIMIT.into(), quota.into());
        fields.insert(HOME.into(), home.into());
        Self { name: name.clone(), fields }
    }

    /// Parses the record of the account `name`. A UTF-8 byte order mark is skipped.
    ///
    /// # Errors
    /// [`RecordProblem`] if it is not one JSON object with that `username`.
    pub fn parse(name: &Username, bytes: &[u8]) -> Result<Self, RecordProblem> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            return Err(RecordProblem::Empty);
        }
        let value = strict_json::parse(bytes)
            .map_err(|error| RecordProblem::Json(printable(&error.to_string())))?;
        let Value::Object(fields) = value else { return Err(RecordProblem::NotObject) };
        match fields.get(USERNAME) {
            Some(Value::String(text)) if *composed(text) == name.as_str() => {
                Ok(Self { name: name.clone(), fields })
            }
            _ => Err(RecordProblem::Username(name.to_string())),
        }
    }

    /// The record as a file's content: one line of JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // `Display` of a JSON value cannot fail.
        let mut text = Value::Object(self.fields.clone()).to_string();
        text.push('\n');
        text.into_bytes()
    }

    /// The account's name.
    #[must_use]
    pub fn name(&self) -> &Username {
        &self.name
    }

    /// The account's name as text.
    #[must_use]
    pub fn username(&self) -> &str {
        self.name.as_str()
    }

    /// The stored password as it is written, for compare-and-swap.
    ///
    /// # Errors
    /// [`RecordProblem::PasswordMissing`].
    pub fn password_text(&self) -> Result<&str, RecordProblem> {
        self.fields.get(PASSWORD).and_then(Value::as_str).ok_or(RecordProblem::PasswordMissing)
    }

    /// The stored password, parsed.
    ///
    /// # Errors
    /// [`RecordProblem::PasswordMissing`], [`RecordProblem::Password`].
    pub fn password(&self) -> Result<StoredPassword, RecordProblem> {
        Ok(StoredPassword::parse(self.password_text()?)?)
    }

    /// Most bytes the account may store; never 0.
    ///
    /// # Errors
    /// [`RecordProblem::LimitMissing`], [`RecordProblem::LimitNotInteger`],
    /// [`RecordProblem::LimitNotPositive`].
    pub fn quota(&self) -> Result<u64, RecordProblem> {
        let value = self.fields.get(LIMIT).ok_or(RecordProblem::LimitMissing)?;
        match (value.as_u64(), value.as_i64()) {
            (Some(bytes), _) if bytes > 0 => Ok(bytes),
            (None, None) => Err(RecordProblem::LimitNotInteger),
            _ => Err(RecordProblem::LimitNotPositive),
        }
    }

    /// The home as it is written, still to be mapped.
    ///
    /// # Errors
    /// [`RecordProblem::Home`].
    pub fn home_path(&self) -> Result<&str, RecordProblem> {
        self.fields.get(HOME).and_then(Value::as_str).ok_or(RecordProblem::Home)
    }

    /// True if the account is switched off.
    ///
    /// # Errors
    /// [`RecordProblem::Disabled`] if it says neither yes nor no.
    pub fn is_disabled(&self) -> Result<bool, RecordProblem> {
        match self.fields.get(DISABLED) {
            None => Ok(false),
            Some(Value::Bool(disabled)) => Ok(*disabled),
            Some(_) => Err(RecordProblem::Disabled),
        }
    }

    /// Day of the last login, if one was noted: `YYYY-MM-DD`. Anything else in its place is
    /// nothing.
    #[must_use]
    pub fn last_login(&self) -> Option<&str> {
        let is_day = |text: &&str| {
            text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        };
        self.fields.get(LAST_LOGIN).and_then(Value::as_str).filter(is_day)
    }

    /// Notes the day of a login, `YYYY-MM-DD`.
    pub fn set_last_login(&mut self, day: &str) {
        self.fields.insert(LAST_LOGIN.into(), day.into());
    }

    /// Replaces the stored password; `text` is a stored form.
    pub fn set_password(&mut self, text: &str) {
        self.fields.insert(PASSWORD.into(), text.into());
    }

    /// Replaces the quota, in bytes.
    pub fn set_quota(&mut self, bytes: u64) {
        self.fields.insert(LIMIT.into(), bytes.into());
    }

    /// The same account under another name and with another home, disabled until
    /// [`Record::end_rename`].
    #[must_use]
    pub fn renamed(&self, new: &Username, home: &str) -> Self {
        let mut renamed = Self { name: new.clone(), fields: self.fields.clone() };
        let fields = &mut renamed.fields;
        fields.insert(USERNAME.into(), new.as_str().into());
        fields.insert(HOME.into(), home.into());
        fields.insert(RENAMED.into(), self.username().into());
        fields.insert(WAS_DISABLED.into(), self.is_disabled().unwrap_or(true).into());
        renamed.set_disabled(true);
        renamed
    }

    /// What the account was called, while it is renamed.
    #[must_use]
    pub fn renamed_from(&self) -> Option<&str> {
        self.fields.get(RENAMED)?.as_str()
    }

    /// The account can be used under its new name.
    pub fn end_rename(&mut self) {
        if self.fields.shift_remove(RENAMED).is_some() {
            let was = self.fields.shift_remove(WAS_DISABLED);
            self.set_disabled(was.is_none_or(|was| was.as_bool().unwrap_or(true)));
        }
    }

    /// Switches the account off or on.
    pub fn set_disabled(&mut self, disabled: bool) {
        if disabled {
            self.fields.insert(DISABLED.into(), true.into());
        } else {
            // `remove` would move the last key into the gap.
            self.fields.shift_remove(DISABLED);
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Record({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: &str = r#"{"username": "ahpu", "password": "96e79218965eb72c92a549dd5a330112", "limitsize": 10240000, "homepath": "D:\\FTP\\home\\ahpu"}"#;

    fn parse(text: &str) -> Result<Record, RecordProblem> {
        Record::parse(&Username::parse("ahpu").unwrap(), text.as_bytes())
    }

    #[test]
    fn the_legacy_record_is_read() {
        for text in [LEGACY, &format!("\u{feff}{LEGACY}\r\n")] {
            let record = parse(text).unwrap();
            assert!(matches!(record.password(), Ok(StoredPassword::Md5(_))));
            assert_eq!(record.quota(), Ok(10_240_000));
            assert_eq!(record.home_path(), Ok(r"D:\FTP\home\ahpu"));
            assert_eq!(record.is_disabled(), Ok(false));
        }
    }

    #[test]
    fn keys_that_are_not_ours_stay_where_they_are() {
        let text = r#"{"z":[1,{"k":null}],"username":"ahpu","disabled":true,"password":"x","名":"é","limitsize":1,"homepath":""}"#;
        let mut record = parse(text).unwrap();
        assert_eq!(String::from_utf8(record.to_bytes()).unwrap(), format!("{text}\n"));
        record.set_password("y");
        record.set_quota(2);
        record.set_disabled(false);
        let expected = text
            .replace(r#""disabled":true,"#, "")
            .replace(r#""x""#, r#""y""#)
            .replace(r#""limitsize":1"#, r#""limitsize":2"#);
        assert_eq!(String::from_utf8(record.to_bytes()).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(parse(""), Err(RecordProblem::Empty));
        assert_eq!(parse(" \r\n"), Err(RecordProblem::Empty));
        assert_eq!(parse("[]"), Err(RecordProblem::NotObject));
        assert!(matches!(parse("{"), Err(RecordProblem::Json(_))));
        let twice = LEGACY.replace("\"limitsize\"", "\"password\"");
        assert!(parse(&twice).unwrap_err().to_string().contains("'password' appears twice"));
        for name in [r#""AHPU""#, r#""ahpu ""#, r#""ahpu\u0000x""#, "1", "null"] {
            let text = LEGACY.replace(r#""ahpu""#, name);
            assert_eq!(parse(&text), Err(RecordProblem::Username("ahpu".into())), "{name}");
        }
        assert_eq!(parse("{}"), Err(RecordProblem::Username("ahpu".into())));
    }

    #[test]
    fn no_limit_ever_means_unlimited() {
        for (limit, quota) in [
            ("1", Ok(1)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("0", Err(RecordProblem::LimitNotPositive)),
            ("-0", Err(RecordProblem::LimitNotInteger)),
            ("-1", Err(RecordProblem::LimitNotPositive)),
            ("18446744073709551616", Err(RecordProblem::LimitNotInteger)),
            ("1e7", Err(RecordProblem::LimitNotInteger)),
            ("10.0", Err(RecordProblem::LimitNotInteger)),
            ("\"10240000\"", Err(RecordProblem::LimitNotInteger)),
            ("null", Err(RecordProblem::LimitNotInteger)),
            ("true", Err(RecordProblem::LimitNotInteger)),
        ] {
            let record = parse(&LEGACY.replace("10240000", limit)).unwrap();
            assert_eq!(record.quota(), quota, "{limit}");
        }
        let absent = parse(&LEGACY.replace("limitsize", "limit")).unwrap();
        assert_eq!(absent.quota(), Err(RecordProblem::LimitMissing));
    }

    #[test]
    fn wrong_types_are_problems_of_their_key_alone() {
        let record =
            parse(r#"{"username":"ahpu","password":1,"homepath":[],"disabled":"no"}"#).unwrap();
        assert_eq!(record.password(), Err(RecordProblem::PasswordMissing));
        assert_eq!(record.home_path(), Err(RecordProblem::Home));
        assert_eq!(record.is_disabled(), Err(RecordProblem::Disabled));
    }

    #[test]
    fn debug_shows_no_password() {
        assert_eq!(format!("{:?}", parse(LEGACY).unwrap()), "Record(ahpu)");
    }
}
