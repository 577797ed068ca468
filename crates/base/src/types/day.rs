//! Days as people write them: `2027-01-31`, in UTC. `Display` of [`Date`] writes the same.

use time::{Date, Month};

/// Reads a day; `None` for anything that is not one, written exactly so.
#[must_use]
pub fn parse(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_written_so = text.len() == 10 && parts.next().is_none();
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    is_written_so.then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_back_and_nothing_else_does() {
        assert_eq!(parse("2027-01-31").unwrap().to_string(), "2027-01-31");
        for wrong in
            ["", "2027-1-31", "2027-02-29", "2027-01-31 ", "31.01.2027", "2027-01-31T00:00"]
        {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
