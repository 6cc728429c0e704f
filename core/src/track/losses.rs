//! Until when records may be missing, of which recording.

use rustc_hash::FxHashMap;

use crate::event::Loss;
use crate::ids::Origin;
use crate::time::MonoNanos;

/// The latest moments that lost records can be from.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Of any recording.
    any: MonoNanos,
    /// Of one.
    of: FxHashMap<Origin, MonoNanos>,
}

impl Losses {
    /// Takes a loss in. Of so many recordings as `limit` says each has its own; those of more are held against all.
    pub(super) fn add(&mut self, loss: &Loss, limit: usize) {
        let known = |origin: &Origin| self.of.len() < limit || self.of.contains_key(origin);
        let until = match loss.origin.filter(known) {
            Some(origin) => self.of.entry(origin).or_default(),
            None => &mut self.any,
        };
        *until = loss.to.max(*until);
    }

    /// Records of `origin` from up to this moment may be missing.
    #[inline]
    pub(super) fn until(&self, origin: Origin) -> MonoNanos {
        if self.of.is_empty() {
            return self.any;
        }
        self.of.get(&origin).map_or(self.any, |&until| until.max(self.any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LossCause;

    #[test]
    fn what_one_recording_lacks_is_not_missing_from_another() {
        let [a, b, c] = [1, 2, 3].map(|byte| Origin([byte; 16]));
        let (mut losses, limit) = (Losses::default(), 1);
        let mut lose = |origin, to| {
            let to = MonoNanos::new(to);
            losses.add(&Loss { cause: LossCause::Truncated, count: 1, from: MonoNanos::ZERO, to, origin }, limit);
            [a, b].map(|origin| losses.until(origin).nanos())
        };
        assert_eq!(lose(Some(a), 70), [70, 0]);
        assert_eq!(lose(None, 30), [70, 30]);
        assert_eq!(lose(Some(a), 50), [70, 30]);
        assert_eq!(lose(Some(c), 90), [90, 90], "there is no room for a third: it is held against all");
    }
}
