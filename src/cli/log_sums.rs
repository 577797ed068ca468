//! Refusals that repeat: the first few of a kind are logged, the others counted and told once a
//! minute.
//!
//! A kind is what an event says, where it comes from and whose account it is about. Only events
//! that say of themselves that they repeat (`REPEATED`) are counted; a login that succeeds, or what
//! an administrator does, is none. Any peer can make any number of kinds, so that there are bounds
//! for one source and for all; beyond them less is told of each, and nothing is left out of the
//! counts. It neither writes nor knows the time.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use sealane_base::types::text::{REPEATED, printable};

/// How often the counts are told.
pub(super) const PERIOD: Duration = Duration::from_secs(60);
/// Of a kind, so many are logged each time before they are counted.
const FIRST: u64 = 4;
/// Kinds of one source, and of all, that are told apart.
const MOST_OF_SOURCE: usize = 16;
const MOST: usize = 1024;
/// Characters of a kind that are kept.
const TEXT: usize = 300;

/// What was counted. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    kinds: HashMap<Kind, Count>,
    /// How many kinds each source has.
    sources: HashMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    message: String,
    source: String,
    account: String,
    why: String,
}

#[derive(Debug)]
struct Count {
    level: Level,
    all: u64,
    /// So many of them were logged.
    logged: u64,
    text: String,
}

/// Where a connection comes from, and who it is.
#[derive(Clone, Debug, Default)]
struct Who {
    source: String,
    account: String,
}

impl Sums {
    /// What was counted and not told yet, a line a kind.
    pub(super) fn take(&self) -> Vec<(Level, String)> {
        let table = std::mem::take(&mut *self.table());
        let counted = table.kinds.into_values().filter(|count| count.all > count.logged);
        let line = |count: Count| {
            let more = count.all.saturating_sub(count.logged);
            (count.level, format!("{more} more: {}", count.text))
        };
        let mut lines: Vec<_> = counted.map(line).collect();
        lines.sort_by(|one, other| one.1.cmp(&other.1));
        lines
    }

    /// Tells what was counted.
    pub(super) fn tell(&self) {
        for (level, line) in self.take() {
            match level {
                Level::ERROR => tracing::error!("{line}"),
                Level::WARN => tracing::warn!("{line}"),
                _ => tracing::info!("{line}"),
            }
        }
    }

    /// Counts an event; false if it is not to be logged.
    fn count(&self, level: Level, said: Said, who: Option<Who>) -> bool {
        let who = who.unwrap_or_default();
        let source = if said.source.is_empty() { who.source } else { said.source };
        let account = if said.account.is_empty() { who.account } else { said.account };
        let mut text = printable(&said.message);
        for (name, value) in [("why", &said.why), ("peer", &source), ("user", &account)] {
            if !value.is_empty() {
                let _ = write!(text, " {name}={value}");
            }
        }
        let kind = Kind { message: said.message, source, account, why: said.why };
        self.table().count(level, kind, text)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count(&mut self, level: Level, kind: Kind, text: String) -> bool {
        if let Some(count) = self.kinds.get_mut(&kind) {
            count.all += 1;
            let is_logged = count.logged < FIRST && !kind.is_rest();
            count.logged += u64::from(is_logged);
            return is_logged;
        }
        let of_source = self.sources.get(&kind.source).copied().unwrap_or(0);
        if !kind.is_rest() && (self.kinds.len() >= MOST || of_source >= MOST_OF_SOURCE) {
            let (rest, text) = kind.rest(self.kinds.len() < MOST);
            return self.count(level, rest, text);
        }
        *self.sources.entry(kind.source.clone()).or_default() += 1;
        let logged = u64::from(!kind.is_rest());
        let text = text.chars().take(TEXT).collect();
        self.kinds.insert(kind, Count { level, all: 1, logged, text });
        logged > 0
    }
}

/// Stands for all that is not told apart.
const ANY: &str = "*";

impl Kind {
    /// What is counted in place of this where there is no room for it: of its source if
    /// `of_source`, else of any.
    fn rest(self, of_source: bool) -> (Self, String) {
        let source = if of_source { self.source } else { ANY.to_owned() };
        let text = format!("{} peer={source} user={ANY}", printable(&self.message));
        let rest = Self { message: self.message, source, account: ANY.into(), why: ANY.into() };
        (rest, text)
    }

    /// An account cannot have this name, nor a reason this text.
    fn is_rest(&self) -> bool {
        self.account == ANY && self.why == ANY
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Sums {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        if event.metadata().name() != REPEATED {
            return true;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let mut spans = context.event_scope(event).into_iter().flatten();
        let who = spans.find_map(|span| span.extensions().get::<Who>().cloned());
        self.count(*event.metadata().level(), said, who)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        if let Some(span) = context.span(id)
            && !said.source.is_empty()
        {
            let who = Who { source: said.source, account: said.account };
            span.extensions_mut().insert(who);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        values.record(&mut said);
        let Some(span) = context.span(id) else { return };
        if let Some(who) = span.extensions_mut().get_mut::<Who>()
            && !said.account.is_empty()
        {
            who.account = said.account;
        }
    }
}

/// The fields that make a kind.
#[derive(Debug, Default)]
struct Said {
    message: String,
    source: String,
    account: String,
    why: String,
}

impl Said {
    fn take(&mut self, field: &str, text: String) {
        match field {
            "message" => self.message = text,
            "user" => self.account = printable(&text),
            // Without the port, which is another one each time.
            "peer" => {
                self.source = match text.parse::<SocketAddr>() {
                    Ok(address) => address.ip().to_string(),
                    Err(_) => text,
                };
            }
            "why" | "status" | "reason" | "ended" | "error" => self.why = printable(&text),
            _ => {}
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(source: &str, account: &str) -> Said {
        Said {
            message: "login refused".into(),
            source: source.into(),
            account: account.into(),
            why: "wrong password".into(),
        }
    }

    fn warn(sums: &Sums, source: &str, account: &str) -> bool {
        sums.count(Level::WARN, said(source, account), None)
    }

    #[test]
    fn the_first_few_of_a_kind_are_logged_and_the_others_are_counted() {
        let sums = Sums::default();
        let logged = (0..1000).filter(|_| warn(&sums, "192.0.2.1", "ann")).count();
        assert_eq!(logged as u64, FIRST);
        assert!(warn(&sums, "192.0.2.1", "bob") && warn(&sums, "192.0.2.2", "ann"));
        let line = "996 more: login refused why=wrong password peer=192.0.2.1 user=ann";
        assert_eq!(sums.take(), [(Level::WARN, line.to_owned())]);
        assert!(sums.take().is_empty() && warn(&sums, "192.0.2.1", "ann"));
    }

    #[test]
    fn a_source_that_invents_kinds_hides_none_of_another_and_all_are_counted() {
        let sums = Sums::default();
        let of = |number: usize| format!("name{number}");
        let logged = (0..5000).filter(|number| warn(&sums, "192.0.2.1", &of(*number))).count();
        assert_eq!(logged, MOST_OF_SOURCE);
        assert!(warn(&sums, "192.0.2.2", "ann"));
        let line = format!("{} more: login refused peer=192.0.2.1 user=*", 5000 - logged);
        assert_eq!(sums.take(), [(Level::WARN, line)]);
    }

    #[test]
    fn sources_without_number_take_no_memory_without_bound() {
        let sums = Sums::default();
        let of = |number: usize| format!("10.{}.{}.1", number / 256, number % 256);
        let logged = (0..20_000).filter(|number| warn(&sums, &of(*number), "ann")).count();
        assert_eq!((logged, sums.table().kinds.len()), (MOST, MOST + 1));
        let line = format!("{} more: login refused peer=* user=*", 20_000 - MOST);
        assert_eq!(sums.take(), [(Level::WARN, line)]);
    }
}
