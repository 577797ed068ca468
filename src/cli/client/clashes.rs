//! Sources of one command that would end under one name: the last one would silently win.
//!
//! Looked for before anything moves, and all told at once.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::Put;
use crate::cli::{Exit, Failure, errors};
use sealane_base::files::Tree;
use sealane_base::types::path::PathError;
use sealane_base::types::{Address, RemotePath};
use sealane_client::Client;
use sealane_client::tree::folded;

/// A source and the name that it ends in, as people know them.
type End = (String, String);

/// Nothing, if no two of `ends` go to the same name.
fn refuse(ends: &[End]) -> Result<(), Failure> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in ends {
        by_name.entry(to).or_default().push(from);
    }
    let told = by_name.iter().filter(|(_, from)| from.len() > 1).map(|(to, from)| {
        let from: Vec<_> = from.iter().map(|from| format!("'{from}'")).collect();
        format!("{} would all become '{to}'", from.join(" and "))
    });
    let told: Vec<_> = told.collect();
    if told.is_empty() {
        return Ok(());
    }
    let message = format!("{}: nothing was done", told.join("; "));
    Err(Failure::new(Exit::Usage, message)
        .hint("use one command for each, with names of their own"))
}

/// Sources of `put`. Of a directory without a name (`.`) what it holds goes to the server.
pub(super) fn among_uploads(args: &Put) -> Result<(), Failure> {
    if args.sources.len() < 2 {
        return Ok(());
    }
    let mut ends = Vec::new();
    for source in &args.sources {
        let from = source.display().to_string();
        // A name that cannot be sent is told when its turn comes.
        if source.file_name().is_some() {
            ends.extend(inside(source, &args.address).ok().map(|to| (from, to.to_string())));
        } else if args.recursive {
            let names = Tree::open(source).and_then(|tree| tree.names());
            let names = names.map_err(|error| errors::storage(&from, &error))?;
            let to = |name: &String| args.address.path.join(name).ok();
            let known = |name| Some((source.join(&name).display().to_string(), to(&name)?));
            ends.extend(
                names.into_iter().filter_map(known).map(|(from, to)| (from, to.to_string())),
            );
        }
    }
    refuse(&ends)
}

/// Sources of `get`. Of a home, which has no name, what it holds comes here.
pub(super) async fn among_downloads(
    client: &Client,
    addresses: &[Address],
    destination: &Path,
) -> Result<(), Failure> {
    if addresses.len() < 2 {
        return Ok(());
    }
    let mut ends = Vec::new();
    for address in addresses {
        let path = &address.path;
        if let Some(name) = path.name() {
            ends.push((path.to_string(), name.to_owned()));
            continue;
        }
        let all = client.list_whole(path).await;
        let all = all.map_err(|error| errors::session(&path.to_string(), &error))?;
        ends.extend(all.entries.into_iter().map(|entry| (entry.name.clone(), entry.name)));
    }
    refuse(&below(destination, &ends, |name| name.to_owned()))?;
    let ends = below(destination, &ends, folded);
    match refuse(&ends) {
        // The file system here may tell apart what others do not.
        Err(failure)
            if Tree::open(destination).is_ok_and(|tree| tree.folds_names().unwrap_or(false)) =>
        {
            Err(failure)
        }
        _ => Ok(()),
    }
}

fn below(destination: &Path, ends: &[End], name: impl Fn(&str) -> String) -> Vec<End> {
    let here = |to: &str| destination.join(name(to)).display().to_string();
    ends.iter().map(|(from, to)| (from.clone(), here(to))).collect()
}

/// Where a file goes in the directory that `address` names.
pub(super) fn inside(source: &Path, address: &Address) -> Result<RemotePath, PathError> {
    match source.file_name().map(|name| name.to_str()) {
        Some(Some(name)) => address.path.join(name),
        Some(None) => Err(PathError::NotUtf8),
        None => Err(PathError::Dots),
    }
}
