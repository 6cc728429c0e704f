//! What the rules of discovery ask of a process, in words.

use super::pattern::Pattern;
use super::pod_selector::PodSelector;
use super::select::{Discovery, Rule};

impl Discovery {
    /// The rules that choose processes, in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules of processes that are never recorded.
    pub fn excluded(&self) -> &[Rule] {
        &self.excluded
    }

    /// The rules of processes that are recorded only if chosen by id.
    pub fn excluded_unless_by_id(&self) -> &[Rule] {
        &self.observers
    }
}

impl Rule {
    /// What a process has to be, a clause each: all of them have to hold. None at all hold of every process.
    pub fn conditions(&self) -> Vec<String> {
        let PodSelector { facts, labels, annotations } = &self.pod;
        let list = |ids: &Vec<u32>| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let single = [
            self.ports.as_ref().map(|ports| format!("it listens on {ports}")),
            self.exe.as_ref().map(|exe| format!("the path of its executable {}", words(exe))),
            self.folder.as_ref().map(|folder| format!("its executable is in {folder}")),
            self.language.as_ref().map(|language| format!("its language {}", words(language))),
            self.pids.as_ref().map(|pids| format!("its id, or that of an ancestor, is {}", list(pids))),
            self.args.as_ref().map(|args| format!("its arguments {}", words(args))),
            self.containers_only.then(|| "it is in a container".to_owned()),
        ];
        let facts = facts.iter().map(|(fact, pattern)| format!("its {} {}", fact.key(), words(pattern)));
        let labels = labels.iter().map(|(key, pattern)| format!("the label {key} of its pod {}", words(pattern)));
        let annotations =
            annotations.iter().map(|(key, pattern)| format!("the annotation {key} of its pod {}", words(pattern)));
        single.into_iter().flatten().chain(facts).chain(labels).chain(annotations).collect()
    }
}

fn words(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Regex(pattern) => format!("contains `{}`", pattern.as_str()),
        Pattern::Glob(pattern) => format!("fits `{}`", pattern.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn rules_in_words() {
        let yaml = "open_port: 80
discovery:
  services:
    - {exe_path: '(a)|(b)', open_ports: '443', k8s_namespace: ^prod, k8s_pod_labels: {app: x}}
    - {target_pids: [1, 2], cmd_args: serve, containers_only: true, languages: python}
  exclude_instrument: [{exe_path: '*/sshd'}]
  excluded_linux_system_paths: [/sbin/]
";
        let discovery = Config::from_yaml(yaml, "c.yml").unwrap().0.discovery().unwrap();
        let rules: Vec<_> = discovery.rules().iter().map(|rule| rule.conditions().join("; ")).collect();
        assert_eq!(
            rules,
            [
                "it listens on 443; the path of its executable contains `(a)|(b)`; its k8s.namespace.name contains `^prod`; \
                 the label app of its pod contains `x`",
                "its language contains `python`; its id, or that of an ancestor, is 1, 2; its arguments contains `serve`; it \
                 is in a container",
                "it listens on 80",
            ]
        );
        assert_eq!(discovery.excluded()[0].conditions(), ["the path of its executable fits `*/sshd`"]);
        assert_eq!(discovery.excluded_unless_by_id().last().unwrap().conditions(), ["its executable is in /sbin/"]);
    }
}
