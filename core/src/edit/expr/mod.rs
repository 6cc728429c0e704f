//! Expressions about events: `filter 'service == shop and port == 8080 and payload contains "HTTP/1.1 500"'`.

mod facts;
mod field;
mod parse;
#[cfg(test)]
mod tests;
mod token;

pub use facts::{Known, Subject};
pub use field::Field;
pub use parse::{Expr, ExprError};
