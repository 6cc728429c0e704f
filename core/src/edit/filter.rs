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
}

impl Sieve {
    /// A filter by this expression.
    pub fn new(expr: Expr) -> Self {
        Self { expr, known: Known::default() }
    }

    /// How many connections and processes there were too many, so that nothing was known of them any more.
    pub const fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    /// Whether the next event of the tape is kept.
    pub fn keeps(&mut self, event: &Event<'_>) -> bool {
        self.known.learn(event);
        let keeps = match event.body {
            Body::Data(_) => self.expr.holds(&self.known.subject(event)),
            body if body.conn().is_some() => {
                let subject = self.known.subject(event);
                self.expr.holds(&subject) || self.expr.may_hold_of_connection(&subject)
            }
            _ => true,
        };
        self.known.forget(event);
        keeps
    }
}
