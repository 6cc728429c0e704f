//! The redactor: events in, events without secrets out.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::conn::{Conn, Cx, mask_call};
use super::facts::{
    HASH, POLICY, UNKNOWN, VALUES, changed_facts, changed_of_process, redact_connection, redact_facts, redact_meta,
    redact_process,
};
use super::key::Key;
use super::policy::{PolicyError, RedactPolicy, ValueMode};
use super::queue::{Queue, Redacted};
use super::rules::{Rule, Rules};
use crate::event::{Body, BodyBuf, Event};
use crate::ids::ConnKey;
use crate::limits::REDACT_CONNECTIONS;
use crate::tape::Meta;
use crate::time::MonoNanos;

/// Takes secrets out of the events of a tape.
///
/// Each event that was pushed comes out of [`Redactor::poll`], in the same order. What cannot be understood is masked, so it
/// does not matter for secrecy what the events say.
#[derive(Debug)]
pub struct Redactor {
    rules: Rules,
    queue: Queue,
    conns: FxHashMap<ConnKey, Conn>,
    /// Connections by the number of their last event: the one idle for longest first.
    idle: BTreeMap<u64, ConnKey>,
    counts: Counts,
    now: MonoNanos,
}

/// How much was masked, by rule: values, for bodies and what was not understood bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Rule::ALL.len()]);

impl Counts {
    pub(super) fn add(&mut self, rule: Rule, count: u64) {
        if let Some(slot) = self.0.get_mut(rule as usize) {
            *slot = slot.saturating_add(count);
        }
    }

    /// How much there was of one rule.
    pub(super) fn of(&self, rule: Rule) -> u64 {
        self.0.get(rule as usize).copied().unwrap_or_default()
    }

    /// How much there was of each rule.
    pub fn iter(&self) -> impl Iterator<Item = (Rule, u64)> {
        Rule::ALL.into_iter().zip(self.0)
    }
}

impl Redactor {
    /// A redactor of one tape.
    ///
    /// # Errors
    /// The policy has patterns that are none, or lacks its key.
    pub fn new(policy: &RedactPolicy, key: Option<Key>) -> Result<Self, PolicyError> {
        Ok(Self {
            rules: Rules::new(policy, key)?,
            queue: Queue::default(),
            conns: FxHashMap::default(),
            idle: BTreeMap::new(),
            counts: Counts::default(),
            now: MonoNanos::ZERO,
        })
    }

    /// META of the tape when it is redacted: without secrets, and with the policy. To be asked for before any event is pushed, since tokens
    /// of an earlier redaction, of which it tells, stay as they are.
    pub fn meta(&mut self, meta: &Meta) -> Meta {
        let policy = self.rules.policy();
        let hashed = (HASH, policy.values == ValueMode::Hash);
        let mut redacted = redact_meta(meta, policy);
        let before = meta.extra.iter().find(|(key, _)| key == VALUES);
        // Of a tape that was made of several, one of which was not redacted, nothing can be said.
        let had_tokens = !meta.redaction.is_empty() && before.is_some_and(|(_, value)| value == hashed.0);
        redacted.redaction.clone_from(&policy.name);
        redacted.extra.retain(|(key, _)| key != POLICY && key != VALUES);
        redacted.extra.push((POLICY.into(), policy.to_yaml()));
        if hashed.1 || had_tokens {
            redacted.extra.push((VALUES.into(), hashed.0.into()));
        }
        self.rules.tokens_stay = had_tokens;
        redacted
    }

    pub(super) const fn policy(&self) -> &RedactPolicy {
        self.rules.policy()
    }

    /// Takes an event.
    pub fn push(&mut self, event: &Event<'_>) {
        self.now = self.now.max(event.time);
        let number = self.queue.push(event);
        let Self { rules, queue, counts, .. } = self;
        let policy = rules.policy();
        let changed = match queue.event(number).map(|event| &mut event.body) {
            Some(BodyBuf::Process(info)) => {
                redact_process(info, policy);
                let Body::Process(before) = event.body else { return };
                changed_of_process(before, info).map(|fact| (Rule::Process, fact))
            }
            Some(BodyBuf::Connection(info)) => {
                let known = info.ext.as_bytes().is_empty();
                redact_connection(info);
                (!known).then(|| (Rule::Fact, UNKNOWN.to_owned()))
            }
            Some(BodyBuf::Enrich(facts)) => {
                redact_facts(facts, policy);
                let Body::Enrich(before) = event.body else { return };
                changed_facts(before, facts).next().map(|key| (Rule::Fact, format!("`{key}`")))
            }
            _ => None,
        };
        // What is not known of an event is left out of it.
        let changed = changed.or_else(|| (!event.ext.0.is_empty()).then(|| (Rule::Fact, UNKNOWN.to_owned())));
        if let Some((rule, fact)) = changed {
            queue.changed(number, rule, fact);
            counts.add(rule, 1);
        }
        if let Some(key) = event.body.conn() {
            self.push_of_connection(number, key, event);
        }
        while self.queue.is_blocked() && self.queue.is_overdue(self.now) {
            self.decide_first();
        }
    }

    fn push_of_connection(&mut self, number: u64, key: ConnKey, event: &Event<'_>) {
        let info = if let Body::Connection(info) = event.body { Some(info) } else { None };
        self.make_room(key);
        let Self { rules, queue, counts, conns, idle, .. } = self;
        let conn = conns.entry(key).or_insert_with(|| Conn::new(info));
        idle.remove(&conn.used);
        conn.used = number + 1;
        idle.insert(conn.used, key);
        if let Some(info) = info {
            conn.learn(info);
        }
        let mut cx = Cx { queue, rules, counts };
        conn.push(number, &event.body, event.time, &mut cx);
        if let Body::Close { .. } = event.body {
            conn.end(&mut cx);
            idle.remove(&conn.used);
            conns.remove(&key);
        }
    }

    /// Forgets the connection that is idle for longest, if there are too many for one more.
    fn make_room(&mut self, key: ConnKey) {
        if self.conns.len() < REDACT_CONNECTIONS || self.conns.contains_key(&key) {
            return;
        }
        let Some((_, oldest)) = self.idle.pop_first() else { return };
        if let Some(mut conn) = self.conns.remove(&oldest) {
            conn.give_up(&mut Cx { queue: &mut self.queue, rules: &self.rules, counts: &mut self.counts });
        }
    }

    /// The first event has waited for too long: what is not decided of its connection is masked.
    fn decide_first(&mut self) {
        let Self { rules, queue, counts, conns, .. } = self;
        let first = queue.first();
        let key = queue.event(first).and_then(|event| event.as_event().body.conn());
        if let Some(conn) = key.and_then(|key| conns.get_mut(&key)) {
            conn.give_up(&mut Cx { queue, rules, counts });
        }
        self.decide(first);
    }

    /// Whatever happens, the event must not wait any longer: what nothing has decided about is masked.
    fn decide(&mut self, event: u64) {
        let Self { rules, queue, counts, .. } = self;
        if queue.release_all(event) {
            mask_call(event, &mut Cx { queue, rules, counts });
        }
    }

    /// The tape is over: everything is decided.
    pub fn finish(&mut self) {
        let Self { rules, queue, counts, conns, idle, .. } = self;
        for key in std::mem::take(idle).into_values() {
            if let Some(mut conn) = conns.remove(&key) {
                conn.end(&mut Cx { queue, rules, counts });
            }
        }
        // Whichever still waits, first or not, and whatever the connections say of it.
        for event in self.queue.numbers() {
            self.decide(event);
        }
    }

    /// The next event that is decided.
    pub fn poll(&mut self) -> Option<Redacted> {
        self.queue.pop()
    }

    /// How much was masked so far.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventBuf;

    #[test]
    fn nothing_is_left_behind_one_that_waits() {
        let mut redactor = Redactor::new(&RedactPolicy::default(), None).unwrap();
        for time in 0..3 {
            redactor.push(&EventBuf::new(MonoNanos::new(time), BodyBuf::Plain(Body::Tick)).as_event());
        }
        redactor.queue.hold(1);
        redactor.finish();
        assert_eq!(std::iter::from_fn(|| redactor.poll()).count(), 3);
    }
}
