//! Decides which processes the configuration chooses. A pure function of the rules and of what is known of a process.

use std::collections::BTreeSet;

use crate::facts::ProcessInfo;
use crate::kubernetes::{Container, ContainerRef};
use crate::metric::MetricFeature;
use crate::signals::Signals;

use super::discovery::{DiscoveryConfig, EntryConfig, Targets};
use super::kubernetes::PodNames;
use super::name_template::NameTemplate;
use super::pattern::{Pattern, RegexPattern};
use super::pod_selector::PodSelector;
use super::ports::PortList;
use super::routes::ServiceRoutes;

/// The rules of a configuration, ready to be matched.
///
/// The first rule that a process fits decides; exclusions win over every rule. In order: the processes chosen by id, the
/// entries of `discovery.instrument` (or else of `discovery.services`), and at last `open_port` with `executable_name`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Discovery {
    pub(super) rules: Vec<Rule>,
    pub(super) excluded: Vec<Rule>,
    pub(super) observers: Vec<Rule>,
    warnings: Vec<String>,
    recorder_pidns: u32,
    host_name: Option<String>,
    host_id: Option<String>,
    pod_names: PodNames,
}

/// One rule: the selectors that a process has to fit, all of them, and what to call it then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The service's name, before all other sources.
    pub name: Option<String>,
    /// The service's namespace.
    pub namespace: Option<String>,
    /// Route patterns of the service alone.
    pub routes: Option<ServiceRoutes>,
    /// What to export of it.
    pub signals: Signals,
    pub(super) ports: Option<PortList>,
    pub(super) exe: Option<Pattern>,
    /// The beginning of the executable's path.
    pub(super) folder: Option<String>,
    pub(super) language: Option<Pattern>,
    pub(super) pids: Option<Vec<u32>>,
    pub(super) args: Option<Pattern>,
    pub(super) containers_only: bool,
    pub(super) pod: PodSelector,
}

/// What is known of where a process runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place<'a> {
    /// In no container.
    Host,
    /// In a container, of which nobody has told in which pod it is.
    Unknown,
    /// In a pod.
    Pod(&'a Container),
}

/// What rules that ask about pods say of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The rule with this index chooses it.
    Rule(usize),
    /// None does.
    Nothing,
    /// That depends on its pod, which is not known.
    Undecided,
}

/// Whether a process fits, as far as that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    Maybe,
    Yes,
}

/// An entry that cannot be a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct DiscoveryError {
    /// Where, as in `discovery.services[0]`.
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What watches others and is not recorded itself unless chosen by id: else a recorder on a whole host would mostly
/// record how its own data leaves.
const OBSERVERS: &str =
    r"(^|/)(redtape|redtape-capture|beyla|obi|ebpf-instrument|alloy|otelcol[^/]*|prometheus-config-reloader)$";

/// Namespaces of what runs a cluster, which Beyla leaves out, too.
const SYSTEM_NAMESPACES: &str =
    "^(kube-system|kube-node-lease|local-path-storage|cert-manager|monitoring|gke-.*|gatekeeper-system)$";

impl Discovery {
    /// Makes rules of what the configuration and the command line say.
    ///
    /// # Errors
    /// An entry without any selector.
    pub fn new(config: &DiscoveryConfig, targets: &Targets) -> Result<Self, DiscoveryError> {
        let mut discovery = Self::default();
        let warnings = &mut discovery.warnings;
        if !config.services.is_empty() && !config.instrument.is_empty() {
            warnings.push("discovery.services has no effect: `discovery.instrument` takes its place".into());
        }

        discovery.rules.extend(targets.pid_rule());
        discovery.rules.extend(if config.instrument.is_empty() {
            rules("services", &config.services, warnings)?
        } else {
            rules("instrument", &config.instrument, warnings)?
        });
        discovery.rules.extend(targets.port_and_exe_rule());
        if targets.system_wide {
            if discovery.rules.iter().any(|rule| rule.pids.is_none()) {
                let message = "is on its own: take it out, or everything else that chooses processes".into();
                return Err(DiscoveryError { path: "system_wide".into(), message });
            }
            // A rule without selectors.
            discovery.rules.push(Rule::default());
        }

        discovery.excluded = rules("exclude_services", &config.exclude_services, warnings)?;
        discovery.excluded.extend(rules("exclude_instrument", &config.exclude_instrument, warnings)?);
        discovery.observers = match (&config.default_exclude_instrument, &config.default_exclude_services) {
            (Some(entries), _) => rules("default_exclude_instrument", entries, warnings)?,
            (None, Some(entries)) => rules("default_exclude_services", entries, warnings)?,
            (None, None) => {
                let built_in = |expression: &str| -> Pattern {
                    let pattern: RegexPattern = expression.parse().expect("invariant: a built-in expression is valid");
                    pattern.into()
                };
                let system = PodSelector::of_namespaces(built_in(SYSTEM_NAMESPACES));
                vec![
                    Rule { exe: Some(built_in(OBSERVERS)), ..Rule::default() },
                    Rule { pod: system, ..Rule::default() },
                ]
            }
        };
        let in_folder = |folder: &String| Rule { folder: Some(folder.clone()), ..Rule::default() };
        discovery.observers.extend(config.excluded_linux_system_paths.iter().map(in_folder));
        Ok(discovery)
    }

    /// Tells the recorder's own pid namespace: `containers_only` chooses processes that are in another.
    #[must_use]
    pub fn recorder_pidns(mut self, inode: u32) -> Self {
        self.recorder_pidns = inode;
        self
    }

    /// Tells what the host is called, in place of what the tape says, and its id.
    #[must_use]
    pub(super) fn host(mut self, name: Option<String>, id: Option<String>) -> Self {
        let given = |text: &String| !text.is_empty();
        (self.host_name, self.host_id) = (name.filter(given), id.filter(given));
        self
    }

    /// Tells what of pods names their services.
    #[must_use]
    pub(super) fn naming(mut self, names: PodNames) -> Self {
        self.pod_names = names;
        self
    }

    /// What of pods names their services.
    pub const fn pod_names(&self) -> &PodNames {
        &self.pod_names
    }

    /// What the host is called, in place of what the tape says.
    pub fn host_name(&self) -> Option<&str> {
        self.host_name.as_deref()
    }

    /// The host's id, `host.id`.
    pub fn host_id(&self) -> Option<&str> {
        self.host_id.as_deref()
    }

    /// Whether there is no rule, so that no process can be chosen.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a process may be chosen by the ports that it listens on.
    pub fn by_ports(&self) -> bool {
        self.rules.iter().any(|rule| rule.ports.is_some())
    }

    /// Whether a process may be chosen because it listens on `port`: if not, that it does changes nothing.
    pub fn names_port(&self, port: u16) -> bool {
        self.rules.iter().filter_map(|rule| rule.ports.as_ref()).any(|ports| ports.contains(port))
    }

    /// The annotations of pods that a rule asks about, or the names of services.
    pub fn pod_annotations(&self) -> BTreeSet<String> {
        let rules = self.rules.iter().chain(&self.excluded).chain(&self.observers);
        let of_names = self.pod_names.template.iter().flat_map(NameTemplate::annotations);
        rules.flat_map(|rule| rule.pod.annotations()).chain(of_names).map(str::to_owned).collect()
    }

    /// What the configuration says without effect, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The metrics that any of the entries asks for its service.
    pub fn features(&self) -> BTreeSet<MetricFeature> {
        self.rules.iter().flat_map(|rule| rule.signals.features.iter().flatten()).copied().collect()
    }

    /// The rule at an index that [`Discovery::select`] returned.
    pub fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// The index of the rule that chooses `process`, looking at nothing but itself.
    pub fn select(&self, process: &ProcessInfo) -> Option<usize> {
        self.select_child(process, None)
    }

    /// As [`Discovery::select`], for a process whose parent was chosen by the rule `parent`.
    ///
    /// A child inherits what it cannot show itself: being chosen by its ancestor's id, and, as long as it listens on no
    /// port, by its parent's ports. The other selectors of the rule it has to fit itself.
    ///
    /// Whoever asks this knows of no pods, as the recorder: a process in a container fits what asks about its pod, and nothing
    /// is excluded because of its pod. So what is recorded is more than what [`Discovery::decide`] leaves.
    pub fn select_child(&self, process: &ProcessInfo, parent: Option<usize>) -> Option<usize> {
        let in_container = ContainerRef::of_cgroup(&process.cgroup).is_some();
        let place = if in_container { Place::Unknown } else { Place::Host };
        if self.excludes(process, place) == Fit::Yes {
            return None;
        }
        self.fitting(process, parent, place).next().map(|(index, _)| index)
    }

    /// What the rules say of a process, where `place` tells what they ask about its pod.
    pub fn decide(&self, process: &ProcessInfo, parent: Option<usize>, place: Place<'_>) -> Choice {
        let excludes = self.excludes(process, place);
        match self.fitting(process, parent, place).next() {
            Some(_) if excludes == Fit::Maybe => Choice::Undecided,
            Some((index, Fit::Yes)) if excludes == Fit::No => Choice::Rule(index),
            Some((_, Fit::Maybe)) if excludes == Fit::No => Choice::Undecided,
            _ => Choice::Nothing,
        }
    }

    fn excludes(&self, process: &ProcessInfo, place: Place<'_>) -> Fit {
        let fit = |rule: &Rule| rule.fit(process, false, self.recorder_pidns, place);
        self.excluded.iter().map(fit).max().unwrap_or(Fit::No)
    }

    /// The rules that a process fits or may fit.
    fn fitting(
        &self,
        process: &ProcessInfo,
        parent: Option<usize>,
        place: Place<'_>,
    ) -> impl Iterator<Item = (usize, Fit)> {
        let fit = move |rule: &Rule, inherits| rule.fit(process, inherits, self.recorder_pidns, place);
        let observer = self.observers.iter().any(|rule| fit(rule, false) == Fit::Yes);
        self.rules
            .iter()
            .enumerate()
            .filter(move |(_, rule)| !observer || rule.pids.is_some())
            .map(move |(index, rule)| (index, fit(rule, parent == Some(index))))
            .filter(|(_, fit)| *fit != Fit::No)
    }
}

impl Rule {
    fn fit(&self, process: &ProcessInfo, inherits: bool, recorder_pidns: u32, place: Place<'_>) -> Fit {
        let port = self.ports.as_ref().is_none_or(|ports| {
            process.listening.iter().any(|port| ports.contains(*port)) || (inherits && process.listening.is_empty())
        });
        let exe = self.exe.as_ref().is_none_or(|exe| !process.exe.is_empty() && exe.matches(&process.exe));
        let pid = self.pids.as_ref().is_none_or(|pids| inherits || pids.contains(&process.tgid.0));
        let folder = self.folder.as_ref().is_none_or(|folder| process.exe.starts_with(folder));
        let language =
            self.language.as_ref().is_none_or(|language| process.language().is_some_and(|of| language.matches(of)));
        let container = !self.containers_only || process.pidns != recorder_pidns;
        let itself = port && exe && folder && language && pid && container;
        if !itself || !self.fits_args(process) {
            return Fit::No;
        }
        match place {
            _ if self.pod.is_empty() => Fit::Yes,
            Place::Host => Fit::No,
            Place::Unknown => Fit::Maybe,
            Place::Pod(container) if self.pod.matches(container) => Fit::Yes,
            Place::Pod(_) => Fit::No,
        }
    }

    fn fits_args(&self, process: &ProcessInfo) -> bool {
        self.args.as_ref().is_none_or(|args| args.matches(&process.cmdline.get(1..).unwrap_or_default().join(" ")))
    }
}

impl Targets {
    fn pid_rule(&self) -> Option<Rule> {
        let pids = (!self.target_pids.is_empty()).then(|| self.target_pids.clone())?;
        Some(Rule { pids: Some(pids), ..Rule::default() })
    }

    fn port_and_exe_rule(&self) -> Option<Rule> {
        let rule = Rule {
            name: self.service_name.clone(),
            namespace: self.service_namespace.clone(),
            ports: self.open_port.clone(),
            exe: self.executable.clone(),
            ..Rule::default()
        };
        (rule.ports.is_some() || rule.exe.is_some()).then_some(rule)
    }
}

/// Makes rules of the entries of one list, and says what in them has no effect.
fn rules<P>(list: &str, entries: &[EntryConfig<P>], warnings: &mut Vec<String>) -> Result<Vec<Rule>, DiscoveryError>
where
    P: Clone + Into<Pattern>,
{
    let rule = |(at, entry): (usize, &EntryConfig<P>)| {
        let path = format!("discovery.{list}[{at}]");
        let rule = Rule {
            name: entry.name.clone(),
            namespace: entry.namespace.clone(),
            routes: entry.routes.clone(),
            signals: entry
                .signals()
                .map_err(|(key, message)| DiscoveryError { path: format!("{path}.{key}"), message })?,
            ports: entry.open_ports.clone(),
            exe: entry.exe_path.clone().map(Into::into),
            folder: None,
            language: entry.languages.clone().map(Into::into),
            pids: entry.target_pids.clone(),
            args: entry.cmd_args.clone().map(Into::into),
            containers_only: entry.containers_only.unwrap_or(false),
            pod: PodSelector::new(entry),
        };
        if rule.language.is_some() {
            warnings.push(format!(
                "{path}.languages fits interpreters alone: the language of machine code is not on a tape"
            ));
        }
        if rule.selects_nothing() {
            let message =
                "selects nothing; give it one of open_ports, exe_path, target_pids, cmd_args, languages, containers_only, k8s_*".into();
            return Err(DiscoveryError { path, message });
        }
        Ok(rule)
    };
    entries.iter().enumerate().map(rule).collect()
}

impl Rule {
    fn selects_nothing(&self) -> bool {
        self.ports.is_none()
            && self.exe.is_none()
            && self.language.is_none()
            && self.pids.is_none()
            && self.args.is_none()
            && !self.containers_only
            && self.pod.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Choice, Discovery, Place, Targets};
    use crate::config::DiscoveryConfig;
    use crate::facts::ProcessInfo;
    use crate::ids::Tgid;
    use crate::kubernetes::{Container, Pod};

    const YAML: &str = r#"
services:
  - name: shop
    namespace: prod
    open_ports: 80,8000-8999
    exe_path: shop
  - open_port: 8080
  - exe_path_regexp: ^/usr/bin/python3
    cmd_args: manage\.py .*serve
  - target_pids: [42]
  - exe_path: wrapped
    containers_only: true
  - exe_path: pod
    languages: go
exclude_services:
  - exe_path: secret
"#;

    fn process(exe: &str, listening: &[u16]) -> ProcessInfo {
        ProcessInfo { exe: exe.to_owned(), listening: listening.to_vec(), pidns: 1, ..ProcessInfo::default() }
    }

    fn discovery(yaml: &str) -> Discovery {
        let config: DiscoveryConfig = serde_saphyr::from_str(yaml).unwrap();
        Discovery::new(&config, &Targets::default()).unwrap().recorder_pidns(1)
    }

    #[test]
    fn first_rule_whose_selectors_all_fit() {
        let rules = discovery(YAML);
        let python = ProcessInfo {
            cmdline: ["python3", "manage.py", "run", "serve"].map(str::to_owned).to_vec(),
            ..process("/usr/bin/python3", &[])
        };
        let cases: &[(&str, ProcessInfo, Option<usize>)] = &[
            ("both selectors", process("/opt/shop", &[8080]), Some(0)),
            ("port alone: a later rule", process("/opt/other", &[8080]), Some(1)),
            ("exe alone", process("/opt/shop", &[]), None),
            ("another port", process("/opt/shop", &[9000]), None),
            ("any of its ports", process("/opt/shop", &[22, 8999]), Some(0)),
            ("exclusion wins", process("/opt/secret-shop", &[80]), None),
            ("arguments without the program", python, Some(2)),
            ("program without the arguments", process("/usr/bin/python3", &[]), None),
            ("by id", ProcessInfo { tgid: Tgid(42), ..process("", &[]) }, Some(3)),
            ("not in a container", process("/wrapped", &[]), None),
            ("in a container", ProcessInfo { pidns: 2, ..process("/wrapped", &[]) }, Some(4)),
            ("undecidable", process("/pod", &[]), None),
            ("an observer", process("/usr/bin/beyla", &[8080]), None),
            ("an observer's namesake", process("/usr/bin/beyla-shop", &[80]), Some(0)),
        ];
        for (what, process, expected) in cases {
            assert_eq!(rules.select(process), *expected, "{what}");
        }
        assert_eq!(rules.rule(0).unwrap().name.as_deref(), Some("shop"));
        assert_eq!(
            rules.warnings(),
            ["discovery.services[5].languages fits interpreters alone: the language of machine code is not on a tape"]
        );
    }

    #[test]
    fn children_inherit_ids_and_ports() {
        let rules = discovery(YAML);
        let worker = process("/opt/shop-worker", &[]);
        assert_eq!(rules.select_child(&worker, None), None);
        assert_eq!(rules.select_child(&worker, Some(0)), Some(0));
        assert_eq!(rules.select_child(&process("/bin/sh", &[]), Some(0)), None, "the exe has to fit");
        assert_eq!(rules.select_child(&process("/opt/shop", &[22]), Some(0)), None, "it shows ports of its own");
        assert_eq!(rules.select_child(&process("/bin/sh", &[22]), Some(3)), Some(3));
        assert_eq!(rules.select_child(&process("/bin/secret", &[]), Some(3)), None);
    }

    #[test]
    fn what_asks_about_pods_is_decided_where_they_are_known() {
        let rules = discovery(
            "instrument: [{k8s_namespace: shop, k8s_pod_labels: {tier: 'web*'}}, {open_ports: 80}]\n\
             exclude_instrument: [{k8s_owner_name: batch}]",
        );
        assert!(rules.pod_annotations().is_empty());
        let noted = discovery("exclude_services: [{k8s_pod_annotations: {note: x}}]");
        assert_eq!(noted.pod_annotations().first().map(String::as_str), Some("note"));
        let pod = |namespace, tier, owner| {
            let pairs = [
                ("k8s.pod.uid", "u"),
                ("k8s.namespace.name", namespace),
                ("k8s.pod.label.tier", tier),
                ("k8s.replicaset.name", owner),
            ];
            Container { id: Box::default(), pod: Pod::from_facts(pairs).map(Arc::new) }
        };
        let contained = ProcessInfo { cgroup: format!("/docker/{}", "a".repeat(64)), ..process("/app", &[]) };
        let serving = ProcessInfo { listening: vec![80], ..contained.clone() };
        let (fits, other) = (pod("shop", "web-1", "web"), pod("shop", "db", "db"));
        let (batch, system) = (pod("shop", "web-1", "batch"), pod("kube-system", "web", "dns"));
        for (what, process, recorded, place, choice) in [
            ("it fits", &contained, Some(0), Place::Pod(&fits), Choice::Rule(0)),
            ("another label", &contained, Some(0), Place::Pod(&other), Choice::Nothing),
            ("another label, but a later rule", &serving, Some(0), Place::Pod(&other), Choice::Rule(1)),
            ("not known yet", &contained, Some(0), Place::Unknown, Choice::Undecided),
            ("not known yet, before a later rule", &serving, Some(0), Place::Unknown, Choice::Undecided),
            ("excluded", &serving, Some(0), Place::Pod(&batch), Choice::Nothing),
            ("a namespace of the system", &serving, Some(0), Place::Pod(&system), Choice::Nothing),
            ("in no container", &process("/app", &[]), None, Place::Host, Choice::Nothing),
            ("in no container, and a later rule", &process("/app", &[80]), Some(1), Place::Host, Choice::Rule(1)),
        ] {
            assert_eq!((rules.select(process), rules.decide(process, None, place)), (recorded, choice), "{what}");
        }
    }

    #[test]
    fn globs_replace_regexes() {
        let rules = discovery(
            "services: [{exe_path: nginx}]\ninstrument: [{exe_path: '*/shop'}]\nexclude_instrument: [{open_ports: 22}]",
        );
        assert_eq!(rules.select(&process("/opt/shop", &[])), Some(0));
        assert_eq!(rules.select(&process("/opt/shop", &[22])), None);
        assert_eq!(rules.select(&process("/usr/sbin/nginx", &[])), None);
        assert_eq!(rules.warnings(), ["discovery.services has no effect: `discovery.instrument` takes its place"]);
    }

    #[test]
    fn targets_frame_the_entries() {
        let config: DiscoveryConfig = serde_saphyr::from_str("services: [{exe_path: shop}]").unwrap();
        let targets = Targets {
            target_pids: vec![7],
            open_port: Some("80".parse().unwrap()),
            executable: Some(super::Pattern::Regex("nginx".parse().unwrap())),
            service_name: Some("edge".to_owned()),
            service_namespace: None,
            system_wide: false,
        };
        let rules = Discovery::new(&config, &targets).unwrap();
        let redtape = ProcessInfo { tgid: Tgid(7), ..process("/usr/bin/redtape", &[]) };
        assert_eq!(rules.select(&redtape), Some(0), "chosen by id, though an observer");
        assert_eq!(rules.select(&process("/opt/shop", &[80])), Some(1));
        assert_eq!(rules.select(&process("/usr/sbin/nginx", &[80])), Some(2));
        assert_eq!(rules.rule(2).unwrap().name.as_deref(), Some("edge"));
        assert_eq!(rules.select(&process("/usr/sbin/nginx", &[])), None);
    }

    #[test]
    fn bad_entries() {
        let error = |yaml: &str| {
            let parsed = serde_saphyr::from_str::<DiscoveryConfig>(yaml);
            match parsed {
                Err(error) => error.to_string(),
                Ok(config) => Discovery::new(&config, &Targets::default()).unwrap_err().to_string(),
            }
        };
        assert!(error("services: [{name: x}]").starts_with("discovery.services[0]: selects nothing;"));
        assert_eq!(
            error("services: [{exe_path: x, sampler: {name: traceidratio, arg: 2}}]"),
            "discovery.services[0].sampler.arg: `2` is no number from 0 to 1"
        );
        assert!(error("services:\n  - exe_pth: x").contains("exe_pth"));
        assert!(error("services:\n  - exe_path: a(").contains("unclosed group"));
        assert!(error("services:\n  - open_ports: 80-").contains("\"80-\" is neither a port nor a range"));
    }
}
