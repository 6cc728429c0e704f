//! The files of `capture/deploy`: what a cluster would refuse is refused here, by the types of its API and, where
//! ci/install has put them, by its published schemas; units by systemd; and the manifests are what the chart gives.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use libtest_mimic::Arguments;
use redtape_tests::{Process, Requirement, Result, binary, go_of_debian, tool, trial};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
const SPRIG: Requirement = Requirement::File("/usr/share/gocode/src/github.com/Masterminds/sprig/functions.go");
const SCHEMAS: Requirement = Requirement::Tool("python/bin/kubernetes-validate");

fn main() {
    const CHART: &[Requirement] = &[SPRIG, Requirement::Tool("python/bin/go")];
    const REAL: &[Requirement] = &[SCHEMAS];
    const UNITS: &[Requirement] = &[Requirement::Program("systemd-analyze")];
    let trials = vec![
        trial("manifests_are_of_the_apis_types", &[], of_the_apis_types),
        trial("manifests_fit_the_published_schemas", REAL, published_schemas),
        trial("manifests_give_the_recorder_what_it_needs_and_the_engine_nothing", &[], privileges),
        trial("a_sidecar_shares_the_processes_of_its_pod", &[], sidecar),
        trial("configurations_are_taken_without_a_warning", &[], configurations),
        trial("manifests_are_what_the_chart_gives", CHART, chart_gives_manifests),
        trial("the_chart_takes_other_values", CHART, other_values),
        trial("releases_in_two_namespaces_share_nothing", CHART, releases),
        trial("units_are_taken_by_systemd", UNITS, units),
        trial("units_let_both_give_up_privileges", UNITS, system_calls),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/deploy")
}

/// The objects of a manifest.
fn objects(text: &str) -> Result<Vec<Value>> {
    let documents = text.split("\n---\n").filter(|document| document.lines().any(|line| !line.starts_with('#')));
    documents.map(|document| serde_saphyr::from_str(document).map_err(|error| format!("{error}").into())).collect()
}

fn manifests() -> Result<Vec<(PathBuf, Vec<Value>)>> {
    let mut paths: Vec<_> = fs::read_dir(deploy().join("kubernetes"))?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(|path| Ok((path.clone(), objects(&fs::read_to_string(&path)?)?))).collect()
}

fn of_the_apis_types() -> Result<()> {
    let manifests = manifests()?;
    assert!(manifests.len() >= 3);
    for (path, objects) in manifests {
        for object in objects {
            check_object(&object).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    // The check itself finds a key that is misspelt, and a value of a wrong type.
    let account = |key: &str, value: Value| {
        let mut account = serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
        account[key] = value;
        check_object(&account)
    };
    assert!(account("automountServiceAccountToken", Value::Bool(false)).is_ok());
    assert!(account("automountServiceAccountTokens", Value::Bool(false)).is_err());
    assert!(account("automountServiceAccountToken", "no".into()).is_err());
    Ok(())
}

fn check_object(object: &Value) -> Result<()> {
    match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some("v1"), Some("ConfigMap")) => strict::<ConfigMap>(object),
        (Some("v1"), Some("Namespace")) => strict::<Namespace>(object),
        (Some("v1"), Some("Service")) => strict::<Service>(object),
        (Some("v1"), Some("ServiceAccount")) => strict::<ServiceAccount>(object),
        (Some("apps/v1"), Some("DaemonSet")) => strict::<DaemonSet>(object),
        (Some("apps/v1"), Some("Deployment")) => strict::<Deployment>(object),
        (Some("batch/v1"), Some("Job")) => strict::<Job>(object),
        (Some("rbac.authorization.k8s.io/v1"), Some("ClusterRole")) => strict::<ClusterRole>(object),
        (Some("rbac.authorization.k8s.io/v1"), Some("ClusterRoleBinding")) => strict::<ClusterRoleBinding>(object),
        (Some("monitoring.coreos.com/v1"), Some("PodMonitor")) => strict::<pod_monitor::PodMonitor>(object),
        kind => Err(format!("nothing is known of {kind:?}").into()),
    }
}

/// A type of the API leaves out what it does not know: then what is written again is not what was read.
fn strict<T: DeserializeOwned + Serialize>(object: &Value) -> Result<()> {
    let name = &object["metadata"]["name"];
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| format!("{name}: {error}"))?;
    let known = serde_json::to_value(typed)?;
    if known == *object { Ok(()) } else { Err(format!("{name}: the API knows of it only\n{known:#}\n").into()) }
}

/// The fields that are used of `monitoring.coreos.com/v1`, by the operator's API reference. There is no crate of them.
mod pod_monitor {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) struct PodMonitor {
        api_version: String,
        kind: String,
        metadata: Metadata,
        spec: Spec,
    }

    #[derive(Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Metadata {
        name: String,
        namespace: String,
        labels: BTreeMap<String, String>,
    }

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Spec {
        selector: Selector,
        pod_metrics_endpoints: Vec<Endpoint>,
    }

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Selector {
        match_labels: BTreeMap<String, String>,
    }

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Endpoint {
        port: String,
        path: String,
        interval: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        honor_labels: Option<bool>,
    }
}

fn published_schemas() -> Result<()> {
    let folder = TempDir::new()?;
    let mut command = Command::new(tool("python/bin/kubernetes-validate")?);
    command.args(["--strict", "--quiet"]);
    for (path, objects) in manifests()? {
        for (number, object) in objects.iter().enumerate() {
            // Of an object that is an operator's own there is no schema.
            if object["apiVersion"] == "monitoring.coreos.com/v1" {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().display();
            let file = folder.path().join(format!("{name}-{number}.json"));
            fs::write(&file, object.to_string())?;
            command.arg(file);
        }
    }
    Process::run(&mut command, LIMIT)?.expect_code(0)?;
    // A manifest that is wrong is told.
    let wrong = folder.path().join("wrong.json");
    fs::write(&wrong, r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"port": []}}"#)?;
    let mut command = Command::new(tool("python/bin/kubernetes-validate")?);
    Process::run(command.args(["--strict", "--quiet"]).arg(wrong), LIMIT)?.expect_code(1)?;
    Ok(())
}

fn privileges() -> Result<()> {
    for (path, objects) in manifests()? {
        for object in objects {
            let pod = &object["spec"]["template"]["spec"];
            for container in containers(pod) {
                let (name, context) = (&container["name"], &container["securityContext"]);
                let place = format!("{}: {} {name}", path.display(), object["metadata"]["name"]);
                assert_eq!(context["readOnlyRootFilesystem"], true, "{place}");
                assert_eq!(context["capabilities"]["drop"][0], "ALL", "{place}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{place}");
                if name == "recorder" {
                    let least = ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"].map(Value::from);
                    let added = context["capabilities"]["add"].as_array().cloned().unwrap_or_default();
                    assert!(added.starts_with(&least) && added.len() <= 5, "{place}: {added:?}");
                    assert_eq!(context["privileged"], false, "{place}");
                } else {
                    assert!(context["capabilities"]["add"].is_null(), "{place}");
                    assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
                    let of_all = &pod["securityContext"];
                    assert!(context["runAsNonRoot"] == true || of_all["runAsNonRoot"] == true, "{place}");
                }
            }
        }
    }
    Ok(())
}

/// Those of a pod, sidecars first.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|part| pod[part].as_array().into_iter().flatten())
}

/// A recorder looks at its pod or at its node, and a sidecar is told of what there is no pid namespace to tell by.
fn sidecar() -> Result<()> {
    let objects = objects(&fs::read_to_string(deploy().join("kubernetes/sidecar.yaml"))?)?;
    let pod = objects.iter().map(|object| &object["spec"]["template"]["spec"]).find(|pod| pod.is_object());
    let pod = pod.ok_or("no pod")?;
    assert!(pod["shareProcessNamespace"] == true && pod["hostPID"].is_null(), "{pod:#}");
    let names: Vec<_> = containers(pod).map(|container| container["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["engine", "recorder", "message"]);
    for name in 0..2 {
        assert_eq!(pod["initContainers"][name]["restartPolicy"], "Always");
    }
    // Each sees the others' processes, and a user may do with its own what it likes.
    let users: BTreeSet<_> =
        containers(pod).map(|container| container["securityContext"]["runAsUser"].as_u64()).collect();
    assert!(users.len() == 3 && !users.contains(&None), "{users:?}");
    let text = objects.iter().find_map(|object| object["data"]["redtape.yml"].as_str()).ok_or("no configuration")?;
    let configuration: Value = serde_saphyr::from_str(text)?;
    let asked = &configuration["discovery"]["instrument"][0];
    assert_eq!(asked["open_ports"], pod["containers"][0]["ports"][0]["containerPort"]);
    // In a pid namespace that all share, nothing is in another one.
    assert!(asked["containers_only"].is_null());
    Ok(())
}

fn configurations() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("redtape.yml");
    let mut found = 0;
    for (path, objects) in manifests()? {
        for text in objects.iter().filter_map(|object| object["data"]["redtape.yml"].as_str()) {
            fs::write(&file, text)?;
            let mut command = Command::new(binary("redtape")?);
            command.args(["routes", "explain", "/a", "--config"]).arg(&file);
            let finished = Process::run(&mut command, LIMIT)?.expect_code(0)?;
            assert_eq!(finished.stderr, "", "{}", path.display());
            found += 1;
        }
    }
    assert!(found > 0);
    Ok(())
}

const HEADER: &str = "\
# A recorder and an engine on each node. Made of the chart beside it, by
#   UPDATE_EXPECT=1 cargo test -p redtape-tests --test deploy
# docs/deploy.md says what each part is for.
";
const NAMESPACE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: redtape
  labels:
    # The recorder sees the processes of the node, which no lower standard allows.
    pod-security.kubernetes.io/enforce: privileged
";

fn chart_gives_manifests() -> Result<()> {
    let folder = TempDir::new()?;
    let values = folder.path().join("values.yaml");
    fs::write(&values, "podMonitor: {enabled: true}\n")?;
    let rendered = render(&[&values])?;
    let documents: Vec<_> = rendered.split("---\n").filter(|document| !document.is_empty()).collect();
    let (monitors, others): (Vec<_>, Vec<_>) =
        documents.iter().partition(|document| document.contains("kind: PodMonitor"));
    let joined = |documents: Vec<&&str>| documents.into_iter().copied().collect::<Vec<_>>().join("---\n");
    expect("redtape.yaml", &format!("{HEADER}{NAMESPACE}---\n{}", joined(others)))?;
    expect("podmonitor.yaml", &format!("# For the Prometheus operator, beside redtape.yaml.\n{}", joined(monitors)))
}

/// Compares a manifest with what it is to be; with `UPDATE_EXPECT=1`, writes it.
fn expect(name: &str, text: &str) -> Result<()> {
    let path = deploy().join("kubernetes").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, text)?;
    }
    let found = fs::read_to_string(&path)?;
    assert!(found == text, "{name} is not what the chart gives; UPDATE_EXPECT=1 writes it anew");
    Ok(())
}

fn other_values() -> Result<()> {
    let folder = TempDir::new()?;
    let values = folder.path().join("values.yaml");
    let text = "
image: {recorder: {repository: registry.example/recorder, tag: main}}
imagePullSecrets: [{name: registry}]
config: {prometheus_export: {port: 9400}, internal_metrics: null}
recorder: {capabilities: [BPF, PERFMON, SYS_PTRACE, DAC_READ_SEARCH], extraArgs: [--tls, 'off']}
engine: {extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://tempo:4317'}]}
serviceAccount: {name: other, annotations: {a: b}}
podMonitor: {enabled: true, labels: {release: prometheus}}
priorityClassName: system-node-critical
updateStrategy: {type: OnDelete, rollingUpdate: null}
podAnnotations: {a: b}
podLabels: {c: d}
";
    fs::write(&values, text)?;
    let rendered = render(&[&values])?;
    let objects = objects(&rendered)?;
    objects.iter().try_for_each(check_object)?;
    let parts = [
        "registry.example/recorder:main",
        "containerPort: 9400",
        "--tls",
        "tempo:4317",
        "release: prometheus",
        "OnDelete",
    ];
    for part in parts {
        assert!(rendered.contains(part), "{part} in {rendered}");
    }
    assert!(!rendered.contains("SYS_ADMIN") && !rendered.contains("/internal/metrics"), "{rendered}");
    // A Beyla file that chooses processes in its own way chooses no others, and may have a port of its own for itself.
    let text = "
config: {discovery: {services: [{exe_path: shop}]}, internal_metrics: {prometheus: {port: 8990, path: /own}}}
podMonitor: {enabled: true}
";
    fs::write(&values, text)?;
    let rendered = render(&[&values])?;
    assert!(!rendered.contains("k8s_namespace"), "{rendered}");
    for part in ["{name: internal, containerPort: 8990}", "- port: internal\n      path: /own\n"] {
        assert!(rendered.contains(part), "{part} in {rendered}");
    }
    fs::write(&values, "config: {internal_metrics: {prometheus: null}}\npodMonitor: {enabled: true}\n")?;
    assert!(!render(&[&values])?.contains("/internal/metrics"));
    fs::write(&values, "config: {prometheus_export: null}\n")?;
    let refused = render(&[&values]).map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|error| error.contains("prometheus_export")), "{refused:?}");
    Ok(())
}

/// A release of the same name in another namespace must not take over what is in none.
fn releases() -> Result<()> {
    let of_the_cluster = |namespace: &str| -> Result<BTreeSet<(String, String)>> {
        let objects = objects(&render_in(namespace, &[])?)?;
        let everywhere = objects.iter().filter(|object| object["metadata"]["namespace"].is_null());
        Ok(everywhere.map(|object| (object["kind"].to_string(), object["metadata"]["name"].to_string())).collect())
    };
    let (one, other) = (of_the_cluster("redtape")?, of_the_cluster("other")?);
    assert_eq!((one.len(), other.len()), (2, 2), "{one:?} {other:?}");
    assert!(one.is_disjoint(&other), "{one:?} {other:?}");
    Ok(())
}

fn render(values: &[&Path]) -> Result<String> {
    render_in("redtape", values)
}

/// A release that is called `redtape`.
fn render_in(namespace: &str, values: &[&Path]) -> Result<String> {
    let mut command = Command::new(go_of_debian("helm")?);
    command.arg(deploy().join("helm/redtape")).args(["redtape", namespace]).args(values);
    Ok(Process::run(&mut command, LIMIT)?.expect_code(0)?.stdout)
}

/// systemd also looks for the programs that a unit starts, so it is shown units that start those of this build.
fn units() -> Result<()> {
    let folder = TempDir::new()?;
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "--recursive-errors=one"]);
    let mut named = 0;
    for unit in fs::read_dir(deploy().join("systemd"))?.flatten() {
        let mut text = fs::read_to_string(unit.path())?;
        for name in ["redtape-capture", "redtape"] {
            let program = binary(name)?;
            text = text.replace(&format!("/usr/local/bin/{name} "), &format!("{} ", program.display()));
        }
        named += 1;
        let path = folder.path().join(unit.file_name());
        fs::write(&path, text)?;
        command.arg(path);
    }
    assert_eq!(named, 2);
    let finished = Process::run(&mut command, LIMIT)?.expect_code(0)?;
    assert_eq!(finished.stderr, "");
    Ok(())
}

/// Whoever calls what its unit does not allow is killed at once.
fn system_calls() -> Result<()> {
    for unit in ["redtape-engine", "redtape-recorder"] {
        let text = fs::read_to_string(deploy().join(format!("systemd/{unit}.service")))?;
        let mut allowed = BTreeSet::new();
        for filter in text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
            let calls = system_calls_of(filter.trim_start_matches('~'))?;
            match filter.starts_with('~') {
                true => allowed.retain(|call| !calls.contains(call)),
                false => allowed.extend(calls),
            }
        }
        for call in ["capget", "capset", "prctl", "futex"] {
            assert!(allowed.contains(call), "{unit} may not call {call}");
        }
    }
    Ok(())
}

/// Those that a filter names, themselves or by their sets.
fn system_calls_of(names: &str) -> Result<BTreeSet<String>> {
    let mut calls = BTreeSet::new();
    for name in names.split_whitespace() {
        if !name.starts_with('@') {
            calls.insert(name.to_owned());
            continue;
        }
        let mut command = Command::new("systemd-analyze");
        let set = Process::run(command.args(["syscall-filter", name]), LIMIT)?.expect_code(0)?.stdout;
        for line in set.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#')) {
            calls.extend(system_calls_of(line)?);
        }
    }
    Ok(calls)
}
