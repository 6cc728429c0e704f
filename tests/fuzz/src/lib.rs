//! What the targets share: a connection, and events on it.

use redtape_core::{Body, ConnInfo, Event, Ext, MonoNanos, Origin, Role};

/// A connection of which little is known.
pub fn connection(role: Role, preexisting: bool) -> ConnInfo {
    ConnInfo { role, preexisting, ..ConnInfo::unknown(Origin::default(), 1) }
}

/// An event at this time, unnumbered.
pub fn event(now: u64, body: Body<'_>) -> Event<'_> {
    Event { time: MonoNanos::new(now), cpu: 0, seq: 0, late: false, body, ext: Ext(&[]) }
}
