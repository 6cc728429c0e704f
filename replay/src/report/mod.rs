//! `report`: a page about tapes that needs nothing but a browser.

mod args;
mod command;
mod data;
mod graph;
mod label_costs;
mod page;
mod sink;
mod status;
#[cfg(test)]
mod tests;
mod timeline;
mod traces;
mod trouble;

pub use args::Report;
pub(crate) use command::run;
