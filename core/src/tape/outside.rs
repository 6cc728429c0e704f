//! What was learned from outside so far: for each tape that begins later to say it again.

use std::collections::VecDeque;

use crate::config::ConfigText;
use crate::kubernetes::Pod;

/// The latest facts of each pod, and the latest configuration, in the order in which they came. At most 1024; the oldest go
/// first.
#[derive(Debug, Default)]
pub struct Outside {
    learned: VecDeque<(Subject, Vec<(String, String)>)>,
}

/// What facts are about: later ones of the same take the place of earlier ones.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Config,
    Pod(String),
}

const LEARNED_MAX: usize = 1 << 10;

impl Outside {
    /// Takes note of facts; of those that nothing is known to do with, not.
    pub fn learn(&mut self, facts: &[(String, String)]) {
        let Some(subject) = Subject::of(facts) else { return };
        self.learned.retain(|(other, _)| *other != subject);
        if self.learned.len() == LEARNED_MAX {
            self.learned.pop_front();
        }
        self.learned.push_back((subject, facts.to_vec()));
    }

    /// All of them.
    pub fn facts(&self) -> impl Iterator<Item = &[(String, String)]> {
        self.learned.iter().map(|(_, facts)| &**facts)
    }
}

impl Subject {
    fn of(facts: &[(String, String)]) -> Option<Self> {
        let text = facts.iter().map(|(key, value)| (&**key, &**value));
        let pod = || Pod::from_facts(text).map(|pod| Self::Pod(pod.uid().into()));
        ConfigText::from_facts(facts).map(|_| Self::Config).or_else(pod)
    }
}
