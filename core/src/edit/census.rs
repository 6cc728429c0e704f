//! Which spans are on which connections: what a slice by service, trace or number of requests is chosen by.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::engine::{EngineOptions, Merge, Output, Part, Stage1, Stage2, Watermark};
use crate::event::{Body, Event};
use crate::exchange::{Finding, What};
use crate::facts::Role;
use crate::ids::{ConnKey, IdHasher, Origin, SpanId};
use crate::limits::EDIT_KNOWN;
use crate::span::Span;
use crate::tape::Meta;

/// An engine that tells the connection of each span.
#[derive(Debug)]
pub struct Census {
    watermark: Watermark,
    stage1: Stage1,
    merge: Merge,
    stage2: Stage2,
    known: Known,
    /// The recordings of TLS connections, and the connections that carry these.
    plaintexts: BTreeMap<ConnKey, Origin>,
    carriers: BTreeMap<ConnKey, ConnKey>,
}

/// The connections of exchanges whose spans are still held.
#[derive(Debug, Default)]
struct Known {
    conns: FxHashMap<SpanId, ConnKey>,
    /// Exchanges that were too many to be known at once.
    forgotten: u64,
}

impl Known {
    fn add(&mut self, span: SpanId, conn: ConnKey) {
        if self.conns.len() < EDIT_KNOWN {
            self.conns.insert(span, conn);
        } else {
            self.forgotten += 1;
        }
    }
}

impl Census {
    /// An engine that has seen nothing.
    pub fn new(options: EngineOptions) -> Self {
        let options = EngineOptions { spans: true, everything: true, metrics_step_nanos: None, ..options };
        Self {
            watermark: Watermark::default(),
            stage1: Stage1::new(Part::WHOLE, &options.limits),
            merge: Merge::default(),
            stage2: Stage2::new(options),
            known: Known::default(),
            plaintexts: BTreeMap::new(),
            carriers: BTreeMap::new(),
        }
    }

    /// Takes what META of a tape says of hosts, before the tape's events.
    pub fn meta(&mut self, meta: &Meta) {
        self.stage2.meta(meta);
    }

    /// Takes an event in.
    pub fn push(&mut self, event: &Event<'_>) {
        let Self { watermark, merge, stage2, known, plaintexts, carriers, .. } = self;
        match event.body {
            Body::Connection(info) if info.tls.is_some() && plaintexts.len() < EDIT_KNOWN => {
                plaintexts.insert(info.key, info.origin);
            }
            Body::TlsTie { conn, carrier, .. } if carrier != 0 => {
                let origin = plaintexts.get(&conn).copied();
                carriers.extend(origin.map(|origin| (conn, ConnKey::new(origin, carrier))));
            }
            _ => {}
        }
        let before = watermark.now();
        let now = watermark.admit(event.time);
        if now > before {
            merge.before(now).for_each(|finding| take(finding, known, stage2));
        }
        if event.body.conn().is_none() {
            stage2.fact(event, now);
        }
        self.stage1.push(event, now, self.merge.pending());
    }

    /// The tape is over.
    pub fn finish(&mut self) {
        let now = self.watermark.now();
        self.stage1.finish(now, self.merge.pending());
        let Self { merge, stage2, known, .. } = self;
        merge.all().for_each(|finding| take(finding, known, stage2));
        self.stage2.finish(now);
    }

    /// The connections that carry TLS connections, by these.
    pub const fn carriers(&self) -> &BTreeMap<ConnKey, ConnKey> {
        &self.carriers
    }

    /// How many exchanges were forgotten, as too many others were held: their spans do not come.
    pub const fn forgotten(&self) -> u64 {
        self.known.forgotten
    }

    /// The next span, and its connection.
    pub fn poll(&mut self) -> Option<(ConnKey, Box<Span>)> {
        loop {
            if let Output::Span(span) = self.stage2.poll_output()?
                && let Some(conn) = self.known.conns.remove(&span.span_id)
            {
                return Some((conn, span));
            }
        }
    }
}

fn take(finding: Finding, known: &mut Known, stage2: &mut Stage2) {
    if let What::Ended(exchange) = &finding.what {
        let direction = u64::from(exchange.role == Role::Client);
        let ids = IdHasher::new(exchange.conn.origin, exchange.conn.id).with(direction);
        known.add(ids.with(exchange.request.message.pos).span_id(), exchange.conn.key);
    }
    stage2.take(finding);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_counted() {
        let mut known = Known::default();
        for number in 0..EDIT_KNOWN as u64 + 3 {
            known.add(SpanId(number.to_be_bytes()), ConnKey::new(Origin([7; 16]), 1));
        }
        assert_eq!((known.conns.len(), known.forgotten), (EDIT_KNOWN, 3));
    }
}
