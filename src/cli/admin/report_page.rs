//! The report as one HTML page with a plot, for somebody who has a browser and no shell.
//!
//! It refers to nothing outside itself, and no name in it can be markup.

use std::fmt::Write as _;

use time::OffsetDateTime;

use super::words::{findings, state_word};
use crate::admin::HistoryPoint;
use sealane_base::types::text::printable;
use sealane_core::accounts::{HashState, MigrationReport};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;

/// The bands of the plot from the bottom up: state and colour.
const BANDS: [(HashState, &str); 5] = [
    (HashState::Argon2id, "#2e7d32"),
    (HashState::Weak, "#9ccc65"),
    (HashState::Wrapped, "#fbc02d"),
    (HashState::Md5, "#c62828"),
    (HashState::Unusable, "#9e9e9e"),
];

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse}td,th{padding:.15em 1em .15em 0;text-align:left;vertical-align:top}\
td.n{text-align:right}i{display:inline-block;width:.8em;height:.8em}svg{width:100%;height:auto}";

/// The page.
pub(super) fn page(
    report: &MigrationReport,
    points: &[HistoryPoint],
    now: OffsetDateTime,
) -> String {
    let counts = report.counts();
    let mut html = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>From MD5 to argon2id</title><style>{STYLE}</style></head><body>\n\
         <h1>From MD5 to argon2id</h1>\n<p>{} of {} accounts have left MD5 for good; {} still store \
         it bare. State of {} (UTC).</p>\n",
        counts.argon2id + counts.weak,
        counts.total(),
        counts.md5,
        now.date()
    );
    html.push_str(&plot(points));
    html.push_str("<table>\n");
    let numbers = [counts.argon2id, counts.weak, counts.wrapped, counts.md5, counts.unusable];
    for ((state, colour), count) in BANDS.iter().zip(numbers) {
        let word = state_word(*state);
        let _ = writeln!(
            html,
            "<tr><td><i style=\"background:{colour}\"></i> {word}</td><td class=\"n\">{count}</td></tr>"
        );
    }
    html.push_str("</table>\n");
    for (title, lines) in findings(report).iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = write!(html, "<h2>{}</h2>\n<ul>", escaped(title));
        for line in lines {
            let _ = write!(html, "<li>{}</li>", escaped(line));
        }
        html.push_str("</ul>\n");
    }
    html.push_str(
        "<h2>every account</h2>\n<table><tr><th>account<th>password<th>last login<th></tr>\n",
    );
    for account in &report.accounts {
        let _ = writeln!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}</tr>",
            escaped(&account.name),
            state_word(account.state),
            escaped(account.last_login.as_deref().unwrap_or("-")),
            escaped(&account.problems.join("; "))
        );
    }
    html.push_str("</table>\n</body></html>\n");
    html
}

/// Stacked bands over the days: the same height for the same number of records throughout.
fn plot(points: &[HistoryPoint]) -> String {
    let values = |point: &HistoryPoint| {
        [point.argon2id, point.weak, point.wrapped, point.md5, point.unusable].map(|n| n as f64)
    };
    let days: Vec<f64> = points.iter().filter_map(|point| day_number(&point.day)).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return String::new() };
    let span = (last - first).max(1.0);
    let most = points.iter().map(|point| values(point).iter().sum::<f64>()).fold(1.0, f64::max);
    let mut columns: Vec<(f64, [f64; 5])> = points
        .iter()
        .zip(&days)
        .map(|(point, day)| ((day - first) / span * WIDTH, values(point)))
        .collect();
    if let [only] = columns.as_slice() {
        // One day has no width; it is drawn as if nothing had changed since the day before.
        columns.push((WIDTH, only.1));
    }
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"records by state over time\">\n",
        HEIGHT + 24.0
    );
    for (band, (_, colour)) in BANDS.iter().enumerate() {
        let sum = |values: &[f64; 5], bands: usize| values.iter().take(bands).sum::<f64>();
        let level = |values, bands| HEIGHT - sum(values, bands) / most * HEIGHT;
        let top = columns.iter().map(|(x, values)| (*x, level(values, band + 1)));
        let bottom = columns.iter().rev().map(|(x, values)| (*x, level(values, band)));
        let corners: Vec<String> =
            top.chain(bottom).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(svg, "<polygon fill=\"{colour}\" points=\"{}\"/>", corners.join(" "));
    }
    let (from, to) = (points.first(), points.last());
    if let (Some(from), Some(to)) = (from, to) {
        let y = HEIGHT + 18.0;
        let _ = writeln!(
            svg,
            "<text x=\"0\" y=\"{y}\" font-size=\"14\">{}</text><text x=\"{WIDTH}\" y=\"{y}\" \
             font-size=\"14\" text-anchor=\"end\">{}, {} records</text>",
            escaped(&from.day),
            escaped(&to.day),
            values(to).iter().sum::<f64>()
        );
    }
    svg + "</svg>\n"
}

/// Days in order; months of 31 days are near enough for a plot.
fn day_number(day: &str) -> Option<f64> {
    let mut parts = day.split('-').map(|part| part.parse::<f64>().ok());
    let (year, month, date) = (parts.next()??, parts.next()??, parts.next()??);
    Some((year * 12.0 + month) * 31.0 + date)
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealane_core::accounts::AccountLine;

    #[test]
    fn a_name_is_no_markup_and_the_plot_has_a_band_a_state() {
        let account = AccountLine {
            name: "<script>alert(1)</script>".into(),
            state: HashState::Md5,
            last_login: None,
            disabled: false,
            problems: Vec::new(),
        };
        let report = MigrationReport { accounts: vec![account], ..MigrationReport::default() };
        let point = |day: &str, md5, argon2id| HistoryPoint {
            day: day.into(),
            argon2id,
            weak: 0,
            wrapped: 0,
            md5,
            unusable: 0,
        };
        for points in [
            vec![point("2026-01-31", 10, 0)],
            vec![point("2026-01-31", 10, 0), point("2026-02-01", 4, 6)],
        ] {
            let html = page(&report, &points, OffsetDateTime::UNIX_EPOCH);
            assert!(!html.contains("<script"), "{html}");
            assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
            assert_eq!(html.matches("<polygon").count(), BANDS.len());
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
        assert!(!page(&report, &[], OffsetDateTime::UNIX_EPOCH).contains("<svg"));
    }
}
