//! What the modules of a file define and import, for those who follow a name to its file.

use proc_macro2::{TokenStream, TokenTree};

use super::source::{is_cfg_test, is_mark, item_end, line, word};

/// Code that only tests compile is left out.
#[derive(Default)]
pub(super) struct Items {
    /// Module and name: `(["storage"], "Home")`.
    pub(super) defined: Vec<(Vec<String>, String)>,
    pub(super) imported: Vec<Import>,
}

/// `use path as name;`, `*` for everything.
pub(super) struct Import {
    pub(super) module: Vec<String>,
    pub(super) name: String,
    pub(super) path: Vec<String>,
}

/// One name that a `use` brings.
pub(super) struct Leaf {
    pub(super) path: Vec<String>,
    pub(super) name: String,
    pub(super) line: usize,
}

const DEFINING: [&str; 9] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];

/// Reads the file of `module`.
pub(super) fn scan(stream: TokenStream, module: &[String]) -> Items {
    let mut items = Items::default();
    items.module(stream, module);
    items
}

impl Items {
    fn module(&mut self, stream: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_mark(&tokens, at, '#') && is_cfg_test(&tokens, at + 1) {
                at = item_end(&tokens, at + 2);
                continue;
            }
            match (word(&tokens, at).as_deref(), tokens.get(at + 2)) {
                (Some("use"), _) => self.import(&tokens[at + 1..], module),
                (Some("mod"), Some(TokenTree::Group(body))) => {
                    let name = word(&tokens, at + 1).unwrap_or_default();
                    self.module(body.stream(), &[module, &[name]].concat());
                }
                (Some("macro_rules"), _) => self.define(&tokens, at + 2, module),
                (Some(keyword), _) if DEFINING.contains(&keyword) => {
                    self.define(&tokens, at + 1, module);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn define(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) {
        if let Some(name) = word(tokens, at).filter(|name| !DEFINING.contains(&name.as_str())) {
            self.defined.push((module.to_vec(), name));
        }
    }

    fn import(&mut self, tokens: &[TokenTree], module: &[String]) {
        let end = (0..tokens.len()).find(|&i| is_mark(tokens, i, ';')).unwrap_or(tokens.len());
        for Leaf { path, name, .. } in use_leaves(&tokens[..end], &[]) {
            let path = absolute(module, path);
            self.imported.push(Import { module: module.to_vec(), name, path });
        }
    }
}

/// The names behind `use`.
pub(super) fn use_leaves(tokens: &[TokenTree], prefix: &[String]) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for branch in tokens.split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ',')) {
        let mut path = prefix.to_vec();
        let mut alias = None;
        for (at, token) in branch.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    leaves.extend(use_leaves(&inner, &path));
                    path.clear();
                }
                TokenTree::Ident(ident) if ident == "as" => {
                    alias = word(branch, at + 1);
                    break;
                }
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Punct(mark) if mark.as_char() == '*' => path.push("*".to_owned()),
                _ => {}
            }
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(name) = alias.or_else(|| path.last().cloned()) {
            leaves.push(Leaf { path, name, line: line(branch, 0) });
        }
    }
    leaves
}

/// Replaces `self` and `super` at the start by what they mean in `module`.
pub(super) fn absolute(module: &[String], path: Vec<String>) -> Vec<String> {
    let steps = path.iter().take_while(|segment| *segment == "super" || *segment == "self");
    let steps = steps.count();
    if steps == 0 {
        return path;
    }
    let up = path[..steps].iter().filter(|segment| *segment == "super").count();
    let above = &module[..module.len().saturating_sub(up)];
    [&["crate".to_owned()], above, &path[steps..]].concat()
}

/// True if `pub` or `pub(…)` stands before the keyword at `at`.
pub(super) fn is_public(tokens: &[TokenTree], at: usize) -> bool {
    let before = |steps: usize| at.checked_sub(steps).and_then(|i| word(tokens, i));
    let is_group = at > 0 && matches!(tokens.get(at - 1), Some(TokenTree::Group(_)));
    before(1).is_some_and(|word| word == "pub") || is_group && before(2).as_deref() == Some("pub")
}
