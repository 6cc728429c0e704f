//! The processes of the host as the recorder knows them: which are recorded, by which rule, and their numbers.
//!
//! Bounded by the kernel's own limit of processes: what has ended is removed, at the latest by the next scan.

use std::collections::{BTreeMap, BTreeSet};

use redtape_abi::{Exec, Listen};
use redtape_core::config::Discovery;
use redtape_core::{MonoNanos, Origin, ProcKey, ProcessInfo, Tgid};

use super::facts::{ProcFs, StartKey};
use super::ports::{Inode, PortIndex};

/// What follows from a look at the processes: for the probes to do, and for the tape to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The process is recorded from now on.
    Follow(Box<ProcessInfo>),
    /// The facts of a recorded process have changed.
    Update(Box<ProcessInfo>),
    /// The process is not recorded any longer: it runs another program now, or has ended.
    Unfollow(Tgid),
    /// A recorded process listens on this port.
    Listen {
        /// The inode number of the network namespace.
        netns: u32,
        /// The port.
        port: u16,
    },
    /// No recorded process listens on this port any longer.
    Unlisten {
        /// The inode number of the network namespace.
        netns: u32,
        /// The port.
        port: u16,
    },
}

/// The living processes.
///
/// Once chosen, a process is recorded until it runs another program or ends: one that closes its port in order to
/// drain still has requests to answer.
#[derive(Debug)]
pub struct ProcessTable {
    procfs: ProcFs,
    discovery: Discovery,
    origin: Origin,
    recorder: Tgid,
    pidns: u32,
    next_id: u64,
    living: BTreeMap<Tgid, Entry>,
    listeners: BTreeMap<u32, BTreeMap<Inode, u16>>,
    followed_ports: BTreeSet<(u32, u16)>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Entry {
    start: StartKey,
    info: ProcessInfo,
    rule: Option<usize>,
    /// The rule by which the parent was chosen, also after the parent has ended.
    parent_rule: Option<usize>,
}

impl ProcessTable {
    /// An empty table for a recording. The recorder itself is never chosen.
    pub fn new(procfs: ProcFs, discovery: Discovery, origin: Origin) -> Self {
        let recorder = Tgid(std::process::id());
        let pidns = procfs.read(recorder, &mut PortIndex::default()).map_or(0, |(_, info)| info.pidns);
        Self {
            procfs,
            discovery: discovery.recorder_pidns(pidns),
            origin,
            recorder,
            pidns,
            next_id: 1,
            living: BTreeMap::new(),
            listeners: BTreeMap::new(),
            followed_ports: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// What has happened since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The recorded processes, by process id.
    pub fn followed(&self) -> impl Iterator<Item = &ProcessInfo> {
        self.living.values().filter(|entry| entry.rule.is_some()).map(|entry| &entry.info)
    }

    /// What is known of a living process.
    pub fn info(&self, tgid: Tgid) -> Option<&ProcessInfo> {
        self.living.get(&tgid).map(|entry| &entry.info)
    }

    /// The process that a record came from. One that is not known is looked up; one that is gone as well gets a number
    /// and nothing else.
    pub fn resolve(&mut self, tgid: Tgid) -> &ProcessInfo {
        if !self.living.contains_key(&tgid) {
            let read = self.procfs.read(tgid, &mut PortIndex::default());
            let (start, info) = read.unwrap_or_else(|| (0, ProcessInfo { tgid, ..ProcessInfo::default() }));
            let parent_rule = self.rule_of(info.parent);
            let info = self.number(info);
            self.changes.push(Change::Update(Box::new(info.clone())));
            self.living.insert(tgid, Entry { start, info, rule: None, parent_rule });
        }
        &self.living.get(&tgid).expect("invariant: inserted above if it was missing").info
    }

    /// Looks at all processes: at start, and from time to time for new ones and for ports opened since.
    ///
    /// Known processes are read again only if the listeners of their network namespace have changed.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn scan(&mut self) -> procfs::ProcResult<()> {
        let listed = self.procfs.list()?;
        let present: BTreeMap<Tgid, StartKey> = listed.iter().copied().collect();
        let gone: Vec<Tgid> = self
            .living
            .iter()
            .filter(|(tgid, entry)| present.get(tgid) != Some(&entry.start))
            .map(|(tgid, _)| *tgid)
            .collect();
        for tgid in gone {
            self.on_exit(tgid);
        }

        let mut ports = PortIndex::default();
        for (tgid, _) in listed {
            let unchanged = self.living.get(&tgid).is_some_and(|entry| {
                let netns = entry.info.netns;
                i32::try_from(tgid.0).is_ok_and(|pid| self.listeners.get(&netns) == Some(ports.listeners(netns, pid)))
            });
            if !unchanged {
                self.examine(tgid, &mut ports, Keep::Chosen, None);
            }
        }
        self.listeners = ports.into_listeners();
        Ok(())
    }

    /// Chooses anew, by other rules. What was chosen and is not chosen any more is dropped.
    pub fn reload(&mut self, discovery: Discovery) {
        self.discovery = discovery.recorder_pidns(self.pidns);
        for entry in self.living.values_mut() {
            entry.parent_rule = None;
        }
        // Parents before their children, who may inherit.
        let mut processes: Vec<_> = self.living.values().map(|entry| (entry.info.started, entry.info.tgid)).collect();
        processes.sort_unstable();
        for (_, tgid) in processes {
            let Some(Entry { start, info, .. }) = self.living.get(&tgid) else { continue };
            self.decide(tgid, *start, info.clone(), Keep::Nothing);
        }
        let ports = |info: &ProcessInfo| info.listening.iter().map(|port| (info.netns, *port)).collect::<Vec<_>>();
        let wanted: BTreeSet<_> = self.followed().flat_map(ports).collect();
        for (netns, port) in self.followed_ports.difference(&wanted).copied().collect::<Vec<_>>() {
            self.followed_ports.remove(&(netns, port));
            self.changes.push(Change::Unlisten { netns, port });
        }
    }

    /// A process began to run another program. Of one that has ended meanwhile, the record's word is all there is; what the
    /// program did not change is as before, and so are the variables that name it, which are mostly passed on.
    pub fn on_exec(&mut self, exec: &Exec) {
        let tgid = Tgid(exec.tgid);
        if self.examine(tgid, &mut PortIndex::default(), Keep::Nothing, None) {
            return;
        }
        if let Some(Entry { start, info, .. }) = self.living.get(&tgid) {
            let (comm, exe) = (text(&exec.comm), text(&exec.exe));
            // A path that fills its field was cut at its end, where the name is.
            let exe = if exe.len() + 1 < exec.exe.len() { exe } else { comm.clone() };
            let facts = ProcessInfo { comm, exe, cmdline: Vec::new(), ..info.clone() };
            self.decide(tgid, *start, facts, Keep::Nothing);
        }
    }

    /// A process was forked at `time`. Until it calls exec it is what its parent is, so nothing has to be read, and the
    /// child of a recorded process is known even if it has ended already.
    pub fn on_fork(&mut self, parent: Tgid, child: Tgid, time: MonoNanos) {
        let Some(Entry { info, rule: Some(rule), .. }) = self.living.get(&parent) else { return };
        let (rule, facts) = (*rule, ProcessInfo { tgid: child, parent, started: time, ..info.clone() });
        let start = self.procfs.start_key(child).unwrap_or(0);
        let info = self.number(facts);
        let entry = Entry { start, rule: self.choose(&info, Some(rule)), info, parent_rule: Some(rule) };
        // The kernel follows the children of the followed by itself, so that a refusal has to be told as well.
        self.changes.push(match entry.rule {
            Some(_) => Change::Follow(Box::new(entry.info.clone())),
            None => Change::Unfollow(child),
        });
        self.living.insert(child, entry);
    }

    /// A process began to listen. The record comes from the middle of listen(2), so `/proc` may not show the port yet.
    pub fn on_listen(&mut self, &Listen { tgid, netns, followed, port, .. }: &Listen) {
        let tgid = Tgid(tgid);
        // A port that the kernel is still to choose is left to the next scan.
        if port == 0 {
            return;
        }
        if followed != 0 {
            // The programs have seen to its connections.
            self.followed_ports.insert((netns, port));
            if let Some(entry) = self.living.get_mut(&tgid).filter(|entry| !entry.info.listening.contains(&port)) {
                insert_port(&mut entry.info.listening, port);
                self.changes.push(Change::Update(Box::new(entry.info.clone())));
            }
        } else if self.discovery.names_port(port) && !self.has_refused(tgid, port) {
            // They have not, even where others listen on this port.
            let first = self.followed_ports.insert((netns, port));
            self.examine(tgid, &mut PortIndex::blank(netns), Keep::Chosen, Some(port));
            if self.rule_of(tgid).is_some() {
                self.changes.push(Change::Listen { netns, port });
            } else if first {
                self.followed_ports.remove(&(netns, port));
            }
        }
    }

    /// Whether the process was looked at with this port open and not chosen: one that listens again and again costs one
    /// look.
    fn has_refused(&self, tgid: Tgid, port: u16) -> bool {
        self.living.get(&tgid).is_some_and(|entry| entry.rule.is_none() && entry.info.listening.contains(&port))
    }

    /// A process uses io_uring, whose reads and writes are not seen.
    pub fn on_io_uring(&mut self, tgid: Tgid) {
        if let Some(entry) = self.living.get_mut(&tgid)
            && !std::mem::replace(&mut entry.info.io_uring, true)
        {
            self.changes.push(Change::Update(Box::new(entry.info.clone())));
        }
    }

    /// A process uses TLS whose plaintext is not seen.
    pub fn on_opaque_tls(&mut self, tgid: Tgid) {
        if let Some(entry) = self.living.get_mut(&tgid)
            && !std::mem::replace(&mut entry.info.opaque_tls, true)
        {
            self.changes.push(Change::Update(Box::new(entry.info.clone())));
        }
    }

    /// A process ended. Returns its key if it was known.
    pub fn on_exit(&mut self, tgid: Tgid) -> Option<ProcKey> {
        let entry = self.living.remove(&tgid)?;
        if entry.rule.is_some() {
            self.changes.push(Change::Unfollow(tgid));
        }
        Some(entry.info.key)
    }

    /// Reads a process and decides on it. If `opened` is given, it listens there and where it was known to; the listeners
    /// of a namespace take a millisecond and more to read. Returns whether it is there.
    fn examine(&mut self, tgid: Tgid, ports: &mut PortIndex, keep: Keep, opened: Option<u16>) -> bool {
        let Some((start, mut facts)) = self.procfs.read(tgid, ports) else { return false };
        if let Some(port) = opened {
            let known = self.living.get(&tgid).filter(|known| known.start == start);
            facts.listening = known.map(|known| known.info.listening.clone()).unwrap_or_default();
            insert_port(&mut facts.listening, port);
        }
        self.decide(tgid, start, facts, keep);
        true
    }

    fn decide(&mut self, tgid: Tgid, start: StartKey, facts: ProcessInfo, keep: Keep) {
        let known = self.living.remove(&tgid).filter(|known| known.start == start || known.start == 0);
        let parent_rule = self.rule_of(facts.parent).or(known.as_ref().and_then(|known| known.parent_rule));
        let rule = match (&known, keep) {
            (Some(Entry { rule: Some(rule), .. }), Keep::Chosen) => Some(*rule),
            _ => self.choose(&facts, parent_rule),
        };
        let info = match &known {
            Some(known) => ProcessInfo {
                key: known.info.key,
                origin: known.info.origin,
                id: known.info.id,
                opaque_tls: known.info.opaque_tls,
                ..facts
            },
            None => self.number(facts),
        };
        let was_followed = known.as_ref().is_some_and(|known| known.rule.is_some());
        match (was_followed, rule.is_some()) {
            (false, true) => self.changes.push(Change::Follow(Box::new(info.clone()))),
            (true, true) if known.is_some_and(|known| known.info != info) => {
                self.changes.push(Change::Update(Box::new(info.clone())));
            }
            (true, false) => self.changes.push(Change::Unfollow(tgid)),
            _ => {}
        }
        if rule.is_some() {
            for port in &info.listening {
                if self.followed_ports.insert((info.netns, *port)) {
                    self.changes.push(Change::Listen { netns: info.netns, port: *port });
                }
            }
        }
        self.living.insert(tgid, Entry { start, info, rule, parent_rule });
    }

    fn choose(&self, info: &ProcessInfo, parent_rule: Option<usize>) -> Option<usize> {
        if info.tgid == self.recorder { None } else { self.discovery.select_child(info, parent_rule) }
    }

    fn rule_of(&self, tgid: Tgid) -> Option<usize> {
        self.living.get(&tgid).and_then(|entry| entry.rule)
    }

    fn number(&mut self, facts: ProcessInfo) -> ProcessInfo {
        let id = self.next_id;
        self.next_id += 1;
        ProcessInfo { key: ProcKey::new(self.origin, id), origin: self.origin, id, ..facts }
    }
}

/// A text of a record: what stands before the zero.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// Puts a port into an ascending list, once.
fn insert_port(ports: &mut Vec<u16>, port: u16) {
    if let Err(at) = ports.binary_search(&port) {
        ports.insert(at, port);
    }
}

/// Whether a process that was chosen before stays chosen.
#[derive(Clone, Copy)]
enum Keep {
    Chosen,
    Nothing,
}

#[cfg(test)]
mod tests;
