//! How results are written: spans as JSON lines or text, and tables for people.

mod answer;
mod beyla;
mod json;
mod table;
mod text;

pub(crate) use answer::{answer, worded};
pub(crate) use beyla::{write_beyla_json, write_beyla_text};
pub(crate) use json::write_span_json;
pub(crate) use table::Table;
pub(crate) use text::{nanos, printable, utc, write_span_text};
