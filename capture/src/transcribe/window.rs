//! The reorder window: events leave it in order of (time, CPU, number) once nothing earlier is to be expected.

use std::collections::BTreeMap;

use redtape_core::{EventBuf, MonoNanos};

/// How long an event is held back, in nanoseconds. Records come in the order in which their space in the ring was
/// reserved; what they say happened up to a preemption earlier, and a call that counts at its entry comes at its exit.
pub(crate) const WINDOW_NANOS: u64 = 50_000_000;

/// Events on their way to the tape.
#[derive(Debug, Default)]
pub(crate) struct Window {
    held: BTreeMap<(MonoNanos, u16, u64), EventBuf>,
    /// Everything up to here has left.
    released: MonoNanos,
}

impl Window {
    /// Takes an event in. One that should have left already is given back, marked late.
    pub(crate) fn push(&mut self, mut event: EventBuf) -> Option<EventBuf> {
        if event.time < self.released {
            event.late = true;
            return Some(event);
        }
        // Numbers are unique on a CPU, so no event can take another's place.
        self.held.insert((event.time, event.cpu, event.seq), event);
        None
    }

    /// The next event that counts at `until` or before.
    pub(crate) fn pop(&mut self, until: MonoNanos) -> Option<EventBuf> {
        let first = self.held.first_entry().filter(|first| first.key().0 <= until)?;
        self.released = self.released.max(first.key().0);
        Some(first.remove())
    }

    /// Says that everything up to `until` has left, also where nothing was.
    pub(crate) fn release(&mut self, until: MonoNanos) {
        self.released = self.released.max(until);
    }

    /// Up to where everything has left.
    pub(crate) fn released(&self) -> MonoNanos {
        self.released
    }

    /// Events held.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}
