//! Tests in containers: back ends from their own images, and redtape's own images. Each is ignored, with the reason, where there
//! is no Docker engine, or where it does not have the image; nothing is pulled. `ci/docker` starts an engine that has them.
//!
//! `REDTAPE_PROMETHEUS_IMAGE` and `REDTAPE_TEMPO_IMAGE` name other images than the public ones. With
//! `REDTAPE_CONTAINERS=required` only Tempo's may be missing.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use redtape_tests::{
    Load, Process, Prometheus, Result, Signal, Span, binary, free_port, get, message, served, spans,
    wait_until_it_accepts,
};
use tempfile::TempDir;
use testcontainers::core::Mount;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};

const LIMIT: Duration = Duration::from_secs(60);
const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");

/// An image, and the variable that may name another one.
struct Image {
    name: &'static str,
    variable: &'static str,
    may_be_missing: bool,
}

const PROMETHEUS: Image =
    Image { name: "prom/prometheus:latest", variable: "REDTAPE_PROMETHEUS_IMAGE", may_be_missing: false };
const TEMPO: Image = Image { name: "grafana/tempo:latest", variable: "REDTAPE_TEMPO_IMAGE", may_be_missing: true };
const RECORDER: Image =
    Image { name: "redtape-recorder:0.1.0", variable: "REDTAPE_RECORDER_IMAGE", may_be_missing: false };
const ENGINE: Image = Image { name: "redtape-engine:0.1.0", variable: "REDTAPE_ENGINE_IMAGE", may_be_missing: false };
const GREETINGS: Image =
    Image { name: "redtape-greetings:0.1.0", variable: "REDTAPE_GREETINGS_IMAGE", may_be_missing: false };

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    let trials = vec![
        trial("prometheus_scrapes_a_replay", &[PROMETHEUS], || run(prometheus_scrapes_a_replay())),
        trial("tempo_gives_back_each_trace", &[TEMPO], || run(tempo_gives_back_each_trace())),
        trial("recorder_and_engine_see_a_service_of_the_host", &[RECORDER, ENGINE], || run(recorder_and_engine())),
        trial("a_sidecar_sees_its_application_and_no_other", &[RECORDER, GREETINGS], || run(sidecar())),
        trial("the_recorder_says_what_it_lacks", &[RECORDER], || run(the_recorder_says_what_it_lacks())),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, images: &'static [Image], test: fn() -> Result<()>) -> Trial {
    Trial::ignorable_test(name, move || {
        for image in images {
            let Some(reason) = image.missing() else { continue };
            let required = std::env::var("REDTAPE_CONTAINERS").is_ok_and(|value| value == "required");
            if required && !image.may_be_missing {
                return Err(Failed::from(format!("cannot run here: {reason}")));
            }
            return Ok(Completion::ignored_with(reason));
        }
        test().map(|()| Completion::Completed).map_err(|error| Failed::from(error.to_string()))
    })
}

fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(test)
}

impl Image {
    fn reference(&self) -> String {
        std::env::var(self.variable).unwrap_or_else(|_| self.name.to_owned())
    }

    /// Why it cannot be run; `None` if it can.
    fn missing(&self) -> Option<String> {
        let mut command = Command::new("docker");
        command.args(["image", "inspect", "--format", "{{.Id}}", &self.reference()]);
        match command.output() {
            Err(error) => Some(format!("the program docker cannot be run: {error}")),
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Some(format!("no image {}: {}", self.reference(), said.lines().next().unwrap_or_default()))
            }
        }
    }

    /// A container of it, in the network that is given.
    fn container(&self, network: &str) -> ContainerRequest<GenericImage> {
        let reference = self.reference();
        let (name, tag) = reference.rsplit_once(':').unwrap_or((&reference, "latest"));
        GenericImage::new(name, tag).with_network(network).with_startup_timeout(LIMIT)
    }
}

/// A folder that the user of any image may read, and write to.
fn open_folder() -> Result<TempDir> {
    let folder = TempDir::new()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    Ok(folder)
}

fn mount(folder: &TempDir, path: &str) -> Mount {
    Mount::bind_mount(folder.path().display().to_string(), path)
}

async fn prometheus_scrapes_a_replay() -> Result<()> {
    let (port, target) = (free_port()?, free_port()?);
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE, "--linger", "forever", "--prometheus", &format!("127.0.0.1:{target}")]);
    let mut replay = Process::start(&mut command)?;
    replay.wait_for("the summary", LIMIT, |stdout, _| stdout.contains("series").then_some(()))?;

    let folder = open_folder()?;
    let job = format!("  - {{job_name: a, honor_labels: true, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}");
    let configuration = format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{job}\n");
    fs::write(folder.path().join("prometheus.yml"), configuration)?;
    let container = PROMETHEUS.container("host").with_mount(mount(&folder, "/etc/redtape")).with_cmd([
        "--config.file=/etc/redtape/prometheus.yml".to_owned(),
        "--storage.tsdb.path=/etc/redtape/data".to_owned(),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let container = container.start().await?;
    let prometheus = Prometheus::at(port)?;
    let counts = "sum(http_server_request_duration_seconds_count) + sum(http_client_request_duration_seconds_count)";
    assert_eq!(prometheus.wait_for(counts, 1.0)?, 2520.0);
    let joined = "count(http_server_request_duration_seconds_count + on(instance) group_left(job) 0 * target_info)";
    assert_eq!(prometheus.wait_for(joined, 1.0)?, 8.0);
    container.rm().await?;
    replay.signal(Signal::INT)?;
    replay.finish(LIMIT)?.expect_code(0).map(drop)
}

async fn tempo_gives_back_each_trace() -> Result<()> {
    let [http, grpc_of_tempo, otlp] = [free_port()?, free_port()?, free_port()?];
    let folder = open_folder()?;
    let configuration = format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: {http}, grpc_listen_address: 127.0.0.1, \
         grpc_listen_port: {grpc_of_tempo}}}\n\
         distributor: {{receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp}'}}}}}}}}}}\n\
         storage: {{trace: {{backend: local, local: {{path: /etc/redtape/blocks}}, wal: {{path: /etc/redtape/wal}}}}}}\n"
    );
    fs::write(folder.path().join("tempo.yml"), configuration)?;
    let container = TEMPO.container("host").with_mount(mount(&folder, "/etc/redtape"));
    let container = container.with_cmd(["-config.file=/etc/redtape/tempo.yml"]).start().await?;
    wait_until_it_accepts(otlp)?;
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE, "--otlp-traces", &format!("http://127.0.0.1:{otlp}")]);
    Process::run(&mut command, LIMIT)?.expect_code(0)?;

    let expected = spans(Path::new(TAPE), &[])?;
    for sample in expected.iter().step_by(expected.len() / 20) {
        let of_trace = expected.iter().filter(|span| span.trace_id == sample.trace_id).count();
        let found = within_limit(|| {
            let answer = get(http, &format!("/api/traces/{}", sample.trace_id), &["Accept: application/json"]).ok()?;
            (answer.status == 200).then(|| answer.body.matches("\"spanId\"").count()).filter(|found| *found >= of_trace)
        });
        assert_eq!(found, Some(of_trace), "{}", sample.trace_id);
    }
    container.rm().await?;
    Ok(())
}

/// As in docs/deploy.md. `SYS_ADMIN` stands for `BPF` and `PERFMON`, which older engines do not know by name.
fn recorder(processes: &str) -> ContainerRequest<GenericImage> {
    let processes = processes.to_owned();
    RECORDER.container("none").with_host_config_modifier(move |host| {
        host.pid_mode = Some(processes.clone());
        host.readonly_rootfs = Some(true);
        host.cap_drop = Some(vec!["ALL".into()]);
        host.cap_add = Some(["SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"].map(Into::into).into());
        host.security_opt = Some(vec!["no-new-privileges".into()]);
    })
}

async fn recorder_and_engine() -> Result<()> {
    let folder = open_folder()?;
    let service = message()?;

    let engine =
        ENGINE.container("none").with_mount(mount(&folder, "/run/redtape")).with_host_config_modifier(|host| {
            host.readonly_rootfs = Some(true);
            host.cap_drop = Some(vec!["ALL".into()]);
            host.security_opt = Some(vec!["no-new-privileges".into()]);
        });
    let from = "--from=unix:/run/redtape/tape.sock";
    let engine = engine.with_cmd(["live", from, "--spans", "json"]).start().await?;
    let socket = folder.path().join("tape.sock");
    within_limit(|| socket.exists().then_some(())).ok_or("the engine made no socket")?;

    let recorder = recorder("host").with_mount(mount(&folder, "/run/redtape")).with_cmd([
        "record",
        "--output=unix:/run/redtape/tape.sock",
        "--port",
        &service.port().to_string(),
    ]);
    let recorder = recorder.start().await?;
    wait_for_stderr(&recorder, "recording to").await?;
    let truth = Load::new(service.url(), 200, &["/message"]).send()?;
    recorder.stop().await?;
    assert_eq!(recorder.exit_code().await?, Some(0), "{}", text(recorder.stderr_to_vec().await?));
    engine.stop().await?;
    let said = text(engine.stderr_to_vec().await?);
    assert_eq!(engine.exit_code().await?, Some(0), "{said}");
    let lines = text(engine.stdout_to_vec().await?);
    let spans: Vec<Span> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(served(&spans), truth.counts(), "{said}");
    recorder.rm().await?;
    engine.rm().await?;
    Ok(())
}

async fn the_recorder_says_what_it_lacks() -> Result<()> {
    let unprivileged = RECORDER.container("none").with_cmd(["record", "--port", "80", "-o", "/tape"]).start().await?;
    let code = within_limit_async(&unprivileged).await?;
    let said = text(unprivileged.stderr_to_vec().await?);
    assert!(code == 5 && said.contains("CAP_BPF and CAP_PERFMON missing"), "{code}: {said}");
    unprivileged.rm().await?;
    Ok(())
}

/// As in a pod that shares its processes: the recorder is in the application's pid namespace. It is asked for what another
/// program listens on, too, which it does not see.
async fn sidecar() -> Result<()> {
    let (folder, port) = (open_folder()?, free_port()?);
    let listen = format!("127.0.0.1:{port}");
    let service = GREETINGS.container("host").with_cmd(["message", "--listen", &listen, "--max-delay-us", "0"]);
    let service = service.start().await?;
    wait_until_it_accepts(port)?;
    let elsewhere = message()?;

    let ports = format!("{port},{}", elsewhere.port());
    let recorder = recorder(&format!("container:{}", service.id())).with_mount(mount(&folder, "/tapes"));
    let recorder = recorder.with_cmd(["record", "--output=/tapes/a.tape", "--port", &ports]).start().await?;
    wait_for_stderr(&recorder, "recording to").await?;
    let truth = Load::new(format!("http://{listen}"), 200, &["/message"]).send()?;
    Load::new(elsewhere.url(), 20, &["/message"]).send()?;
    recorder.stop().await?;
    assert_eq!(recorder.exit_code().await?, Some(0), "{}", text(recorder.stderr_to_vec().await?));
    let spans = spans(&folder.path().join("a.tape"), &[])?;
    assert_eq!(served(&spans), truth.counts());
    for span in &spans {
        // It is the first process of its namespace.
        assert_eq!(span.resource.get("process.pid").and_then(serde_json::Value::as_u64), Some(1), "{span:?}");
    }
    recorder.rm().await?;
    service.rm().await?;
    Ok(())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn wait_for_stderr(container: &ContainerAsync<GenericImage>, wanted: &str) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        let said = text(container.stderr_to_vec().await?);
        if said.contains(wanted) {
            return Ok(());
        }
        if Instant::now() > end || container.exit_code().await?.is_some() {
            return Err(format!("waited in vain for {wanted:?}: {said}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn within_limit_async(container: &ContainerAsync<GenericImage>) -> Result<i64> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if let Some(code) = container.exit_code().await? {
            return Ok(code);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the container does not end".into())
}

fn within_limit<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match found() {
            Some(value) => return Some(value),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
