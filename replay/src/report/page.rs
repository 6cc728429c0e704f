//! The page: one HTML file that asks the network for nothing.
//!
//! Everything that a tape says is in one JSON text, which cannot end the element that it stands in. The script puts it on the
//! page as text, never as HTML. Should anything get by that all the same, the page's policy runs no script but the two whose
//! hashes it has, and lets nothing out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::data::Data;

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const CHARTS: &str = include_str!("page/charts.js");
/// The page's own script, in the order in which it is put together.
const SCRIPT: [&str; 12] = [
    include_str!("page/dom.js"),
    include_str!("page/format.js"),
    include_str!("page/table.js"),
    include_str!("page/chart.js"),
    include_str!("page/time.js"),
    include_str!("page/routes.js"),
    include_str!("page/traces.js"),
    include_str!("page/graph.js"),
    include_str!("page/cardinality.js"),
    include_str!("page/trouble.js"),
    include_str!("page/compare.js"),
    include_str!("page/main.js"),
];

/// The page as HTML.
pub(super) fn page(data: &Data) -> serde_json::Result<String> {
    let script = format!("\"use strict\";\n(() => {{\n{}}})();\n", SCRIPT.concat());
    let json = harmless(&serde_json::to_string(data)?);
    let hashes = [CHARTS, &script].map(|script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script))));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        hashes.join(" ")
    );
    // What was filled in is not looked at again: a tape may say `{{script}}`, too.
    let parts = [("policy", &*policy), ("style", STYLE), ("data", &json), ("charts", CHARTS), ("script", &script)];
    let mut page = String::with_capacity(CHARTS.len() + json.len() + (128 << 10));
    let mut rest = FRAME;
    for (name, part) in parts {
        let place = format!("{{{{{name}}}}}");
        let (before, after) =
            rest.split_once(&place).expect("invariant: the frame has a place for each part, in their order");
        page.push_str(before);
        page.push_str(part);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

/// JSON that means the same and has no character that means anything in HTML, or ends a line in a script.
pub(super) fn harmless(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => harmless.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => harmless.push(character),
        }
    }
    harmless
}
