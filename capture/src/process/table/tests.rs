//! The table, against the processes of this host.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use redtape_abi::{Exec, Header, Listen, kind, lane};
use redtape_core::config::{Discovery, DiscoveryConfig, Targets};
use redtape_core::{MonoNanos, Origin, Tgid};

use super::{Change, ProcFs, ProcessTable};

/// A child that does nothing until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn spawn() -> Self {
        Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn tgid(&self) -> Tgid {
        Tgid(self.0.id())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn table(targets: Targets) -> ProcessTable {
    let discovery = Discovery::new(&DiscoveryConfig::default(), &targets).unwrap();
    ProcessTable::new(ProcFs::new(), discovery, Origin([7; 16]))
}

fn followed(changes: &[Change]) -> Vec<Tgid> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Follow(info) => Some(info.tgid),
            _ => None,
        })
        .collect()
}

#[test]
fn scans_follow_once_and_see_the_end() {
    let sleeper = Sleeper::spawn();
    let tgid = sleeper.tgid();
    let mut table = table(Targets { target_pids: vec![tgid.0], ..Targets::default() });
    table.scan().unwrap();
    assert_eq!(followed(&table.take_changes()), [tgid]);
    let id = table.info(tgid).unwrap().id;
    table.scan().unwrap();
    assert_eq!(followed(&table.take_changes()), []);
    assert_eq!(table.info(tgid).unwrap().id, id);
    assert_eq!(table.followed().map(|info| info.tgid).collect::<Vec<_>>(), [tgid]);
    drop(sleeper);
    table.scan().unwrap();
    assert_eq!(table.take_changes(), [Change::Unfollow(tgid)]);
    assert!(table.info(tgid).is_none());
}

#[test]
fn the_recorder_is_never_chosen() {
    let mut table = table(Targets { target_pids: vec![std::process::id()], ..Targets::default() });
    table.scan().unwrap();
    assert_eq!(followed(&table.take_changes()), []);
}

#[test]
fn forks_inherit_and_get_numbers_of_their_own() {
    let sleeper = Sleeper::spawn();
    let mut table = table(Targets { target_pids: vec![sleeper.tgid().0], ..Targets::default() });
    table.scan().unwrap();
    table.take_changes();
    // No process has this id: the child has ended before its fork was heard of.
    let child = Tgid(u32::MAX >> 1);
    table.on_fork(sleeper.tgid(), child, MonoNanos::new(5));
    assert_eq!(followed(&table.take_changes()), [child]);
    let [parent, info] = [sleeper.tgid(), child].map(|tgid| table.info(tgid).unwrap().clone());
    assert_eq!((info.parent, info.started), (parent.tgid, MonoNanos::new(5)));
    assert_eq!(info.netns, parent.netns);
    assert_ne!(info.key, parent.key);
    assert_eq!(table.on_exit(child), Some(info.key));
    table.on_fork(sleeper.tgid(), child, MonoNanos::new(6));
    assert_ne!(table.info(child).unwrap().key, info.key, "the id is used again");
    table.on_fork(child, Tgid(child.0 - 1), MonoNanos::new(7));
    assert!(table.info(Tgid(child.0 - 1)).is_some(), "grandchildren too");
}

#[test]
fn exec_decides_anew() {
    let sleeper = Sleeper::spawn();
    let pattern = "no such program".parse::<redtape_core::config::RegexPattern>().unwrap();
    let mut table = table(Targets { executable: Some(pattern.into()), ..Targets::default() });
    table.scan().unwrap();
    table.living.get_mut(&sleeper.tgid()).unwrap().rule = Some(0);
    table.scan().unwrap();
    assert_eq!(table.take_changes(), [], "chosen is chosen");
    table.on_exec(&exec(sleeper.tgid(), ""));
    assert_eq!(table.take_changes(), [Change::Unfollow(sleeper.tgid())]);
}

fn exec(tgid: Tgid, path: &str) -> Exec {
    let header = Header { kind: kind::EXEC, lane: lane::PROCESS, cpu: 0, reserved: 0, seq: 0, time: 0 };
    let mut exec = Exec { header, tgid: tgid.0, followed: 1, comm: *b"a-long-comm-15b\0", exe: [0; 208] };
    exec.exe.iter_mut().zip(path.bytes().take(207)).for_each(|(to, from)| *to = from);
    exec
}

#[test]
fn a_program_that_has_ended_is_known_by_its_exec() {
    let sleeper = Sleeper::spawn();
    let mut table = table(Targets { target_pids: vec![sleeper.tgid().0], ..Targets::default() });
    table.scan().unwrap();
    let child = Tgid(u32::MAX >> 1);
    table.on_fork(sleeper.tgid(), child, MonoNanos::new(5));
    let forked = table.info(child).unwrap().clone();
    table.take_changes();
    table.on_exec(&exec(child, "/usr/bin/curl"));
    let info = table.info(child).unwrap().clone();
    assert_eq!(table.take_changes(), [Change::Update(Box::new(info.clone()))]);
    assert_eq!((info.executable(), info.comm.as_str(), info.cmdline.len()), ("curl", "a-long-comm-15b", 0));
    assert_eq!((info.key, info.started, info.netns), (forked.key, forked.started, forked.netns));
    table.on_exec(&exec(child, &"/deep".repeat(100)));
    assert_eq!(table.info(child).unwrap().executable(), "a-long-comm-15b", "its path was cut");
    table.on_exec(&exec(Tgid(child.0 - 1), "/usr/bin/curl"));
    assert!(table.info(Tgid(child.0 - 1)).is_none(), "not followed, and gone");
}

#[test]
fn ports_opened_later_are_found() {
    // The listener belongs to this process, so a table that thinks it is another one's is needed.
    let own = Tgid(std::process::id());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut table = table(Targets { open_port: Some(free.to_string().parse().unwrap()), ..Targets::default() });
    table.recorder = Tgid(0);
    table.scan().unwrap();
    assert!(!followed(&table.take_changes()).contains(&own));
    let _listener = TcpListener::bind(("127.0.0.1", free)).unwrap();
    table.scan().unwrap();
    let changes = table.take_changes();
    assert!(followed(&changes).contains(&own));
    let netns = table.info(own).unwrap().netns;
    assert!(changes.contains(&Change::Listen { netns, port: free }));
}

#[test]
fn a_listen_is_acted_on_at_once_and_a_refusal_is_remembered() {
    let sleeper = Sleeper::spawn();
    let tgid = sleeper.tgid();
    let pattern = "/cat$|coreutils".parse::<redtape_core::config::RegexPattern>().unwrap();
    let targets = Targets {
        open_port: Some("8000-8010".parse().unwrap()),
        executable: Some(pattern.into()),
        ..Targets::default()
    };
    let mut table = table(targets);
    table.scan().unwrap();
    // Until it has called exec, the child is still this test.
    while table.info(tgid).unwrap().comm != "cat" {
        table.on_exec(&exec(tgid, ""));
    }
    assert_eq!(table.take_changes(), []);
    let netns = table.info(tgid).unwrap().netns;
    let listen = |port, followed| {
        let header = Header { kind: kind::LISTEN, lane: lane::STATE, cpu: 0, reserved: 0, seq: 0, time: 0 };
        Listen { header, tgid: tgid.0, netns, followed, port, reserved: 0 }
    };
    table.on_listen(&listen(9000, 0));
    assert_eq!(table.take_changes(), [], "no rule names the port");
    table.on_listen(&listen(8005, 0));
    let changes = table.take_changes();
    assert_eq!(followed(&changes), [tgid]);
    assert_eq!(changes[1..], [Change::Listen { netns, port: 8005 }]);
    assert_eq!(table.info(tgid).unwrap().listening, [8005]);
    table.on_listen(&listen(8001, 1));
    assert!(matches!(&table.take_changes()[..], [Change::Update(info)] if info.listening == [8001, 8005]));

    // The test itself is another program: excluded.
    let own = Tgid(std::process::id());
    table.recorder = Tgid(0);
    table.on_listen(&Listen { tgid: own.0, ..listen(8000, 0) });
    assert_eq!(table.take_changes(), []);
    assert!(table.has_refused(own, 8000) && !table.has_refused(own, 8001));
}

#[test]
fn strangers_are_resolved() {
    let sleeper = Sleeper::spawn();
    let mut table = table(Targets::default());
    assert_eq!(table.resolve(sleeper.tgid()).parent, Tgid(std::process::id()));
    let ghost = Tgid(u32::MAX >> 1);
    let info = table.resolve(ghost).clone();
    assert_eq!((info.tgid, info.comm.as_str()), (ghost, ""));
    assert_eq!(table.take_changes().len(), 2);
    assert_eq!(table.resolve(ghost).key, info.key);
    assert_eq!(table.take_changes(), []);
}
