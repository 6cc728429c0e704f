//! `events --hex`: captured bytes with their positions.

use std::io::{self, Write};

use redtape_core::Data;

/// Bytes in a line.
const WIDTH: usize = 16;

/// Writes what was captured of a call: positions in the stream, hexadecimal digits, printable characters.
pub(super) fn write_hex(out: &mut impl Write, data: &Data<'_>) -> io::Result<()> {
    for (offset, bytes) in data.ranges.iter() {
        let mut pos = data.pos.saturating_add(offset);
        for line in bytes.chunks(WIDTH) {
            write!(out, "    {pos:08x} ")?;
            for at in 0..WIDTH {
                let gap = if at == WIDTH / 2 { "  " } else { " " };
                match line.get(at) {
                    Some(byte) => write!(out, "{gap}{byte:02x}")?,
                    None => write!(out, "{gap}  ")?,
                }
            }
            let printable = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
            writeln!(out, "  |{}|", line.iter().map(printable).collect::<String>())?;
            pos = pos.saturating_add(line.len() as u64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use redtape_core::{ConnKey, Direction, Origin, ProcKey, Ranges, Source, Stamp};

    use super::*;

    #[test]
    fn offsets_are_positions() {
        let data = Data {
            conn: ConnKey::new(Origin::default(), 1),
            process: ProcKey::default(),
            stamp: Stamp::default(),
            direction: Direction::In,
            source: Source::Read,
            pos: 0x1f,
            len: 18,
            arrived: None,
            ranges: Ranges::prefix(b"GET / HTTP/1.1\r\n\0z"),
        };
        let mut out = Vec::new();
        write_hex(&mut out, &data).unwrap();
        let expected = "    0000001f  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n    \
                        0000002f  00 7a                                             |.z|\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
