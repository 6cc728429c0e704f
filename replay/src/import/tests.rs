//! Whatever a file holds: no panic, a tape that can be read, and of a file that was cut what is before the cut.
//!
//! These are properties and no fuzz targets, as a target would have to build all that `redtape` exports and watches with; for
//! more cases than usual, set `PROPTEST_CASES`.

use std::io::{Cursor, Read};

use proptest::prelude::*;
use redtape_core::tape::{Block, Reader, WriterOptions};
use redtape_core::{Body, Data};

use super::*;

/// The tape that a file becomes, if it is a capture: events, and bytes of payload.
fn imported(bytes: &[u8]) -> Option<(usize, u64)> {
    let opened = open(Box::new(Cursor::new(bytes.to_vec())), ImportOptions::default(), WriterOptions::PIPE).ok()?;
    let Opened::Capture(mut capture) = opened else { return None };
    let mut tape = Vec::new();
    capture.read_to_end(&mut tape).unwrap();
    let mut reader = Reader::open(&tape[..]).unwrap();
    let (mut block, mut events, mut moved) = (Block::default(), 0, 0);
    while reader.read_block(&mut block).unwrap() {
        for event in block.events() {
            events += 1;
            if let Body::Data(Data { len, .. }) = event.body {
                moved += len;
            }
        }
    }
    let report = reader.report();
    assert_eq!((report.corrupt_blocks, report.skipped_bytes, report.missing_blocks), (0, 0, 0));
    Some((events, moved))
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
        let (events, moved) = imported(&whole).unwrap();
        let len = cut.index(whole.len());
        if let Some(part) = imported(&whole[..len]) {
            // The end of the file gives up what was waited for, so there may be a hole more, with its loss.
            prop_assert!(part.1 <= moved + 400, "{part:?} of {events} events, {moved} bytes");
        }
    }
}

#[test]
fn a_capture_cut_anywhere_is_read_up_to_there() {
    let file = include_bytes!("../../../fixtures/captures/calls.scap");
    let mut before = 0;
    for len in (500..file.len()).step_by(397) {
        let (events, _) = imported(&file[..len]).unwrap();
        assert!(events + 40 >= before, "{len} bytes: {events} events, {before} of fewer");
        before = events;
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
    assert_eq!(imported(&packets(3_000_000_000)).unwrap().1, 27);
    assert_eq!(imported(&packets(116)).unwrap().1, 16, "the one that is expected does");
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
