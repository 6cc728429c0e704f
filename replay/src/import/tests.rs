//! Whatever a file holds: no panic, a tape that can be read, and of a file that was cut what is before the cut.
//!
//! These are properties and no fuzz targets, as a target would have to build all that `redtape` exports and watches with; for
//! more cases than usual, set `PROPTEST_CASES`.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use proptest::prelude::*;
use redtape_core::tape::{Block, Reader, WriterOptions};
use redtape_core::{Body, LossCause, MonoNanos};

use super::*;

/// What the tape tells that a file becomes.
#[derive(Debug, PartialEq)]
struct Told {
    /// In words, without the names of connections, which come from the file's first bytes.
    events: Vec<String>,
    /// Bytes of payload, captured or not.
    moved: u64,
    found: Found,
}

/// Imports a file, if it is a capture.
fn imported(bytes: &[u8]) -> Option<Told> {
    let opened = open(Box::new(Cursor::new(bytes.to_vec())), ImportOptions::default(), WriterOptions::PIPE).ok()?;
    let Opened::Capture(mut capture) = opened else { return None };
    let (form, mut tape) = (capture.form(), Vec::new());
    capture.read_to_end(&mut tape).unwrap();
    let mut reader = Reader::open(&tape[..]).unwrap();
    let (mut block, mut events) = (Block::default(), Vec::new());
    let (mut conns, mut next, mut moved) = (BTreeMap::new(), BTreeMap::new(), 0);
    let mut now = MonoNanos::ZERO;
    while reader.read_block(&mut block).unwrap() {
        for event in block.events() {
            // What the reader says of a tape without an end is not the import's.
            if event.body.is_entry() || matches!(&event.body, Body::Loss(loss) if loss.cause == LossCause::Truncated) {
                continue;
            }
            assert!(event.late == (event.time < now), "{event:?} after {now:?}");
            now = now.max(event.time);
            let number = conns.len();
            let conn = event.body.conn().map(|conn| *conns.entry(conn).or_insert(number));
            let what = match &event.body {
                Body::Data(data) => {
                    // Packets come in order, and nothing twice. Of calls that are under way at once, none is the first.
                    let at = next.entry((data.conn, data.direction as u8)).or_insert(0);
                    assert!(form == Form::Scap || data.pos >= *at, "{data:?} before {at}");
                    *at = data.pos + data.len;
                    moved += data.len;
                    let payload: Vec<_> = data.ranges.iter().collect();
                    assert!(payload.last().is_none_or(|(at, bytes)| at + bytes.len() as u64 <= data.len));
                    format!("{:?} {} {} {payload:?}", data.direction, data.pos, data.len)
                }
                body => format!("{:?}", std::mem::discriminant(body)),
            };
            events.push(format!("{:?} {conn:?} {what}", event.time));
        }
    }
    let report = reader.report();
    assert_eq!((report.corrupt_blocks, report.skipped_bytes, report.missing_blocks), (0, 0, 0));
    let found = capture.found().get();
    assert_eq!(report.truncated, found.cut.is_some() || found.is_without_end);
    Some(Told { events, moved, found })
}

/// What an import counts, and how often it tells that a connection is over.
fn found(bytes: &[u8]) -> (Found, usize) {
    let opened = open(Box::new(Cursor::new(bytes.to_vec())), ImportOptions::default(), WriterOptions::PIPE).unwrap();
    let Opened::Capture(mut capture) = opened else { panic!("no capture") };
    let mut reader = Reader::open(&mut *capture).unwrap();
    let (mut block, mut closed) = (Block::default(), 0);
    while reader.read_block(&mut block).unwrap() {
        closed += block.events().filter(|event| matches!(event.body, Body::Close { .. })).count();
    }
    (capture.found().get(), closed)
}

/// A packet of raw IP: from the first or the second end, sequence number, flags of TCP, payload.
type Sent = (bool, u32, u8, Vec<u8>);

/// A pcap file of these packets, a microsecond apart.
fn pcap(packets: &[Sent]) -> Vec<u8> {
    pcap_at(packets.iter().cloned().zip(0..))
}

/// A pcap file of these packets at these times, in microseconds.
fn pcap_at(packets: impl IntoIterator<Item = (Sent, u64)>) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes).concat();
    for ((first, seq, flags, payload), micros) in packets {
        let (from, to) = if first { ([10, 0, 0, 1], [10, 0, 0, 2]) } else { ([10, 0, 0, 2], [10, 0, 0, 1]) };
        let (from_port, to_port) = if first { (40_000_u16, 80_u16) } else { (80, 40_000) };
        let total = u16::try_from(40 + payload.len()).unwrap();
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend([from, to].concat());
        packet.extend([from_port.to_be_bytes(), to_port.to_be_bytes()].concat());
        packet.extend([seq.to_be_bytes(), 0_u32.to_be_bytes()].concat());
        packet.extend([0x50, flags & !0x10, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(&payload);
        let len = u32::from(total);
        let [second, micros] = [micros / 1_000_000, micros % 1_000_000].map(|part| u32::try_from(part).unwrap());
        file.extend([1_700_000_000 + second, micros, len, len].map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    file
}

/// The beginnings of all forms.
fn beginnings() -> [Vec<u8>; 4] {
    let section = [0x0a0d_0d0a_u32, 28, 0x1a2b_3c4d, 1, 0xffff_ffff, 0xffff_ffff, 28].map(u32::to_le_bytes).concat();
    let interface = [1_u32, 20, 1, 0, 20].map(u32::to_le_bytes).concat();
    let machine = [0x201_u32, 12, 12].map(u32::to_le_bytes).concat();
    let ethernet = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1_u32].map(u32::to_le_bytes).concat();
    [pcap(&[]), ethernet, [&section[..], &interface].concat(), [&section[..], &machine].concat()]
}

/// Bytes like those of blocks and packets.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        any::<u32>(),
        0..80_u32,
        prop::sample::select(vec![
            0x204_u32,
            0x216,
            0x215,
            0x203,
            0x218,
            6,
            1,
            2,
            3,
            0x8000_5254,
            0x0a0d_0d0a,
            0x4500_0028
        ]),
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

proptest! {
    #[test]
    fn any_bytes_can_follow(form in 0..4_usize, rest in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), blocks()]) {
        let file = [&beginnings()[form][..], &rest].concat();
        imported(&file);
    }

    #[test]
    fn any_bytes_of_a_capture_can_be_wrong(
        form in 0..3_usize,
        wrong in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(255)]), 1..20),
    ) {
        let call = (true, 1, 0, b"GET / HTTP/1.1\r\n\r\n".to_vec());
        let mut file = match form {
            0 => include_bytes!("../../../fixtures/captures/calls.scap").to_vec(),
            // Few bytes are few to be wrong in: flags, lengths and offsets among them.
            1 => pcap(&[(true, 0, 2, Vec::new()), call]),
            _ => pcap(&vec![call; 30]),
        };
        for (at, byte) in wrong {
            *at.get_mut(&mut file) = byte;
        }
        imported(&file);
    }

    #[test]
    fn what_is_before_a_cut_is_there(
        packets in proptest::collection::vec((any::<bool>(), 0..400_u32, prop::sample::select(vec![2_u8, 0x18, 0x18, 0x18, 1, 4]), proptest::collection::vec(any::<u8>(), 0..50)), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = pcap(&packets);
        let len = cut.index(whole.len() - 23) + 24;
        // What of the packets is whole is as long as they are alone.
        let lens = packets.iter().map(|(.., payload)| 56 + payload.len());
        let ends = std::iter::once(24).chain(lens.scan(24, |end, len| { *end += len; Some(*end) }));
        let before = ends.take_while(|end| *end <= len).last().unwrap();
        let (mut part, expected) = (imported(&whole[..len]).unwrap(), imported(&whole[..before]).unwrap());
        prop_assert_eq!((part.found.read, part.found.cut.take()), (before as u64, (len > before).then_some(Cut::Truncated)));
        prop_assert_eq!(part, expected);
    }
}

#[test]
fn a_capture_cut_anywhere_is_read_up_to_there() {
    let file = include_bytes!("../../../fixtures/captures/calls.scap");
    let (mut block, mut next, mut events) = (0, 0, 0);
    for len in (28..file.len()).step_by(397) {
        while next <= len {
            block = next;
            next += u32::from_le_bytes(file[next + 4..next + 8].try_into().unwrap()) as usize;
        }
        let mut part = imported(&file[..len]).unwrap();
        let cut = (len > block).then_some(Cut::Truncated);
        assert_eq!((part.found.read, part.found.cut.take()), (block as u64, cut), "{len} bytes");
        assert_eq!(part, imported(&file[..block]).unwrap(), "{len} bytes");
        events = part.found.records;
    }
    assert!(events > 100, "{events} events");
}

#[test]
fn where_a_pcapng_file_is_damaged_is_told() {
    let block = |words: &[u32]| {
        let len = u32::try_from(words.len() * 4 + 8).unwrap();
        [&words[..1], &[len], &words[1..], &[len]]
            .concat()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let section = block(&[0x0a0d_0d0a, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX]);
    let (interface, option_too_long) = (block(&[1, 1, 65_535]), block(&[1, 1, 65_535, 0xffff_0009]));
    let packet = block(&[6, 0, 0, 0, 4, 4, 7]);
    let mut other_length = packet.clone();
    other_length[32] ^= 4;
    let cut = [&packet[..], &packet[..20]].concat();
    for (blocks, read, is_truncated) in [
        ([&option_too_long[..], &packet[..]], 28, false),
        ([&interface[..], &other_length[..]], 48, false),
        ([&interface[..], &cut[..]], 84, true),
    ] {
        let found = imported(&[&section[..], &blocks.concat()].concat()).unwrap().found;
        assert_eq!((found.read, found.cut.unwrap() == Cut::Truncated), (read, is_truncated));
    }
}

/// Connections whose port is used again leave nothing behind: neither what waited in them, nor their end untold.
#[test]
fn connections_with_the_same_addresses_follow_each_other() {
    const SYN: u8 = 2;
    let connections = u32::try_from(limits::HELD_BYTES_OF_ALL / 60_000 + 2).unwrap();
    let mut packets: Vec<_> = (0..connections)
        .map(|number| number * 1_000_000)
        // The first ten bytes never come.
        .flat_map(|isn| [(true, isn, SYN, Vec::new()), (true, isn + 11, 0, vec![b'x'; 60_000])])
        .collect();
    // Of the last one they only come late.
    packets.push((true, (connections - 1) * 1_000_000 + 1, 0, vec![b'x'; 10]));
    let (found, closed) = found(&pcap(&packets));
    assert_eq!(found.connections, u64::from(connections));
    assert_eq!((found.holes, closed), (u64::from(connections) - 1, connections as usize - 1));
}

#[test]
fn a_reset_with_a_number_far_off_ends_nothing() {
    let (syn, ack, rst) = (2, 16, 4);
    let packets = |seq| {
        let [before, after] = [b"GET / HTTP/1.1\r\n".to_vec(), b"Host: a\r\n\r\n".to_vec()];
        pcap(&[(true, 99, syn, vec![]), (true, 100, ack, before), (true, seq, rst, vec![]), (true, 116, ack, after)])
    };
    assert_eq!(imported(&packets(3_000_000_000)).unwrap().moved, 27);
    assert_eq!(imported(&packets(116)).unwrap().moved, 16, "the one that is expected does");
}

#[test]
fn a_handshake_that_comes_late_is_of_the_connection_that_it_begins() {
    let request = (true, 100, 16, b"GET / HTTP/1.1\r\n\r\n".to_vec());
    let told = imported(&pcap(&[request.clone(), (true, 99, 2, vec![]), request.clone()])).unwrap();
    assert_eq!((told.moved, told.found.connections, told.found.retransmitted), (18, 1, 1));
    let other = imported(&pcap(&[request.clone(), (true, 500, 2, vec![]), (true, 501, 16, request.3)])).unwrap();
    assert_eq!((other.moved, other.found.connections), (36, 2));
}

/// Options for the destination that stand behind the fragment header belong to what is put together (RFC 8200, section 4.5).
#[test]
fn fragments_of_ipv6_may_begin_with_options() {
    let payload = b"GET / HTTP/1.1\r\n\r\n";
    let tcp = [&[0x9c, 0x40, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 16, 255, 255, 0, 0, 0, 0][..], payload].concat();
    let whole = [&[6, 0, 1, 4, 0, 0, 0, 0][..], &tcp].concat();
    let fragment = |at: usize, end: usize| {
        let more = u8::from(end < whole.len());
        let part = &whole[at..end];
        let len = u8::try_from(part.len() + 8).unwrap();
        let header = [60, 0, 0, u8::try_from(at).unwrap() | more, 0, 0, 0, 7];
        [&[0x60, 0, 0, 0, 0, len, 44, 64][..], &[1; 16], &[2; 16], &header, part].concat()
    };
    let mut file = pcap(&[]);
    for packet in [fragment(0, 16), fragment(16, whole.len())] {
        let len = u32::try_from(packet.len()).unwrap();
        file.extend([1_700_000_000, 0, len, len].map(u32::to_le_bytes).concat());
        file.extend(packet);
    }
    let told = imported(&file).unwrap();
    assert_eq!((told.moved, told.found.used, told.found.unfinished_fragments), (payload.len() as u64, 1, 0));
}

#[test]
fn a_packet_with_a_wrong_time_leaves_reassembly_as_it_is() {
    let piece = |seq: u32, text: &[u8]| (true, seq, 16, text.to_vec());
    let request = [piece(100, b"GET / HTT"), piece(116, b"Host: a\r\n\r\n"), piece(109, b"P/1.1\r\n")];
    let far = 50 * 365 * 86_400 * 1_000_000;
    let wrong = (false, 7, 16, b"x".to_vec());
    let packets = std::iter::once((wrong.clone(), 0)).chain([(wrong, far)]);
    let packets = packets.chain(request.into_iter().zip([1_000, 2_000, 3_000]));
    let (found, _) = found(&pcap_at(packets));
    assert_eq!((found.holes, found.back_in_time), (0, 1));
}
