//! Where in the file a key stands, and which key stands at a place; and the key that was meant.

use toml::de::{DeTable, DeValue};

/// The dotted key (`limits.idle_seconds`, `home_map.from`) whose name or value is at `offset`.
pub(super) fn key_at(text: &str, offset: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut found = None;
    walk(table.get_ref(), "", &mut |key, range| {
        if range.contains(&offset) {
            found = Some(key.to_owned());
        }
    });
    found
}

/// The first of the dotted `keys` that is written, with its line.
pub(super) fn first_written<'k>(text: &str, keys: &[&'k str]) -> Option<(&'k str, usize)> {
    let table = DeTable::parse(text).ok()?;
    let line_of = |wanted: &str| {
        let mut line = None;
        walk(table.get_ref(), "", &mut |key, range| {
            if key == wanted {
                line.get_or_insert(line_at(text, range.start));
            }
        });
        line
    };
    keys.iter().find_map(|key| Some((*key, line_of(key)?)))
}

/// The line, from 1, of a place in `text`.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// The one of `known` that is at most two typing errors from `typed`.
pub(super) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, key) = known.iter().map(|key| (distance(typed, key), *key)).min()?;
    (distance <= 2).then_some(key)
}

/// Calls `visit` with every key and its range: name and value, for a table the name alone.
fn walk(table: &DeTable<'_>, prefix: &str, visit: &mut impl FnMut(&str, std::ops::Range<usize>)) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        let is_scalar = !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
        let end = if is_scalar { value.span().end } else { name.span().end };
        visit(&key, name.span().start..end);
        match value.get_ref() {
            DeValue::Table(inner) => walk(inner, &key, visit),
            DeValue::Array(array) => {
                for inner in array.iter().filter_map(|item| item.get_ref().as_table()) {
                    walk(inner, &key, visit);
                }
            }
            _ => {}
        }
    }
}

/// How many characters must be put in, left out or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, from) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (to, above) in other.chars().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(from != to));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
