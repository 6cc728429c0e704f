//! What was learned from outside so far: for each tape that begins later to say it again.

use std::collections::VecDeque;

use crate::config::ConfigText;
use crate::kubernetes::Pod;

/// The latest configuration, and the latest facts of each pod, in the order in which they came. At most 1024 pods; the oldest
/// go first.
#[derive(Debug, Default)]
pub struct Outside {
    config: Option<Vec<(String, String)>>,
    /// With their uids.
    pods: VecDeque<(String, Vec<(String, String)>)>,
}

const PODS_MAX: usize = 1 << 10;

impl Outside {
    /// Takes note of facts; of those that nothing is known to do with, not.
    pub fn learn(&mut self, facts: &[(String, String)]) {
        if ConfigText::from_facts(facts).is_some() {
            self.config = Some(facts.to_vec());
            return;
        }
        let Some(pod) = Pod::from_facts(facts.iter().map(|(key, value)| (&**key, &**value))) else { return };
        let uid = pod.uid();
        self.pods.retain(|(other, _)| other != uid);
        if self.pods.len() == PODS_MAX {
            self.pods.pop_front();
        }
        self.pods.push_back((uid.into(), facts.to_vec()));
    }

    /// All of them, the configuration first.
    pub fn facts(&self) -> impl Iterator<Item = &[(String, String)]> {
        self.config.iter().chain(self.pods.iter().map(|(_, facts)| facts)).map(|facts| &**facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_come_and_go_and_the_configuration_stays() {
        let mut outside = Outside::default();
        let config = ConfigText::default().to_facts();
        outside.learn(&config);
        for number in 0..=PODS_MAX {
            outside.learn(&[("k8s.pod.uid".into(), number.to_string())]);
        }
        assert_eq!(outside.facts().next(), Some(&*config));
        assert_eq!(outside.facts().count(), 1 + PODS_MAX);
        let last = PODS_MAX.to_string();
        assert!(outside.facts().last().is_some_and(|facts| facts[0].1 == last));
    }
}
