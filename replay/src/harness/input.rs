//! The input of a run: tapes, or synthetic traffic as a tape in memory; as it is, or changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use redtape_core::synth::{Scenario, transform};
use redtape_core::tape::{Block, CloseReason, ContentHash, ContentHasher, Meta, Writer, WriterOptions};
use redtape_core::{Body, ConnKey, EventBuf};

use super::rechunk::rechunk;
use super::spec::{Chunks, MutationKind, Part, Seed};
use crate::failure::{Failure, Kind, Result};
use crate::input::{Tape, read_failure};

/// Tapes of more than this are replayed once, not twice.
const TWICE_MAX_BYTES: u64 = 64 << 20;

/// What is replayed; it can be opened any number of times.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Files.
    Files(Vec<PathBuf>),
    /// Tapes in memory, each with a name for messages.
    Memory(Vec<(String, Arc<[u8]>)>),
}

impl Input {
    /// Synthetic traffic, as a tape in memory: that which `redtape synth` writes.
    pub(crate) fn synthetic(scenario: &Scenario) -> Result<Self> {
        let events: Vec<_> = scenario.events().collect();
        Ok(Self::Memory(vec![("the synthetic tape".into(), written(&scenario.meta(), &events)?)]))
    }

    /// The tapes, from their beginning.
    pub(crate) fn open(&self) -> Result<Vec<Tape>> {
        match self {
            Self::Files(paths) => {
                let tapes = Tape::open_all(paths)?;
                tapes.iter().for_each(Tape::hush);
                Ok(tapes)
            }
            Self::Memory(tapes) => tapes.iter().map(|(name, bytes)| Tape::in_memory(name, bytes)).collect(),
        }
    }

    /// Whether it is one tape, so that several threads can work on it, and short enough to be replayed twice.
    pub(crate) fn is_replayed_twice(&self) -> bool {
        match self {
            Self::Files(paths) => match paths.as_slice() {
                [path] => path.metadata().is_ok_and(|data| data.len() <= TWICE_MAX_BYTES),
                _ => false,
            },
            Self::Memory(tapes) => tapes.len() == 1,
        }
    }

    /// The content hash of the tapes, as `redtape info` tells it; of several those of all, in their order.
    pub(crate) fn hash(&self) -> Result<String> {
        let hashes: Result<Vec<ContentHash>> = self.open()?.into_iter().map(hash_of).collect();
        Ok(hashes?.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    /// How many recorded ends of connections events are about, and how many of these are not over at the end. What is in TLS
    /// counts once, as in `redtape info`.
    pub(crate) fn connections(&self) -> Result<(u64, u64)> {
        // Whether each is open.
        let mut conns: BTreeMap<ConnKey, bool> = BTreeMap::new();
        for mut tape in self.open()? {
            let mut block = Block::default();
            while tape.reader.read_block(&mut block).map_err(|error| read_failure(&tape.name, &error))? {
                for event in block.events() {
                    match event.body {
                        Body::Connection(info) if info.tls.is_none() => {
                            conns.entry(info.key).or_insert(true);
                        }
                        Body::Close { conn } => conns.get_mut(&conn).into_iter().for_each(|open| *open = false),
                        _ => {}
                    }
                }
            }
        }
        Ok((conns.len() as u64, conns.values().filter(|open| **open).count() as u64))
    }

    /// The same, changed; each of several tapes by itself.
    pub(crate) fn changed(&self, kind: MutationKind) -> Result<Self> {
        let tapes = self.open()?.into_iter().map(|tape| {
            let name = tape.name.clone();
            let (meta, events) = read(tape)?;
            let bytes = match kind {
                MutationKind::TruncateAt(part) => self.cut(&name, part, &meta, &events)?,
                _ => written(&meta, &change(&events, kind))?,
            };
            Ok((name, bytes))
        });
        Ok(Self::Memory(tapes.collect::<Result<_>>()?))
    }

    /// A tape without its end. It is written anew before that, so that a part of the file is a part of its events.
    fn cut(&self, name: &str, part: Part, meta: &Meta, events: &[EventBuf]) -> Result<Arc<[u8]>> {
        const SMALL_BLOCKS: WriterOptions =
            WriterOptions { compress: false, block_bytes: 4 << 10, block_nanos: u64::MAX };
        let bytes = write(meta, events, SMALL_BLOCKS)?;
        let kept = usize::try_from(part.of(bytes.len() as u64)).unwrap_or(usize::MAX);
        let kept = bytes.get(..kept).unwrap_or(&bytes);
        Tape::in_memory(name, &kept.into())
            .map(|_| kept.into())
            .map_err(|error| Failure::message(Kind::Usage, format!("truncate_at {part} leaves no tape: {error}")))
    }
}

fn hash_of(mut tape: Tape) -> Result<ContentHash> {
    let (mut block, mut hasher) = (Block::default(), ContentHasher::new());
    while tape.reader.read_block(&mut block).map_err(|error| read_failure(&tape.name, &error))? {
        hasher.push_block(&block);
    }
    Ok(hasher.finish())
}

/// All events of a tape, dictionary entries among them.
fn read(mut tape: Tape) -> Result<(Meta, Vec<EventBuf>)> {
    let (mut block, mut events) = (Block::default(), Vec::new());
    while tape.reader.read_block(&mut block).map_err(|error| read_failure(&tape.name, &error))? {
        events.extend(block.events().map(EventBuf::from));
    }
    Ok((tape.reader.meta().clone(), events))
}

fn change(events: &[EventBuf], kind: MutationKind) -> Vec<EventBuf> {
    match kind {
        MutationKind::Rechunk(Chunks::Random(Seed { seed })) => transform::rechunk(events, seed),
        MutationKind::Rechunk(Chunks::Bytes(bytes)) => rechunk(events, usize::try_from(bytes).unwrap_or(usize::MAX)),
        MutationKind::Interleave(window, seed) => transform::interleave(events, window, seed),
        MutationKind::Shuffle(window, seed) => transform::shuffle(events, window, seed),
        MutationKind::Drop(per_mille, seed) => transform::drop_data(events, per_mille, seed).0,
        MutationKind::Duplicate(per_mille, seed) => transform::duplicate(events, per_mille, seed),
        MutationKind::Corrupt(per_mille, seed) => transform::corrupt(events, per_mille, seed),
        MutationKind::TruncatePayload(prefix) => transform::truncate_payloads(events, prefix),
        MutationKind::TruncateAt(_) => events.to_vec(),
        MutationKind::StartAt(part) => {
            let at = part.of(events.len() as u64);
            transform::start_at(events, usize::try_from(at).unwrap_or(usize::MAX))
        }
        MutationKind::Shift(nanos) => transform::shift_time(events, nanos),
        MutationKind::OverTls => transform::over_tls(events),
    }
}

fn written(meta: &Meta, events: &[EventBuf]) -> Result<Arc<[u8]>> {
    Ok(write(meta, events, WriterOptions::PIPE)?.into())
}

fn write(meta: &Meta, events: &[EventBuf], options: WriterOptions) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Failure::message(Kind::Input, format!("no tape can be made of it: {error}"));
    let mut writer = Writer::new(Vec::new(), meta, options).map_err(failed)?;
    for event in events {
        writer.push(&event.as_event()).map_err(failed)?;
    }
    let (_, bytes) = writer.finish(CloseReason::Done).map_err(failed)?;
    Ok(bytes)
}
