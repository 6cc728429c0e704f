//! The watch against a server that speaks what it needs of the API: no real one can be run in these tests.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use redtape_core::config::{KubeMetadata, Kubernetes};
use redtape_core::{ContainerRef, Pod, PodFact};
use serde_json::{Value, json};

use super::facts::Facts;
use super::{PodWatch, Wanted};

const ID: &str = "40c03570b6f4c30bc8d69923d37ee698f5cfcced92c7b7df1c47f6f7887378a9";
const PATIENCE: Duration = Duration::from_secs(20);

/// A pod as `kubectl get pod -o json` shows one of a deployment, shortened where nothing is read.
fn pod(version: &str, container_id: Option<&str>) -> Value {
    let mut status = json!({
        "name": "frontend", "image": "greetings:1", "imageID": "", "ready": container_id.is_some(), "restartCount": 0,
        "state": {}, "lastState": {}, "started": true
    });
    if let Some(id) = container_id {
        status["containerID"] = json!(format!("containerd://{id}"));
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "frontend-5d4f8c7b9d-x2x9q", "generateName": "frontend-5d4f8c7b9d-", "namespace": "greetings",
            "uid": "2b90d95c-1d3e-4d9b-8d5c-3a1c1f2e7a10", "resourceVersion": version,
            "creationTimestamp": "2026-11-22T20:00:00Z",
            "labels": {"app.kubernetes.io/name": "frontend", "pod-template-hash": "5d4f8c7b9d"},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"secret\": 1}",
                "resource.opentelemetry.io/service.namespace": "shop", "team": "blue"
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "frontend-5d4f8c7b9d", "controller": true,
                "blockOwnerDeletion": true, "uid": "c0ffee00-1d3e-4d9b-8d5c-3a1c1f2e7a10"
            }]
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "frontend", "image": "greetings:1"}]},
        "status": {
            "phase": "Running", "podIP": "10.0.0.7", "startTime": "2026-11-22T20:00:01Z", "qosClass": "BestEffort",
            "containerStatuses": [status]
        }
    })
}

/// A server that answers each request with the next of `answers`, and tells the paths that it was asked for.
fn server(answers: Vec<(u16, String)>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, paths) = channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            let Some(path) = request(&stream) else { continue };
            let Some((status, body)) = answers.next() else { return };
            // A watch stays open; a list ends with its connection.
            let head =
                format!("HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}");
            (&stream).write_all(head.as_bytes()).unwrap();
            if path.contains("watch=true") {
                open.push(stream);
            }
            let _ = asked.send(path);
        }
    });
    (url, paths)
}

fn request(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    Some(path)
}

/// What a watch needs to ask the server at `url`.
fn wanted(url: &str, folder: &std::path::Path) -> Wanted {
    let config: PathBuf = folder.join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}]
    });
    std::fs::write(&config, text.to_string()).unwrap();
    let kubernetes = always(Some("east".into()), Some(config.display().to_string()));
    Wanted { kubernetes, node: Some("node-1".into()), in_cluster: false, annotations: BTreeSet::from(["team".into()]) }
}

fn always(cluster_name: Option<String>, kubeconfig_path: Option<String>) -> Kubernetes {
    let mut kubernetes = Kubernetes::default();
    kubernetes.enable = KubeMetadata::Always;
    (kubernetes.cluster_name, kubernetes.kubeconfig_path) = (cluster_name, kubeconfig_path);
    kubernetes
}

fn parse(facts: &Facts) -> Pod {
    Pod::from_facts(facts.iter().map(|(key, value)| (&**key, &**value))).unwrap()
}

#[test]
fn pods_are_told_when_they_are_there_and_when_they_change() {
    let list = json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [pod("5", None)]
    });
    let event = |kind: &str, pod: Value| format!("{}\n", json!({"type": kind, "object": pod}));
    let mut unready = pod("9", Some(ID));
    unready["status"]["containerStatuses"][0]["ready"] = json!(false);
    let another = |uid: &str| {
        let mut pod = pod("10", None);
        pod["metadata"]["uid"] = json!(uid);
        pod
    };
    // The container starts; then it is not ready, of which a tape says nothing; then there is another pod.
    let watched = event("MODIFIED", pod("8", Some(ID))) + &event("MODIFIED", unready) + &event("ADDED", another("u"));
    let refused = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "pods is forbidden"});
    let (url, paths) = server(vec![(403, refused.to_string()), (200, list.to_string()), (200, watched)]);
    let folder = tempfile::tempdir().unwrap();
    let (deliver, told) = channel();
    let _watch =
        PodWatch::start(wanted(&url, folder.path()), move |facts| deliver.send(facts).is_ok()).unwrap().unwrap();

    let first = parse(&told.recv_timeout(PATIENCE).unwrap());
    assert!(paths.recv().unwrap().contains("fieldSelector=spec.nodeName%3Dnode-1"));
    for (fact, value) in [
        (PodFact::Name, "frontend-5d4f8c7b9d-x2x9q"),
        (PodFact::Namespace, "greetings"),
        (PodFact::Node, "node-1"),
        (PodFact::Cluster, "east"),
        (PodFact::StartTime, "2026-11-22T20:00:01Z"),
        (PodFact::ReplicaSet, "frontend-5d4f8c7b9d"),
        (PodFact::Deployment, "frontend"),
        (PodFact::Owner, "frontend"),
    ] {
        assert_eq!(first.fact(fact), Some(value), "{fact:?}");
    }
    assert_eq!(first.label("app.kubernetes.io/name"), Some("frontend"));
    assert_eq!(first.annotation("resource.opentelemetry.io/service.namespace"), Some("shop"));
    assert_eq!(first.annotation("team"), Some("blue"));
    assert_eq!(first.annotation("kubectl.kubernetes.io/last-applied-configuration"), None, "nobody asked for it");

    let second = told.recv_timeout(PATIENCE).unwrap();
    let container =
        [("container.id".to_owned(), ID.to_owned()), ("k8s.container.name".to_owned(), "frontend".to_owned())];
    assert!(second.windows(2).any(|pair| *pair == container), "{second:?}");
    assert_eq!(ContainerRef::of_cgroup(&format!("/kubepods/podx/{ID}")).id, Some(ID));
    assert_eq!(parse(&told.recv_timeout(PATIENCE).unwrap()).uid(), "u", "nothing of what is told changed before");
}

#[test]
fn jobs_name_their_cron_jobs() {
    let owner = |kind: &str, name: &str| {
        let mut pod = pod("1", None);
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true}
        ]);
        let pod = serde_json::from_value(pod).unwrap();
        let pod = parse(&super::facts::of_pod(&pod, None, &BTreeSet::new()).unwrap());
        let facts = [PodFact::Deployment, PodFact::CronJob, PodFact::Job, PodFact::Owner];
        facts.map(|fact| pod.fact(fact).map(str::to_owned)).map(|value| value.unwrap_or_default())
    };
    assert_eq!(owner("Job", "report-28912345"), ["", "report", "report-28912345", "report"]);
    assert_eq!(owner("Job", "import-2"), ["", "", "import-2", "import-2"]);
    assert_eq!(owner("DaemonSet", "agent"), ["", "", "", "agent"]);
    // A replica set that nobody's template made.
    assert_eq!(owner("ReplicaSet", "by-hand"), ["", "", "", "by-hand"]);
    assert_eq!(owner("Rollout", "canary"), ["", "", "", "canary"]);
}

#[test]
fn where_there_is_no_cluster_nothing_is_watched() {
    let start = |wanted: Wanted| PodWatch::start(wanted, |_| true).map(|watch| watch.is_some());
    assert!(!start(Wanted::default()).unwrap());
    let error = start(Wanted { kubernetes: always(None, None), ..Wanted::default() }).unwrap_err().to_string();
    assert!(error.contains("NODE_NAME"), "{error}");
    let elsewhere = always(None, Some("/does/not/exist".into()));
    let error = start(Wanted { kubernetes: elsewhere, node: Some("n".into()), ..Wanted::default() }).unwrap_err();
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
    // Found out by itself, it is no reason not to run: here is no account.
    let found = Wanted { in_cluster: true, node: Some("n".into()), ..Wanted::default() };
    assert!(!start(found).unwrap());
}
