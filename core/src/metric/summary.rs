//! The RED table for people: rate, errors and duration of each service, kind, method and route.

use super::label::Label;
use super::quantile::Quantiles;
use super::table::{Row, Slot, Table, Values};
use crate::exchange::Outcome;
use crate::span::{Span, SpanKind, Status};

/// Rate, errors and durations of the spans of one service, kind, method and route.
#[derive(Clone, Debug)]
pub struct RedRow {
    /// What it is about; `None` for the row that has all that was beyond the limit of rows.
    pub key: Option<RedKey>,
    /// How many spans finished: complete, cut off, or without a response.
    pub count: u64,
    /// How many of these have the status error.
    pub errors: u64,
    /// Of how many more it is not known how they ended. They are in no other column.
    pub incomplete: u64,
    /// Durations of the finished ones in nanoseconds, waiting included.
    pub duration: Quantiles,
    /// How long they waited for their first read, in nanoseconds; of those for which it is known.
    pub queue: Quantiles,
}

/// What a row of the RED table is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedKey {
    /// `service.namespace`, empty if there is none.
    pub namespace: String,
    /// `service.name`
    pub service: String,
    /// Server or client.
    pub kind: SpanKind,
    /// `http.route`, empty if it has none; of gRPC `package.Service/Method`.
    pub route: String,
    /// `http.request.method`; of gRPC `gRPC`.
    pub method: String,
}

impl RedRow {
    fn new(span: &Span) -> Self {
        Self {
            key: Some(RedKey {
                namespace: span.service.namespace.to_string(),
                service: span.service.name.to_string(),
                kind: span.kind,
                route: if span.is_grpc() { span.rpc_name() } else { &span.route }.to_owned(),
                method: if span.is_grpc() { "gRPC" } else { span.method() }.to_owned(),
            }),
            count: 0,
            errors: 0,
            incomplete: 0,
            duration: Quantiles::default(),
            queue: Quantiles::default(),
        }
    }

    /// Spans in a thousand seconds, over `tape_nanos` of tape time; 0 for no time.
    pub fn per_kilosecond(&self, tape_nanos: u64) -> u64 {
        let rate = (u128::from(self.count) * 1_000_000_000_000).checked_div(u128::from(tape_nanos));
        u64::try_from(rate.unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

/// The rows of the RED table by service, kind, route and method; the row that has the rest is last.
#[derive(Clone, Debug)]
pub struct RedTable {
    /// The rows.
    pub rows: Vec<RedRow>,
}

impl RedTable {
    /// At most `most` rows of `kind`, those with the largest 95th percentile of duration first.
    pub fn slowest(&self, kind: SpanKind, most: usize) -> Vec<&RedRow> {
        let of_kind = |row: &&RedRow| row.key.as_ref().is_some_and(|key| key.kind == kind) && row.count > 0;
        let mut rows: Vec<_> = self.rows.iter().filter(of_kind).collect();
        rows.sort_by_cached_key(|row| {
            std::cmp::Reverse((row.duration.quantile(950), row.duration.max(), std::cmp::Reverse(row.key.clone())))
        });
        rows.truncate(most);
        rows
    }
}

/// Collects the RED table span by span.
#[derive(Clone, Debug)]
pub(super) struct Red {
    table: Table<RedRow>,
}

impl Red {
    /// The labels that tell rows apart.
    pub(super) const LABELS: [Label; 6] =
        [Label::ServiceNamespace, Label::ServiceName, Label::SpanKind, Label::Route, Label::Method, Label::RpcMethod];

    pub(super) fn new(limit: usize) -> Self {
        Self { table: Table::new(limit) }
    }

    /// Counts a span, the `ordinal`th, at `place`, which is found out if it is not known.
    pub(super) fn observe(&mut self, span: &Span, place: &mut Option<Slot>, scratch: &mut Values, ordinal: u64) {
        let slot = *place.get_or_insert_with(|| {
            scratch.fill(&Self::LABELS, span);
            self.table.slot(scratch, ordinal, || RedRow::new(span))
        });
        let Some(Row { data: row, .. }) = self.table.get_mut(slot) else { return };
        if span.outcome == Outcome::Incomplete {
            row.incomplete += 1;
            return;
        }
        row.count += 1;
        row.errors += u64::from(span.status == Status::Error);
        row.duration.record(span.duration_nanos());
        if let Some(queue) = span.queue_nanos {
            row.queue.record(queue);
        }
    }

    pub(super) fn table(&self) -> RedTable {
        let row = |row: &Row<RedRow>| {
            let key = row.data.key.clone().filter(|_| row.values.is_some());
            RedRow { key, ..row.data.clone() }
        };
        let mut rows: Vec<_> = self.table.rows().map(row).collect();
        rows.sort_by(|a, b| (a.key.is_none(), &a.key).cmp(&(b.key.is_none(), &b.key)));
        RedTable { rows }
    }
}
