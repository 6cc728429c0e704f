//! Tells when a file that may change has changed and is at rest again.

/// What was last seen of something that may change, as of a file its size and time. Whoever writes a file may be looked at in
/// the middle of it; so a change counts when two looks in a row have seen the same.
#[derive(Clone, Debug)]
pub struct Settled<T> {
    taken: T,
    seen: T,
}

impl<T: Clone + PartialEq> Settled<T> {
    /// As it is now.
    pub fn new(now: T) -> Self {
        Self { taken: now.clone(), seen: now }
    }

    /// Takes a look; says whether it has changed, once for each change.
    pub fn look(&mut self, now: T) -> bool {
        let at_rest = now == self.seen;
        let changed = at_rest && now != self.taken;
        if changed {
            self.taken = now.clone();
        }
        self.seen = now;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::Settled;

    #[test]
    fn a_change_counts_when_it_is_over() {
        let mut file = Settled::new(1);
        let changed = [1, 2, 3, 3, 3, 4, 3, 3, 5, 5].map(|now| file.look(now));
        assert_eq!(changed, [false, false, false, true, false, false, false, false, false, true]);
    }
}
