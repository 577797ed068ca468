//! The `If` header (RFC 4918, section 10.4): which locks a client says it holds, and what it
//! expects.

use crate::https::problem::Problem;

/// Most bytes and conditions of one header.
const MAX_HEADER: usize = 16 << 10;
const MAX_CONDITIONS: usize = 128;

/// One condition of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Token(String),
    Tag(String),
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// The URL that they are about; `None` for that of the request.
    pub(super) about: Option<String>,
    /// Each with whether it must hold, or must not.
    pub(super) all: Vec<(bool, What)>,
}

/// What is between `open` and `close`, and what follows.
fn enclosed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    text.strip_prefix(open)?.split_once(close)
}

/// The lists of a header, of which one must hold.
pub(super) fn parse(header: &str) -> Result<Vec<List>, Problem> {
    let wrong = || Problem::bad_request("the If header cannot be read");
    if header.len() > MAX_HEADER {
        return Err(wrong());
    }
    let (mut lists, mut about, mut count) = (Vec::new(), None, 0);
    let mut rest = header.trim();
    while !rest.is_empty() {
        if let Some((url, after)) = enclosed(rest, '<', '>') {
            about = Some(url.to_owned());
            rest = after.trim_start();
            continue;
        }
        rest = rest.strip_prefix('(').ok_or_else(wrong)?.trim_start();
        let mut list = List { about: about.clone(), all: Vec::new() };
        while !rest.starts_with(')') {
            let negated = rest.get(..3).filter(|word| word.eq_ignore_ascii_case("not"));
            if let Some(word) = negated {
                rest = rest.get(word.len()..).ok_or_else(wrong)?.trim_start();
            }
            let (what, after) = if let Some((token, after)) = enclosed(rest, '<', '>') {
                (What::Token(token.to_owned()), after)
            } else {
                let (tag, after) = enclosed(rest, '[', ']').ok_or_else(wrong)?;
                (What::Tag(tag.to_owned()), after)
            };
            list.all.push((negated.is_none(), what));
            rest = after.trim_start();
            count += 1;
            if count > MAX_CONDITIONS {
                return Err(wrong());
            }
        }
        if list.all.is_empty() {
            return Err(wrong());
        }
        lists.push(list);
        rest = rest.get(1..).ok_or_else(wrong)?.trim_start();
    }
    if lists.is_empty() { Err(wrong()) } else { Ok(lists) }
}

/// Every token that a client names as one it holds.
pub(super) fn tokens(lists: &[List]) -> Vec<String> {
    let all = lists.iter().flat_map(|list| &list.all);
    all.filter_map(|what| match what {
        (true, What::Token(token)) => Some(token.clone()),
        _ => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_rfc_writes_them() {
        let lists =
            parse("</a> (<urn:x> [\"t\"]) (Not <urn:y>) <https://h/b> ([W/\"u\"])").unwrap();
        let token = |text: &str| What::Token(text.to_owned());
        assert_eq!(lists.len(), 3);
        assert_eq!(lists[0].all, [(true, token("urn:x")), (true, What::Tag("\"t\"".to_owned()))]);
        assert_eq!(lists[1].all, [(false, token("urn:y"))]);
        assert_eq!(lists[2].about.as_deref(), Some("https://h/b"));
        assert_eq!(tokens(&lists), ["urn:x"]);
        assert_eq!(parse("(<a>)").unwrap()[0].about, None);
        let long = "(<a>)".repeat(1000);
        for bad in ["", "(", "()", "(<a>", "<a>", "x", "(x)", "(Not)", "(<a)", &long] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
