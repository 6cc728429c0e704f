//! Address families and network namespaces, with address translation between the two ends of a connection.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Load, Process, Recorder, Requirement, Result, Span, Truth, binary, message_at, served, trial};

pub(crate) fn trials() -> Vec<Trial> {
    const IPV6: &[Requirement] = &[Requirement::Bpf, Requirement::Ipv6];
    const NAMESPACES: &[Requirement] = &[Requirement::Bpf, Requirement::Program("ip"), Requirement::Program("nft")];
    vec![
        trial("networks::ipv6", IPV6, || one_family("[::1]", "::1")),
        trial("networks::ipv4_mapped_to_ipv6", IPV6, || one_family("[::]", "127.0.0.1")),
        trial("networks::address_translation_between_namespaces", NAMESPACES, namespaces),
    ]
}

fn one_family(listen: &str, address: &str) -> Result<()> {
    let server = message_at(&format!("{listen}:0"))?;
    let recorder = Recorder::start(["--port", &server.port().to_string()])?;
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let truth = Load::new(format!("http://{host}:{}", server.port()), 50, &["/message"]).send()?;
    let spans = recorder.stop()?.spans()?;
    assert_eq!(served(&spans), truth.counts());
    for span in spans.iter().filter(|span| span.is_server()) {
        assert_eq!(span.attribute("client.address"), address, "{span:?}");
    }
    Ok(())
}

/// The client asks an address that only the translation knows, as a Kubernetes Service has one. The two ends of each
/// connection share neither addresses nor ports, and yet are one trace.
fn namespaces() -> Result<()> {
    let network = Network::create()?;
    let greetings = binary("greetings")?;
    let mut server = network.server("ip");
    server.arg(&greetings).args(["message", "--listen", "10.77.0.2:8080"]);
    let mut server = Process::start(&mut server)?;
    server.wait_for("the server", Duration::from_secs(10), |stdout, _| stdout.contains("listening").then_some(()))?;

    let load = Load { connections: 2, ..Load::new("http://10.77.1.1:80".to_owned(), 20, &["/message"]) }.command()?;
    let mut arguments = vec!["--pid".into(), server.id().to_string().into(), "--".into()];
    arguments.extend(["ip", "netns", "exec", &network.client].map(Into::into));
    arguments.push(load.get_program().to_owned());
    arguments.extend(load.get_args().map(ToOwned::to_owned));
    let recorder = Recorder::start(arguments)?;
    let recording = recorder.wait()?;

    let truth: Truth = serde_json::from_str(&recording.recorder.stdout)?;
    let spans = recording.spans()?;
    assert_eq!((truth.answered, served(&spans)), (20, truth.counts()));
    for server in spans.iter().filter(|span| span.is_server()) {
        let is_caller = |span: &&Span| span.is_client() && Some(&span.span_id) == server.parent_span_id.as_ref();
        let caller = spans.iter().find(is_caller).ok_or_else(|| format!("no caller: {server:?}"))?;
        assert_eq!(caller.trace_id, server.trace_id);
        assert_eq!(caller.attribute("server.address"), "10.77.1.1");
    }
    assert_eq!(spans.iter().filter(|span| span.is_client()).count(), 20);
    Ok(())
}

/// Two namespaces, a cable between them, and a rule that translates an address of the client's side.
struct Network {
    client: String,
    server: String,
}

impl Network {
    fn create() -> Result<Self> {
        let id = std::process::id();
        let network = Self { client: format!("redtape-c-{id}"), server: format!("redtape-s-{id}") };
        let Self { client, server } = &network;
        let (near, far) = (format!("rtc{id}"), format!("rts{id}"));
        run(&["ip", "netns", "add", client])?;
        run(&["ip", "netns", "add", server])?;
        run(&["ip", "link", "add", &near, "netns", client, "type", "veth", "peer", "name", &far, "netns", server])?;
        for (namespace, device, address) in [(client, &near, "10.77.0.1/24"), (server, &far, "10.77.0.2/24")] {
            run(&["ip", "-n", namespace, "address", "add", address, "dev", device])?;
            run(&["ip", "-n", namespace, "link", "set", device, "up"])?;
            run(&["ip", "-n", namespace, "link", "set", "lo", "up"])?;
        }
        run(&["ip", "-n", client, "route", "add", "10.77.1.1", "via", "10.77.0.2"])?;
        for rule in [
            "add table ip redtape",
            "add chain ip redtape output { type nat hook output priority -100; }",
            "add rule ip redtape output ip daddr 10.77.1.1 tcp dport 80 dnat to 10.77.0.2:8080",
        ] {
            run(&["ip", "netns", "exec", client, "nft", rule])?;
        }
        Ok(network)
    }

    fn server(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["netns", "exec", &self.server]);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.server] {
            drop(run(&["ip", "netns", "delete", namespace]));
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let finished = Process::run(Command::new(program).args(arguments), Duration::from_secs(10))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(format!("`{}` ended with {}: {}", words.join(" "), finished.status, finished.stderr).into())
}
