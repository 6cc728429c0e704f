//! A capture of packets as a source of events.

use std::io::{self, Read};

use pcap_file::PcapError;

use super::clock::Clock;
use super::connection::{Context, Scratch};
use super::exported::Exported;
use super::flows::Flows;
use super::fragments::Fragments;
use super::packets::{Next, Packets};
use super::segment::{self, Packet};
use super::services::Services;
use crate::import::found::{Cut, Found};
use crate::import::options::ImportOptions;
use crate::import::transcript::Transcript;

/// Packets that are read at once.
const BATCH: usize = 1024;

/// Bytes that are asked for at once: what was read is still in a near cache when it is looked at, which of 8 MB it would not be.
const PIECE_BYTES: usize = 256 << 10;

/// An input that gives no more than that at once.
struct InPieces<R>(R);

impl<R: Read> Read for InPieces<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(PIECE_BYTES);
        out.get_mut(..most).map_or(Ok(0), |out| self.0.read(out))
    }
}

/// Reads packets, and tells of the TCP connections in them.
pub(crate) struct PacketSource<R: Read> {
    packets: Packets<InPieces<R>>,
    flows: Flows,
    fragments: Fragments,
    services: Services,
    scratch: Scratch,
    /// The tape that the packets were exported from.
    exported: Option<Exported>,
    options: ImportOptions,
    clock: Clock,
}

impl<R: Read> PacketSource<R> {
    /// Opens a pcap file.
    pub(crate) fn pcap(read: R, options: ImportOptions) -> Result<Self, PcapError> {
        Packets::pcap(InPieces(read)).map(|packets| Self::new(packets, options))
    }

    /// Opens a pcapng file, which begins with a section's header of so many bytes.
    pub(crate) fn pcapng(read: R, header: u64, options: ImportOptions) -> Result<Self, PcapError> {
        Packets::pcapng(InPieces(read), header).map(|packets| Self::new(packets, options))
    }

    fn new(packets: Packets<InPieces<R>>, options: ImportOptions) -> Self {
        Self {
            packets,
            flows: Flows::default(),
            fragments: Fragments::default(),
            services: Services::default(),
            scratch: Scratch::default(),
            exported: None,
            options,
            clock: Clock::default(),
        }
    }

    /// Reads some more packets. `false` at the end.
    pub(crate) fn step(&mut self, transcript: &mut Transcript, found: &mut Found) -> io::Result<bool> {
        let Self { packets, flows, fragments, services, scratch, exported, options, clock } = self;
        let ImportOptions { payload, server_ports } = &*options;
        let mut cx =
            Context { transcript, found, services, payload: *payload, server_ports, scratch, now: clock.now() };
        for _ in 0..BATCH {
            cx.found.read = packets.offset();
            let captured = match packets.next()? {
                Next::Packet(captured) => captured,
                Next::Other => continue,
                Next::Malformed => {
                    cx.found.records += 1;
                    cx.found.malformed += 1;
                    continue;
                }
                Next::Tape(bytes) => {
                    let read = match exported {
                        Some(tape) => tape.feed(bytes, cx.transcript)?,
                        None => match Exported::open(bytes, cx.transcript) {
                            Ok(tape) => exported.insert(tape).read(cx.transcript)?,
                            // What tells nothing hides no packets.
                            Err(why) => {
                                cx.found.unread_tape.get_or_insert(why);
                                continue;
                            }
                        },
                    };
                    let Err(why) = read else { continue };
                    cx.found.cut = Some(Cut::Damaged(format!("the tape in it cannot be read on: {why}")));
                    return self.finish(transcript, found).map(|()| false);
                }
                Next::Cut(why) => {
                    cx.found.cut = Some(why);
                    return self.finish(transcript, found).map(|()| false);
                }
                Next::End => return self.finish(transcript, found).map(|()| false),
            };
            cx.found.records += 1;
            if let Some(exported) = exported {
                // The tape tells of all but payload: the other packets are there for other programs.
                cx.found.used += u64::from(exported.payload(&captured));
                continue;
            }
            let time = captured.time.unwrap_or(clock.latest());
            cx.found.back_in_time += u64::from(time < clock.latest());
            cx.now = clock.at(time);
            flows.expire(&mut cx)?;
            match segment::packet(captured.link_type, captured.bytes, captured.len) {
                Packet::Tcp(segment) => {
                    cx.found.used += 1;
                    flows.take(time, &segment, &mut cx)?;
                }
                Packet::Fragment(fragment) => {
                    let (whole, forgotten) = fragments.add(&fragment);
                    cx.found.unfinished_fragments += u64::from(forgotten);
                    let Some(bytes) = whole else { continue };
                    if let Some(segment) = segment::put_together(&fragment.id, &bytes) {
                        cx.found.used += 1;
                        flows.take(time, &segment, &mut cx)?;
                    }
                }
                Packet::Other => {}
                Packet::UnknownLink => *cx.found.unknown_links.entry(captured.link_type).or_default() += 1,
                Packet::Malformed => cx.found.malformed += 1,
            }
        }
        Ok(true)
    }

    /// Nothing follows.
    fn finish(&mut self, transcript: &mut Transcript, found: &mut Found) -> io::Result<()> {
        found.unfinished_fragments += self.fragments.unfinished();
        if let Some(exported) = &mut self.exported {
            exported.finish(transcript)?;
            found.connections = exported.connections();
            found.is_without_end = !exported.is_whole();
        }
        let Self { flows, services, scratch, options, clock, .. } = self;
        let ImportOptions { payload, server_ports } = &*options;
        let now = clock.now();
        flows.finish(&mut Context { transcript, found, services, payload: *payload, server_ports, scratch, now })
    }
}
