//! Scripts of requests that begin and end, and the parents they get.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::node::request_ids;
use super::*;
use crate::event::{DataFlags, Stamp};
use crate::exchange::{Exchange, Message, Outcome, Request, RequestHead, Started, TraceContext, Version};
use crate::facts::{ConnInfo, Endpoint, Role};
use crate::ids::{Origin, ProcKey, Tid};
use crate::limits::Limits;
use crate::time::MonoNanos;

/// Runs a script, a line a step, and compares the spans in the order in which they come out.
///
/// `conn NAME SIDE ISN ISN [LOCAL REMOTE] [origin N]`, `begin CONN pos P on PROCESS/THREAD [epoll] [nonblocking] [traceparent T]`,
/// `end CONN pos P`, `close CONN`, `at NANOS`, `finish`. Time goes on by one with each step. A span is shown as
/// `CONN@P` or `CONN@P < PARENT rule`, and a blank line stands where the trace changes.
struct Script {
    linker: Linker,
    now: u64,
    conns: BTreeMap<String, Arc<ConnInfo>>,
    begun: BTreeMap<(String, u64), Started>,
    names: BTreeMap<String, String>,
    out: Vec<String>,
}

impl Script {
    fn run(options: LinkOptions, limits: &Limits, script: &str) -> String {
        let (conns, begun, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut run = Self { linker: Linker::new(options, limits), now: 1000, conns, begun, names, out: Vec::new() };
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            run.step(&line.split_whitespace().collect::<Vec<_>>());
            run.now += 1;
            run.linker.advance(MonoNanos::new(run.now));
            run.collect();
        }
        run.out.join("\n")
    }

    fn step(&mut self, words: &[&str]) {
        let name = words.get(1).copied().unwrap_or("");
        match words[0] {
            "conn" => self.conn(name, words),
            "begin" => self.begin(name, words),
            "crowd" => self.linker.not_alone(self.conns[name].key, position(words)),
            "end" => self.end(name, position(words)),
            "close" => self.linker.closed(self.conns[name].key, MonoNanos::new(self.now)),
            "lost" => self.linker.lost(),
            "at" => self.now = name.parse().expect("a time"),
            "finish" => self.linker.finish(),
            other => panic!("unknown step {other}"),
        }
    }

    fn conn(&mut self, name: &str, words: &[&str]) {
        let id = self.conns.len() as u64;
        let number = |word: &str| after(words, word).map_or(1, |text| text.parse::<u8>().expect("a small number"));
        let origin = Origin([number("origin"); 16]);
        let isn = |at: usize| words[at].parse().ok();
        let endpoint = after(words, "from").zip(after(words, "to")).map(|(local, remote)| Endpoint {
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
        });
        let info = ConnInfo {
            role: if words[2] == "server" { Role::Server } else { Role::Client },
            endpoint,
            netns: number("netns").into(),
            isn_local: isn(3),
            isn_remote: isn(4),
            ..ConnInfo::unknown(origin, id)
        };
        self.linker.opened(&info);
        self.conns.insert(name.to_owned(), Arc::new(info));
    }

    fn begin(&mut self, name: &str, words: &[&str]) {
        let conn = Arc::clone(&self.conns[name]);
        let (process, tid) = after(words, "on").and_then(|on| on.split_once('/')).expect("PROCESS/THREAD");
        let nonblocking = words.contains(&"nonblocking");
        let stamp = Stamp {
            tid: Tid(tid.parse().expect("a thread")),
            flags: if nonblocking { DataFlags::NONBLOCKING } else { DataFlags::default() },
            loop_turn: u32::from(words.contains(&"epoll")),
            entry: MonoNanos::new(self.now),
            exit: MonoNanos::new(self.now),
        };
        let context = after(words, "traceparent").map(|trace| {
            let text = format!("00-{trace:0>32}-00000000000000aa-01");
            TraceContext::parse(text.as_bytes()).expect("a context")
        });
        let process = ProcKey::new(Origin::default(), process.parse().expect("a process"));
        let (role, pos) = (conn.role, position(words));
        self.names.insert(request_ids(&conn, role, pos).span_id().to_string(), format!("{name}@{pos}"));
        let started = Started { role, process, pos, first: stamp, head: stamp, alone: true, context, conn };
        self.linker.started(&started);
        self.begun.insert((name.to_owned(), pos), started);
    }

    fn end(&mut self, name: &str, pos: u64) {
        let started = self.begun[&(name.to_owned(), pos)].clone();
        let (first, last) = (started.first, started.head);
        let message = Message { pos, first, last, arrival: None, body_len: Some(0), truncated: false };
        let head = RequestHead::new("GET", &format!("{name}@{pos}"), None, None, Version::Http11, started.context);
        let exchange = Exchange {
            conn: started.conn,
            role: started.role,
            process: started.process,
            accept_wait_nanos: None,
            request: Request { message, head },
            response: None,
            reset: None,
            outcome: Outcome::NoResponse,
            end: MonoNanos::new(self.now),
        };
        self.linker.ended(Box::new(exchange), MonoNanos::new(self.now));
    }

    fn collect(&mut self) {
        while let Some(linked) = self.linker.poll() {
            let name = linked.exchange.request.head.target().to_owned();
            let parent = linked.parent.map_or(String::new(), |(parent, link)| {
                let parent = parent.to_string();
                format!(" < {} {}", self.names.get(&parent).unwrap_or(&parent), link.rule.as_str())
            });
            let trace = self.names.get(&format!("{}", linked.trace_id)).cloned();
            let trace = trace.unwrap_or_else(|| {
                let label =
                    format!("trace {}", 1 + self.names.values().filter(|name| name.starts_with("trace")).count());
                self.names.insert(linked.trace_id.to_string(), label.clone());
                label
            });
            self.out.push(format!("{trace}: {name}{parent}"));
        }
        while let Some(kind) = self.linker.poll_diagnostic() {
            self.out.push(format!("! {}", kind.name()));
        }
    }
}

/// The word after `word`.
fn after<'a>(words: &[&'a str], word: &str) -> Option<&'a str> {
    words.iter().position(|&w| w == word).and_then(|at| words.get(at + 1)).copied()
}

fn position(words: &[&str]) -> u64 {
    after(words, "pos").and_then(|pos| pos.parse().ok()).expect("a position")
}

fn run(script: &str) -> String {
    Script::run(LinkOptions::default(), &Limits::default(), script)
}

fn check(script: &str, expected: &str) {
    check_with(LinkOptions::default(), script, expected);
}

fn check_with(options: LinkOptions, script: &str, expected: &str) {
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(Script::run(options, &Limits::default(), script), expected.join("\n"));
}

/// A frontend's server end, its call, and the back end's server end of that call.
const CHAIN: &str = "
    conn in server 1 2
    conn call client 10 20
    conn back server 20 10
";

#[test]
fn one_request_through_two_services_is_one_trace() {
    let script = format!(
        "{CHAIN}
        begin in pos 0 on 1/1
        begin call pos 0 on 1/1
        begin back pos 0 on 2/2
        end back pos 0
        end call pos 0
        end in pos 0"
    );
    // The call is certain once it has ended inside its request; the request itself is still open then.
    check(&script, "trace 1: call@0 < in@0 thread\ntrace 1: back@0 < call@0 connection\ntrace 1: in@0");
}

#[test]
fn a_call_made_when_a_request_is_no_longer_alone_stays_unlinked() {
    let script = format!(
        "{CHAIN}
        begin in pos 0 on 1/1
        crowd in pos 0
        begin call pos 0 on 1/1
        end call pos 0
        end in pos 0"
    );
    check(&script, "trace 1: call@0\ntrace 2: in@0");
}

#[test]
fn a_thread_that_waits_for_events_or_does_not_block_links_nothing() {
    for how in ["epoll", "nonblocking"] {
        for (server, client) in [(how, ""), ("", how)] {
            let script = format!(
                "{CHAIN}
                begin in pos 0 on 1/1 {server}
                begin call pos 0 on 1/1 {client}
                end call pos 0
                end in pos 0"
            );
            check(&script, "trace 1: call@0\ntrace 2: in@0");
        }
    }
}

#[test]
fn other_threads_and_processes_link_nothing() {
    for on in ["1/2", "2/1"] {
        let script = format!("{CHAIN}\nbegin in pos 0 on 1/1\nbegin call pos 0 on {on}\nend call pos 0\nend in pos 0");
        check(&script, "trace 1: call@0\ntrace 2: in@0");
    }
}

#[test]
fn two_open_requests_on_one_thread_are_ambiguous() {
    let script = format!(
        "{CHAIN}
        begin in pos 0 on 1/1
        begin in pos 50 on 1/1
        begin call pos 0 on 1/1
        end call pos 0"
    );
    check(&script, "! ambiguous_link\ntrace 1: call@0");
}

#[test]
fn after_a_loss_a_thread_may_work_for_a_request_that_nobody_saw() {
    let script = format!(
        "{CHAIN}
        begin in pos 0 on 1/1
        lost
        begin call pos 0 on 1/1
        end call pos 0
        end in pos 0
        begin in pos 50 on 1/1
        begin call pos 50 on 1/1
        end call pos 50
        end in pos 50"
    );
    check(&script, "trace 1: call@0\ntrace 2: in@0\ntrace 3: call@50 < in@50 thread\ntrace 3: in@50");
}

#[test]
fn a_call_that_outlives_its_request_is_not_linked() {
    let script = format!(
        "{CHAIN}
        begin in pos 0 on 1/1
        begin call pos 0 on 1/1
        begin back pos 0 on 2/2
        end in pos 0
        end back pos 0
        end call pos 0"
    );
    check(&script, "trace 1: in@0\ntrace 2: back@0 < call@0 connection\ntrace 2: call@0");
}

#[test]
fn each_request_of_a_connection_joins_its_own_other_end() {
    let script = "
        conn call client 10 20
        conn back server 20 10
        begin call pos 0 on 1/1
        begin call pos 90 on 1/1
        begin back pos 0 on 2/2
        begin back pos 90 on 2/2
        end back pos 90
        end back pos 0
        end call pos 0
        end call pos 90";
    check(
        script,
        "trace 1: back@90 < call@90 connection
        trace 2: back@0 < call@0 connection
        trace 2: call@0
        trace 1: call@90",
    );
}

#[test]
fn addresses_join_ends_only_within_one_namespace() {
    let ends = |netns: u32| {
        format!(
            "conn call client - - from 127.0.0.1:5000 to 127.0.0.1:80 netns 1
            conn back server - - from [::ffff:127.0.0.1]:80 to [::ffff:127.0.0.1]:5000 netns {netns}
            begin call pos 0 on 1/1
            begin back pos 0 on 2/2
            end back pos 0
            end call pos 0"
        )
    };
    let linked = run(&ends(1));
    assert!(linked.contains("connection"), "{linked}");
    check(&ends(2), "trace 1: back@0\ntrace 2: call@0");
}

#[test]
fn equal_sequence_numbers_on_two_live_connections_are_ambiguous() {
    let script = "
        conn call client 10 20
        conn other client 10 20
        conn back server 20 10
        begin call pos 0 on 1/1
        begin back pos 0 on 2/2
        end back pos 0";
    let out = run(script);
    assert!(out.contains("! ambiguous_link") && !out.contains("connection"), "{out}");
}

#[test]
fn a_closed_connection_gives_its_name_up() {
    let script = "
        conn call client 10 20
        close call
        conn again client 10 20
        conn back server 20 10
        begin again pos 0 on 1/1
        begin back pos 0 on 2/2
        end back pos 0";
    let out = run(script);
    assert!(out.contains("connection"), "{out}");
}

#[test]
fn the_wire_names_the_trace() {
    let script = "
        conn in server 1 2
        conn call client 10 20
        begin in pos 0 on 1/1 traceparent 7
        begin call pos 0 on 1/1 traceparent 7
        end call pos 0
        end in pos 0
        begin in pos 9 on 1/1
        begin call pos 9 on 1/1 traceparent 8
        end call pos 9
        end in pos 9";
    let out = run(script);
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("trace 1: call@0 < ") && lines[0].ends_with(" thread"), "{out}");
    assert_eq!(lines[1], "trace 1: in@0 < 00000000000000aa traceparent");
    assert_eq!(lines[2], "trace 2: call@9 < 00000000000000aa traceparent", "another trace than its request's");
    assert_eq!(lines[3], "trace 3: in@9");
    let ignoring = LinkOptions { ignore_traceparent: true, ..LinkOptions::default() };
    assert!(!Script::run(ignoring, &Limits::default(), script).contains("traceparent"));
}

#[test]
fn the_only_enclosing_request_is_a_guess_behind_a_switch() {
    let all = LinkOptions { mode: LinkMode::All, ..LinkOptions::default() };
    let one = "
        conn in server 1 2
        conn call client 10 20
        begin in pos 0 on 1/1 epoll
        begin call pos 0 on 1/2 epoll
        end call pos 0
        end in pos 0";
    assert!(Script::run(all, &Limits::default(), one).contains("only_enclosing"));
    check(one, "trace 1: call@0\ntrace 2: in@0");
    let two = one.replace("begin call", "begin in pos 7 on 1/3 epoll\nbegin call");
    check_with(all, &two, "trace 1: call@0\n! ambiguous_link\ntrace 2: in@0");
    let background = format!("conn early client 5 6\nbegin early pos 0 on 1/9 epoll\nend early pos 0\n{one}");
    check_with(all, &background, "trace 1: early@0\ntrace 2: call@0\ntrace 3: in@0");
}

#[test]
fn a_span_waits_for_its_links_no_longer_than_the_horizon() {
    let script = format!(
        "{CHAIN}
        begin in pos 0 on 1/1
        begin call pos 0 on 1/1
        begin back pos 0 on 2/2
        end back pos 0
        at 5000
        close back
        end call pos 0
        end in pos 0"
    );
    let out = |horizon| Script::run(LinkOptions { horizon, ..LinkOptions::default() }, &Limits::default(), &script);
    assert!(out(Horizon::End).lines().all(|line| line.starts_with("trace 1")), "{}", out(Horizon::End));
    assert!(out(Horizon::Nanos(1000)).starts_with("trace 1: back@0"), "{}", out(Horizon::Nanos(1000)));
    assert!(out(Horizon::Nanos(1000)).contains("! link_horizon"));
}

#[test]
fn what_is_held_and_followed_is_bounded() {
    let limits = Limits { held_spans: 2, open_requests: 4, ..Limits::default() };
    let mut script = String::from(CHAIN);
    script.push_str("begin in pos 0 on 1/1\nbegin call pos 0 on 1/1\n");
    for pos in 0..3 {
        script.push_str(&format!("begin back pos {pos} on 2/2\nend back pos {pos}\n"));
    }
    script.push_str("end call pos 0\nend in pos 0\nfinish");
    let out = Script::run(LinkOptions::default(), &limits, &script);
    assert_eq!(out.lines().filter(|line| line.starts_with("trace")).count(), 5, "{out}");
    let full = Script::run(LinkOptions::default(), &Limits { open_requests: 1, ..limits }, &script);
    assert!(full.contains("! link_table_full"), "{full}");
    assert_eq!(full.lines().filter(|line| line.starts_with("trace")).count(), 5, "{full}");
}

#[test]
fn recordings_of_two_hosts_may_be_out_of_step() {
    let script = "
        conn back server 20 10 origin 2
        conn call client 10 20 origin 1
        begin back pos 0 on 2/2
        end back pos 0
        begin call pos 0 on 1/1
        end call pos 0
        finish";
    let out = run(script);
    assert!(out.contains("back@0 < call@0 connection"), "{out}");
}

#[test]
fn many_calls_for_one_request_stay_cheap() {
    let mut script = String::from(CHAIN);
    script.push_str("begin in pos 0 on 1/1\n");
    for pos in 0..2000 {
        script.push_str(&format!("begin call pos {pos} on 1/1\nend call pos {pos}\n"));
    }
    script.push_str("end in pos 0");
    let out = run(&script);
    assert_eq!(out.matches(" thread").count(), 2000);
}
