//! No two files of a crate import each other, directly or through others.
//!
//! A file imports the file that defines what it names: `use` lines that hand a name on are
//! followed to the definition, so a `mod.rs` that declares and re-exports is in no circle. Methods
//! are not followed: their types are not known here.

use std::collections::{BTreeMap, BTreeSet};

use super::items::Import;
use super::source::{Source, What};

/// Files a file imports, and a name for the sake of which it does.
type Edges<'s> = BTreeMap<&'s str, BTreeMap<&'s str, String>>;

/// Every circle, with its files in order.
pub(super) fn circles(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    let packages: BTreeSet<_> =
        sources.iter().filter_map(|source| source.package.as_deref()).collect();
    for package in packages {
        let edges = Map::new(sources, package).edges();
        for circle in tangles(&edges) {
            found.push(describe(&circle, &edges));
        }
    }
    found
}

/// One crate: what stands where.
struct Map<'s> {
    sources: Vec<&'s Source>,
    /// Files by module.
    files: BTreeMap<&'s [String], &'s str>,
    /// Files by module and name.
    items: BTreeMap<(&'s [String], &'s str), &'s str>,
    imports: BTreeMap<(&'s [String], &'s str), Vec<&'s Import>>,
}

/// What a path leads to.
enum Target<'s> {
    Module(Vec<String>),
    Item(&'s str),
}

impl<'s> Map<'s> {
    fn new(sources: &'s [Source], package: &str) -> Self {
        let is_here = |source: &&Source| {
            source.package.as_deref() == Some(package) && source.room() != Some("bin")
        };
        let sources: Vec<_> = sources.iter().filter(is_here).collect();
        let mut map = Self {
            files: BTreeMap::new(),
            items: BTreeMap::new(),
            imports: BTreeMap::new(),
            sources,
        };
        for source in &map.sources {
            map.files.insert(&source.module, &source.path);
            for (module, name) in &source.items.defined {
                map.items.insert((module, name), &source.path);
                map.files.entry(module).or_insert(&source.path);
            }
            for import in &source.items.imported {
                map.imports.entry((&import.module, &import.name)).or_default().push(import);
            }
        }
        map
    }

    fn edges(&self) -> Edges<'s> {
        let mut edges = Edges::new();
        for source in &self.sources {
            let own = edges.entry(&source.path).or_default();
            for mention in source.mentions.iter().filter(|mention| !mention.test) {
                let path = match &mention.what {
                    What::Path(path) if !mention.reexport => path.clone(),
                    What::Name(name) => vec![name.clone()],
                    _ => continue,
                };
                for target in self.follow(&source.module, &path, &mut BTreeSet::new()) {
                    if let Target::Item(file) = target
                        && file != source.path
                    {
                        own.entry(file).or_insert_with(|| path.last().cloned().unwrap_or_default());
                    }
                }
            }
        }
        edges
    }

    /// Where `path` leads from `module`, through every import on the way.
    fn follow(
        &self,
        module: &[String],
        path: &[String],
        seen: &mut BTreeSet<(Vec<String>, String)>,
    ) -> Vec<Target<'s>> {
        let (mut at, mut rest) = (vec![module.to_vec()], path);
        if path.first().is_some_and(|first| first == "crate") {
            (at, rest) = (vec![Vec::new()], &path[1..]);
        }
        for (index, name) in rest.iter().enumerate() {
            let is_last = index + 1 == rest.len();
            let mut next = Vec::new();
            for module in &at {
                for target in self.look_up(module, name, is_last, seen) {
                    match target {
                        Target::Module(module) if !is_last => next.push(module),
                        // What follows is a variant or an associated item.
                        item => return vec![item],
                    }
                }
            }
            at = next;
        }
        at.into_iter().map(Target::Module).collect()
    }

    fn look_up(
        &self,
        module: &[String],
        name: &str,
        is_last: bool,
        seen: &mut BTreeSet<(Vec<String>, String)>,
    ) -> Vec<Target<'s>> {
        if name == "*" {
            return Vec::new(); // each name is asked for where it is used
        }
        let child = [module, &[name.to_owned()]].concat();
        let (item, is_module) = (self.items.get(&(module, name)), self.files.contains_key(&*child));
        if let Some(file) = item
            && (is_last || !is_module)
        {
            return vec![Target::Item(file)];
        }
        if is_module {
            return vec![Target::Module(child)];
        }
        if !seen.insert((module.to_vec(), name.to_owned())) {
            return Vec::new();
        }
        let named = self.imports.get(&(module, name)).into_iter().flatten();
        let mut found: Vec<_> =
            named.flat_map(|import| self.follow(module, &import.path, seen)).collect();
        if found.is_empty() {
            for import in self.imports.get(&(module, "*")).into_iter().flatten() {
                let path = [&import.path[..import.path.len() - 1], &[name.to_owned()]].concat();
                found.extend(self.follow(module, &path, seen));
            }
        }
        found
    }
}

/// Groups of files of which each reaches every other.
fn tangles<'s>(edges: &Edges<'s>) -> Vec<Vec<&'s str>> {
    let reached: BTreeMap<_, _> = edges.keys().map(|file| (*file, reach(edges, file))).collect();
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for (file, others) in &reached {
        if !others.contains(file) || done.contains(file) {
            continue;
        }
        let circle: Vec<_> =
            others.iter().copied().filter(|other| reached[other].contains(file)).collect();
        done.extend(circle.iter().copied());
        found.push(circle);
    }
    found
}

fn reach<'s>(edges: &Edges<'s>, start: &str) -> BTreeSet<&'s str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![start];
    while let Some(file) = left.pop() {
        for next in edges.get(file).into_iter().flat_map(|own| own.keys()) {
            if reached.insert(*next) {
                left.push(next);
            }
        }
    }
    reached
}

fn describe(circle: &[&str], edges: &Edges<'_>) -> String {
    let mut text = "files import each other in a circle:".to_owned();
    for file in circle {
        let own = edges[file].iter().filter(|(other, _)| circle.contains(other));
        let named: Vec<_> = own.map(|(other, name)| format!("`{name}` of {other}")).collect();
        text.push_str(&format!("\n    {file} uses {}", named.join(", ")));
    }
    text
}
