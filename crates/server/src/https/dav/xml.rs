//! XML as WebDAV's requests bring it: pulled piece by piece into a small tree with bounds.
//!
//! There is no DTD, so there are no entities but the five that XML knows; depth, size and number of
//! elements are bounded, and nothing recurses over what a peer sent.

use quick_xml::NsReader;
use quick_xml::escape::{escape, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

use crate::https::problem::Problem;

/// Longest body in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;
const MAX_DEPTH: usize = 16;
const MAX_ELEMENTS: usize = 512;

/// The namespace of WebDAV itself.
pub(super) const DAV: &str = "DAV:";

/// A name in its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) local: String,
}

/// An element with the text directly in it. Attributes are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: Name,
    pub(super) text: String,
    pub(super) children: Vec<Self>,
}

impl Name {
    pub(super) fn is_dav(&self, local: &str) -> bool {
        self.namespace == DAV && self.local == local
    }

    /// As the name of an element, with what it needs to be understood alone.
    pub(super) fn opening(&self) -> String {
        match self.namespace.as_str() {
            DAV => format!("D:{}", self.local),
            "" => self.local.clone(),
            other => format!("x:{} xmlns:x=\"{}\"", self.local, escape(other)),
        }
    }

    pub(super) fn closing(&self) -> String {
        match self.namespace.as_str() {
            DAV => format!("D:{}", self.local),
            "" => self.local.clone(),
            _ => format!("x:{}", self.local),
        }
    }
}

impl Element {
    pub(super) fn child(&self, local: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name.is_dav(local))
    }

    /// What is in it, written anew.
    pub(super) fn inner(&self) -> String {
        let mut text = escape(self.text.as_str()).into_owned();
        for child in &self.children {
            let (opening, closing) = (child.name.opening(), child.name.closing());
            text.push_str(&format!("<{opening}>{}</{closing}>", child.inner()));
        }
        text
    }
}

fn malformed() -> Problem {
    Problem::bad_request("the body is no XML that is understood here")
}

/// The root of a document; `None` if there is no body.
pub(super) fn parse(body: &[u8]) -> Result<Option<Element>, Problem> {
    let text = str::from_utf8(body).map_err(|_| malformed())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    // Elements that are open, outermost first.
    let (mut open, mut root, mut count): (Vec<Element>, Option<Element>, _) = (Vec::new(), None, 0);
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|_| malformed())?;
        match event {
            Event::Start(start) => {
                count += 1;
                if open.len() >= MAX_DEPTH || count > MAX_ELEMENTS || root.is_some() {
                    return Err(malformed());
                }
                open.push(element(&namespace, &start)?);
            }
            Event::End(_) => {
                let ended = open.pop().ok_or_else(malformed)?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(ended),
                    None => root = Some(ended),
                }
            }
            Event::Text(text) => add(&mut open, &text.xml10_content())?,
            Event::CData(text) => add(&mut open, &text.xml10_content())?,
            Event::GeneralRef(reference) => {
                // Only what needs no DTD.
                let text = format!("&{};", reference.xml10_content());
                add(&mut open, &unescape(&text).map_err(|_| malformed())?)?;
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::DocType(_) => return Err(malformed()),
            Event::Eof => break,
            Event::Empty(_) => return Err(malformed()),
        }
    }
    if !open.is_empty() { Err(malformed()) } else { root.map(Some).ok_or_else(malformed) }
}

fn element(namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Element, Problem> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| malformed())?;
        // A prefix cannot be taken back.
        if attribute.key.0.starts_with("xmlns:") && attribute.value.trim().is_empty() {
            return Err(malformed());
        }
    }
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => {
            unescape(namespace.0).map_err(|_| malformed())?.into_owned()
        }
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err(malformed()),
    };
    let local = start.local_name().as_ref().to_owned();
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if local.is_empty() || local.len() > 256 || !local.chars().all(is_part) {
        return Err(malformed());
    }
    Ok(Element { name: Name { namespace, local }, ..Element::default() })
}

fn add(open: &mut [Element], text: &str) -> Result<(), Problem> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(malformed()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_namespace_and_text_its_meaning() {
        let text = "<?xml version='1.0'?><a xmlns='DAV:' xmlns:y='u&amp;v'><y:b>1 &lt; 2&#33;</y:b>\
                    <c/><![CDATA[<t>]]></a>";
        let root = parse(text.as_bytes()).unwrap().unwrap();
        assert!(root.name.is_dav("a") && root.child("c").is_some());
        assert_eq!((root.text.as_str(), root.children[0].text.as_str()), ("<t>", "1 < 2!"));
        assert_eq!(root.children[0].name.namespace, "u&v");
        let written = root.inner();
        let again = parse(format!("<D:a xmlns:D='DAV:'>{written}</D:a>").as_bytes()).unwrap();
        assert_eq!(again.unwrap(), root);
        assert_eq!(parse(b" \n").unwrap(), None);
    }

    #[test]
    fn what_is_too_much_or_no_xml_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(9000), "</a>".repeat(9000));
        let many = format!("<a>{}</a>", "<b/>".repeat(9000));
        let bomb = "<!DOCTYPE a [<!ENTITY b 'cc'>]><a>&b;</a>";
        for bad in [
            deep.as_str(),
            &many,
            bomb,
            "<a>&b;</a>",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "text",
            "<a/>text",
            "<x:a/>",
            "<a xmlns:x=''/>",
            "<a b/>",
            "<a>&#0;</a>",
            "<a",
            "&lt;",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{}", &bad[..bad.len().min(40)]);
        }
        assert!(parse(b"<a>\xff</a>").is_err());
    }
}
