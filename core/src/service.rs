//! What a process is called: the service that its spans belong to, from recorded facts and the configuration.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::{PodNames, Rule};
use crate::facts::ProcessInfo;
use crate::ids::Tgid;
use crate::kubernetes::{Container, PodFact};
use crate::span::Service;

impl Service {
    /// The service of `process`, which is in `container`.
    ///
    /// Its name is the first there is of: the `name` of the discovery rule that chose it, its `OTEL_SERVICE_NAME`,
    /// `service.name` of its `OTEL_RESOURCE_ATTRIBUTES`, what its pod says, and its executable's base name (also for
    /// interpreters), else what the kernel calls it. The namespace is the rule's, else `service.namespace` of
    /// `OTEL_RESOURCE_ATTRIBUTES`, else what its pod says.
    ///
    /// A pod says its service's name by the annotation `resource.opentelemetry.io/service.name`, else by a label that
    /// `names` lists (`app.kubernetes.io/name`), else by the name of its owner or its own; the namespace by the annotation for
    /// `service.namespace`, else by a label (`app.kubernetes.io/part-of`), else by its own namespace. A template in `names` takes
    /// the place of annotation and labels of the name.
    ///
    /// The instance is `service.instance.id` of `OTEL_RESOURCE_ATTRIBUTES` or of the pod's annotation, else of a pod
    /// `NAMESPACE.POD.CONTAINER` (as OpenTelemetry's conventions have it), else `host` and process id, as in `web-1:4242`;
    /// without a host's name, the recording's origin takes its place.
    pub fn new(
        process: Arc<ProcessInfo>,
        rule: Option<&Rule>,
        host: &str,
        container: Option<Container>,
        names: &PodNames,
    ) -> Self {
        let own = |key: &str| {
            let (_, value) = process.env.iter().find(|(name, _)| name == key)?;
            Some(value.as_str()).filter(|value| !value.is_empty())
        };
        let resource = |key: &str| resource_attribute(own("OTEL_RESOURCE_ATTRIBUTES")?, key);
        let name = rule
            .and_then(|rule| rule.name.as_deref())
            .or_else(|| own("OTEL_SERVICE_NAME"))
            .map(Cow::Borrowed)
            .or_else(|| resource("service.name"))
            .or_else(|| pod_service_name(container.as_ref()?, names))
            .unwrap_or_else(|| program(&process).into());
        let namespace = rule
            .and_then(|rule| rule.namespace.as_deref())
            .map(Cow::Borrowed)
            .or_else(|| resource("service.namespace"))
            .or_else(|| {
                let labels = &names.namespace_labels;
                said_by_pod(container.as_ref()?, "service.namespace", labels, PodFact::Namespace)
            })
            .unwrap_or_default();
        let instance = resource("service.instance.id")
            .map(Cow::into_owned)
            .or_else(|| pod_instance(container.as_ref()?))
            .unwrap_or_else(|| match host {
                // A capture of packets knows addresses, and no processes.
                "" if process.tgid == Tgid(0) && !process.comm.is_empty() => process.comm.clone(),
                "" => format!("{}:{}", process.origin, process.tgid.0),
                host => format!("{host}:{}", process.tgid.0),
            });
        let signals = rule.map(|rule| rule.signals.clone()).unwrap_or_default();
        let (name, namespace, instance) = (name.into(), namespace.into(), instance.into());
        Self { name, namespace, instance, host_id: None, signals, host: host.into(), process, container }
    }
}

/// What a pod says of its service's name.
fn pod_service_name<'a>(container: &'a Container, names: &PodNames) -> Option<Cow<'a, str>> {
    let Some(template) = &names.template else {
        return said_by_pod(container, "service.name", &names.name_labels, PodFact::Owner);
    };
    let named = template.name(container).map(Cow::Owned);
    named.or_else(|| container.fact(PodFact::Owner).or_else(|| container.fact(PodFact::Name)).map(Cow::Borrowed))
}

/// What a pod says of its service: by annotation, by the first of `labels` there is, or by a fact of it.
fn said_by_pod<'a>(container: &'a Container, key: &str, labels: &[String], fact: PodFact) -> Option<Cow<'a, str>> {
    let pod = container.pod.as_ref()?;
    let label = || labels.iter().filter_map(|label| pod.label(label)).find(|value| !value.is_empty());
    let said = annotation(container, key).or_else(label);
    said.or_else(|| pod.fact(fact)).or_else(|| pod.fact(PodFact::Name)).map(Cow::Borrowed)
}

/// The annotation by which a pod gives an attribute of its resource.
fn annotation<'a>(container: &'a Container, key: &str) -> Option<&'a str> {
    let value = container.pod.as_ref()?.annotation(&format!("resource.opentelemetry.io/{key}"))?;
    Some(value).filter(|value| !value.is_empty())
}

fn pod_instance(container: &Container) -> Option<String> {
    let said = annotation(container, "service.instance.id").map(str::to_owned);
    let fact = |fact| container.fact(fact);
    said.or_else(|| {
        let (namespace, name) = (fact(PodFact::Namespace)?, fact(PodFact::Name)?);
        Some(match fact(PodFact::Container) {
            Some(container) => format!("{namespace}.{name}.{container}"),
            None => format!("{namespace}.{name}"),
        })
    })
}

/// The name of a process's service as far as the process itself tells it: without a configuration and without pods.
pub(crate) fn process_name(process: &ProcessInfo) -> Cow<'_, str> {
    let own = |key: &str| process.env.iter().find(|(name, value)| name == key && !value.is_empty());
    let named = own("OTEL_SERVICE_NAME").map(|(_, name)| Cow::Borrowed(name.as_str()));
    let attribute = || resource_attribute(&own("OTEL_RESOURCE_ATTRIBUTES")?.1, "service.name");
    named.or_else(attribute).unwrap_or_else(|| program(process).into())
}

/// The executable's name, else what the kernel calls the process.
fn program(process: &ProcessInfo) -> &str {
    [process.executable(), &process.comm].into_iter().find(|name| !name.is_empty()).unwrap_or("unknown_service")
}

/// The value of `key` in a list such as `service.namespace=shop,team=a%20b` (OpenTelemetry's resource SDK, "Specifying
/// resource information via an environment variable").
fn resource_attribute<'a>(list: &'a str, key: &str) -> Option<Cow<'a, str>> {
    let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.trim() == key)?;
    Some(percent_decoded(value.trim())).filter(|value| !value.is_empty())
}

/// `text` with what is written as `%2C` and the like in place.
pub(crate) fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let decoded = (first == b'%').then(|| after.split_first_chunk::<2>()).flatten().and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = decoded.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: (&str, &str), env: &[(&str, &str)], exe: &str, expected: (&str, &str, &str)) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut chosen_by = Rule::default();
        (chosen_by.name, chosen_by.namespace) = (some(rule.0), some(rule.1));
        let process = ProcessInfo {
            tgid: Tgid(42),
            comm: "thread".into(),
            exe: exe.into(),
            env: env.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..ProcessInfo::default()
        };
        let service = Service::new(Arc::new(process), Some(&chosen_by), "web-1", None, &PodNames::default());
        assert_eq!((&*service.name, &*service.namespace, &*service.instance), expected);
    }

    #[test]
    fn the_first_name_there_is_counts() {
        const NAME: (&str, &str) = ("OTEL_SERVICE_NAME", "own");
        const RESOURCE: (&str, &str) =
            ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=ns%2C1, service.name = res%zz%C3%A9,service.instance.id=i");
        check(("rule", "space"), &[NAME, RESOURCE], "/bin/a", ("rule", "space", "i"));
        check(("", ""), &[NAME, RESOURCE], "/bin/a", ("own", "ns,1", "i"));
        check(("", ""), &[RESOURCE], "/bin/a", ("res%zzé", "ns,1", "i"));
        check(("", ""), &[("OTEL_SERVICE_NAME", "")], "/usr/bin/python3.11", ("python3.11", "", "web-1:42"));
        check(("", ""), &[], "/opt/app (deleted)", ("app", "", "web-1:42"));
        check(("", ""), &[("OTEL_RESOURCE_ATTRIBUTES", "a,=,service.name=")], "", ("thread", "", "web-1:42"));
    }

    #[test]
    fn without_a_hosts_name_the_origin_stands_for_it() {
        let service = Service::new(Arc::new(ProcessInfo::default()), None, "", None, &PodNames::default());
        assert_eq!(&*service.name, "unknown_service");
        assert_eq!(&*service.instance, "00000000-0000-0000-0000-000000000000:0");
    }

    #[test]
    fn pods_name_services_as_the_configuration_says() {
        use crate::config::Config;
        use crate::kubernetes::Pod;

        let pod = Pod::from_facts([
            ("k8s.pod.uid", "u"),
            ("k8s.pod.name", "web-1"),
            ("k8s.namespace.name", "shop"),
            ("k8s.owner.name", "web"),
            ("k8s.pod.label.app.kubernetes.io/name", "usual"),
            ("k8s.pod.label.app", "own"),
            ("k8s.pod.label.empty", ""),
        ]);
        let container = Container { id: "a".into(), pod: pod.map(Arc::new) };
        let named = |yaml: &str| {
            let text = format!("attributes: {{kubernetes: {{{yaml}}}}}");
            let (config, _) = Config::from_yaml(&text, "c.yml").unwrap();
            let discovery = config.discovery().unwrap();
            let service = Service::new(Arc::default(), None, "h", Some(container.clone()), discovery.pod_names());
            format!("{} {}", service.name, service.namespace)
        };
        assert_eq!(named(""), "usual shop");
        assert_eq!(named("resource_labels: {service.name: [empty, app], service.namespace: [app]}"), "own own");
        assert_eq!(named("resource_labels: {service.name: []}"), "web shop");
        assert_eq!(named("meta_source_labels: {service_name: app}"), "own shop");
        assert_eq!(named("service_name_template: '{{ .Meta.Namespace }}/{{ .Meta.Name }}'"), "shop/web-1 shop");
        assert_eq!(named("service_name_template: '{{ .ContainerName }}'"), "web shop");
        let asking = "attributes: {kubernetes: {service_name_template: '{{ index .Meta.Annotations \"team\" }}'}}";
        let (config, _) = Config::from_yaml(asking, "c.yml").unwrap();
        assert_eq!(config.discovery().unwrap().pod_annotations(), [String::from("team")].into(), "live asks for it");
    }
}
