//! Which part of a file a `Range` header asks for (RFC 9110, section 14).

/// What is to be sent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// From the first byte, so many.
    Some(u64, u64),
    /// None of it can be.
    Unsatisfiable,
}

/// What `range` asks for of a file of `size` bytes. Anything but one range of bytes means the whole
/// file, as the RFC allows: so a thousand ranges cost what one request costs.
pub(super) fn part(range: &str, size: u64) -> Part {
    read(range, size).unwrap_or(Part::Whole)
}

fn read(range: &str, size: u64) -> Option<Part> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some(if length == 0 {
            Part::Unsatisfiable
        } else {
            Part::Some(size - length, length)
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    if first >= size {
        return Some(Part::Unsatisfiable);
    }
    Some(Part::Some(first, last.min(size - 1) - first + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_what_it_says_and_all_else_is_the_whole_file() {
        for (range, expected) in [
            ("bytes=0-0", Part::Some(0, 1)),
            ("bytes=2-", Part::Some(2, 8)),
            ("bytes=2-5", Part::Some(2, 4)),
            ("bytes=2-500", Part::Some(2, 8)),
            ("Bytes=-3", Part::Some(7, 3)),
            ("bytes=-300", Part::Some(0, 10)),
            ("bytes=9-99999999999999999999999", Part::Some(9, 1)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("0-1", Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(
            (part("bytes=0-", 0), part("bytes=-1", 0)),
            (Part::Unsatisfiable, Part::Unsatisfiable)
        );
    }
}
