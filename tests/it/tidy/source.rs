//! Takes a Rust file apart into what the rules ask about: paths, method calls, macros, functions.
//!
//! Works on tokens, so comments and strings never count and code inside macros does. It resolves
//! `use`, `self` and `super`; re-exports and globs are for `circles`, types are for the compiler.

use std::collections::HashMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::items::{Items, absolute, is_public, scan, use_leaves};

/// A file of the tree, its path relative to the root.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) mentions: Vec<Mention>,
    pub(super) functions: Vec<Function>,
    /// The crate below `crates` or `src` that ships it: `base`, or `root`.
    pub(super) package: Option<String>,
    /// Module path of the file below its crate: `["storage", "jail"]`.
    pub(super) module: Vec<String>,
    /// What its modules define and import.
    pub(super) items: Items,
    /// Modules that `#[cfg(test)] mod name;` declares elsewhere.
    pub(super) test_modules: Vec<Vec<String>>,
}

/// Something that the code names.
pub(super) struct Mention {
    pub(super) line: usize,
    /// In code that only tests compile.
    pub(super) test: bool,
    /// By `pub use`, which uses nothing itself.
    pub(super) reexport: bool,
    pub(super) what: What,
}

pub(super) enum What {
    /// `.name(…)` and its arguments, without the parentheses.
    Call(String, String),
    /// `name!(…)`
    Macro(String),
    /// A word on its own: a variable, a field, or something that was imported.
    Name(String),
    /// At least two segments, from the crate on where that is known: `["crate", "types", "Pin"]`.
    Path(Vec<String>),
}

/// A function with a body.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

impl Source {
    /// Reads `text` as the Rust file at `path`.
    pub(super) fn parse(path: &str, text: &str) -> Self {
        let stream: TokenStream =
            text.parse().unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
        let (package, module) = place_of(path);
        let mut source = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            mentions: Vec::new(),
            functions: Vec::new(),
            items: scan(stream.clone(), &module),
            package,
            module,
            test_modules: Vec::new(),
        };
        let module = source.module.clone();
        let mut walk = Walk {
            source: &mut source,
            module,
            reexport: false,
            test: false,
            aliases: Default::default(),
        };
        walk.stream(stream);
        let aliases = walk.aliases;
        for mention in &mut source.mentions {
            if let What::Path(path) = &mut mention.what
                && let Some(full) = aliases[usize::from(mention.test)].get(&path[0])
            {
                path.splice(..1, full.iter().cloned());
            }
        }
        source
    }

    /// Where a file that ships stands in its crate: `storage`, `bin`, or `lib` for the root itself.
    pub(super) fn room(&self) -> Option<&str> {
        let (_, inside) = shipped_path(&self.path)?;
        Some(inside.split(['/', '.']).next().unwrap_or(inside))
    }

    /// What code that ships names.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (usize, &What)> {
        self.mentions
            .iter()
            .filter(|mention| !mention.test)
            .map(|mention| (mention.line, &mention.what))
    }

    /// Counts the whole file as test code.
    pub(super) fn mark_as_test(&mut self) {
        self.items = Items::default();
        for mention in &mut self.mentions {
            mention.test = true;
        }
    }
}

/// The crate of a file that ships, and its path below `src` there.
fn shipped_path(path: &str) -> Option<(&str, &str)> {
    match path.strip_prefix("crates/") {
        Some(rest) => rest.split_once("/src/"),
        None => Some(("root", path.strip_prefix("src/")?)),
    }
}

/// Crate and module path of a file.
fn place_of(path: &str) -> (Option<String>, Vec<String>) {
    let shipped = shipped_path(path);
    let inside = shipped.map_or(path, |(_, inside)| inside).trim_end_matches(".rs");
    let module = match inside {
        "lib" => Vec::new(),
        inside if inside.starts_with("bin/") => Vec::new(),
        inside => inside.trim_end_matches("/mod").split('/').map(str::to_owned).collect(),
    };
    (shipped.map(|(package, _)| package.to_owned()), module)
}

struct Walk<'s> {
    source: &'s mut Source,
    module: Vec<String>,
    reexport: bool,
    test: bool,
    /// What a `use` gave a name to, for shipped and for test code.
    aliases: [HashMap<String, Vec<String>>; 2],
}

impl Walk<'_> {
    fn stream(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        self.tokens(&tokens);
    }

    fn tokens(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                TokenTree::Group(group) => {
                    self.stream(group.stream());
                    at + 1
                }
                TokenTree::Punct(mark) if mark.as_char() == '#' && is_cfg_test(tokens, at + 1) => {
                    self.test_item(tokens, at + 2)
                }
                TokenTree::Ident(ident) => match ident.to_string().as_str() {
                    "fn" => self.function(tokens, at),
                    "mod" => self.inline_module(tokens, at),
                    "use" => self.import(tokens, at),
                    _ => self.path(tokens, at),
                },
                _ => at + 1,
            };
        }
    }

    fn test_item(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let end = item_end(tokens, at);
        if let Some(start) = (at..end).find(|&i| word(tokens, i).as_deref() == Some("mod"))
            && let Some(name) = word(tokens, start + 1)
        {
            let module = [self.module.as_slice(), &[name]].concat();
            self.source.test_modules.push(module);
        }
        let outer = std::mem::replace(&mut self.test, true);
        self.tokens(&tokens[at..end]);
        self.test = outer;
        end
    }

    fn function(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let end = item_end(tokens, at);
        if let (Some(name), Some(TokenTree::Group(body))) =
            (word(tokens, at + 1), tokens.get(end - 1))
        {
            let line = line(tokens, at);
            let lines = body.span_close().end().line + 1 - line;
            self.source.functions.push(Function { name, line, lines });
        }
        at + 1
    }

    fn inline_module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let (Some(name), Some(TokenTree::Group(body))) = (word(tokens, at + 1), tokens.get(at + 2))
        else {
            return at + 1;
        };
        self.module.push(name);
        self.stream(body.stream());
        self.module.pop();
        at + 3
    }

    fn import(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if is_mark(tokens, at + 1, '<') {
            return at + 1; // `impl Trait + use<'a>`
        }
        let end = (at..tokens.len()).find(|&i| is_mark(tokens, i, ';')).unwrap_or(tokens.len());
        self.reexport = is_public(tokens, at);
        self.use_tree(&tokens[at + 1..end], &[]);
        self.reexport = false;
        end
    }

    fn use_tree(&mut self, tokens: &[TokenTree], prefix: &[String]) {
        for leaf in use_leaves(tokens, prefix) {
            let path = absolute(&self.module, leaf.path);
            self.aliases[usize::from(self.test)].insert(leaf.name, path.clone());
            self.mention(leaf.line, What::Path(path));
        }
    }

    fn path(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let mut path: Vec<String> = word(tokens, at).into_iter().collect();
        let mut next = at + 1;
        while is_mark(tokens, next, ':') && is_mark(tokens, next + 1, ':') {
            let Some(segment) = word(tokens, next + 2) else { break };
            path.push(segment);
            next += 3;
        }
        let line = line(tokens, at);
        let name = path.last().cloned().unwrap_or_default();
        if at > 0 && is_mark(tokens, at - 1, '.') {
            if let Some(TokenTree::Group(arguments)) = tokens.get(next) {
                self.mention(line, What::Call(name, arguments.stream().to_string()));
            }
        } else {
            if is_mark(tokens, next, '!')
                && matches!(tokens.get(next + 1), Some(TokenTree::Group(_)))
            {
                self.mention(line, What::Macro(name.clone()));
            }
            if path.len() > 1 {
                let path = absolute(&self.module, path);
                self.mention(line, What::Path(path));
            } else {
                self.mention(line, What::Name(name));
            }
        }
        next
    }

    fn mention(&mut self, line: usize, what: What) {
        let (test, reexport) = (self.test, self.reexport);
        self.source.mentions.push(Mention { line, test, reexport, what });
    }
}

/// True for the `[cfg(test)]`, `[cfg(all(test, …))]` or `[cfg(any(test, …))]` of an attribute: the
/// last is for the tests of other crates.
pub(super) fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Group(group)) = tokens.get(at) else { return false };
    let text = group.stream().to_string().replace(' ', "");
    ["cfg(test)", "cfg(all(test,", "cfg(any(test,"].iter().any(|start| text.starts_with(start))
}

/// Index behind the item, field or arm that begins at `at`.
pub(super) fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let items = ["fn", "mod", "use", "impl", "struct", "enum", "const", "static", "type", "trait"];
    let mut is_item = false;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token {
            TokenTree::Ident(ident) => is_item |= items.iter().any(|item| ident == item),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return i + 1,
            TokenTree::Punct(mark) if mark.as_char() == ';' => return i + 1,
            TokenTree::Punct(mark) if mark.as_char() == ',' && !is_item => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

pub(super) fn is_mark(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == wanted)
}

pub(super) fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

pub(super) fn line(tokens: &[TokenTree], at: usize) -> usize {
    tokens.get(at).map_or(0, |token| token.span().start().line)
}
