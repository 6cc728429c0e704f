//! Which events of a tape a filter keeps, so that what is left still decodes.

use super::expr::{Expr, Known};
use crate::event::{Body, Event};

/// Keeps the events of which an expression holds, and those without which they could not be read.
///
/// Calls that move bytes are kept where it holds. What else happens to a connection (accept, close, ...) is kept if it may hold of calls of
/// that connection, as are clocks, losses, ticks, and what is told of processes and from outside.
#[derive(Debug)]
pub struct Sieve {
    expr: Expr,
    known: Known,
    held: bool,
}

impl Sieve {
    /// A filter by this expression.
    pub fn new(expr: Expr) -> Self {
        Self { expr, known: Known::default(), held: false }
    }

    /// How many connections and processes there were too many, so that nothing was known of them any more.
    pub const fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    /// Whether the expression has held of an event.
    pub const fn has_held(&self) -> bool {
        self.held
    }

    /// Whether the next event of the tape is kept.
    pub fn keeps(&mut self, event: &Event<'_>) -> bool {
        self.known.learn(event);
        let subject = self.known.subject(event);
        let holds = self.expr.holds(&subject);
        self.held |= holds;
        let keeps = match event.body {
            Body::Data(_) => holds,
            body if body.conn().is_some() => holds || self.expr.may_hold_of_connection(&subject),
            _ => true,
        };
        self.known.forget(event);
        keeps
    }
}
