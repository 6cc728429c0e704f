//! HPACK (RFC 7541): overwrites values in a header block so that its size, its table and all indices stay.
//!
//! A value in the Huffman code becomes one whose every code is as long. Of the dynamic table only what the names are is
//! kept: values in it were overwritten when they came.

use std::collections::VecDeque;
use std::ops::Range;

use super::mask::{MASK, Style};
use super::rules::{Field, Mark, Rule, Rules};
use crate::http2::hpack::{STATIC_FIELDS, huffman_decode, huffman_encode};

/// The size of the dynamic table before anyone changes it (RFC 9113, section 6.5.2).
const INITIAL_TABLE_BYTES: usize = 4096;

/// What each entry counts beside its name and value (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;

/// What a string becomes that is in no code: it stays in none.
const BROKEN: u8 = 0xff;

/// The names in the dynamic table of one direction.
#[derive(Debug)]
pub(super) struct Names {
    /// The newest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    /// `None` where the encoder may have changed it unseen.
    max: Option<usize>,
    /// The size that is kept to here, whatever the encoder does.
    bound: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// `None` where the name is not known.
    field: Option<Field>,
    name_len: usize,
    size: usize,
}

/// What was changed of a block.
pub(super) type Changed = Vec<(Range<usize>, Rule)>;

/// The rest of a block.
struct Block<'a> {
    bytes: &'a mut Vec<u8>,
    at: usize,
    changed: Changed,
}

/// The block goes on no further, or is no HPACK.
struct Stop;

/// A string: where its text stands in the block, and whether it is in the Huffman code.
struct Literal {
    range: Range<usize>,
    huffman: bool,
}

impl Names {
    /// At the beginning of a connection, or somewhere in it.
    pub(super) const fn new(bound: usize, known: bool) -> Self {
        let max = if known { Some(INITIAL_TABLE_BYTES) } else { None };
        Self { entries: VecDeque::new(), bytes: 0, max, bound }
    }

    /// Insertions were missed.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        (self.bytes, self.max) = (0, None);
    }

    /// Overwrites what is to go of a block, of which the end is missing unless it is `whole`. What cannot be read is
    /// overwritten to its end.
    pub(super) fn redact(&mut self, rules: &Rules, bytes: &mut Vec<u8>, whole: bool) -> Changed {
        let mut block = Block { bytes, at: 0, changed: Vec::new() };
        let mut stopped = !whole;
        while let Some(&first) = block.bytes.get(block.at) {
            let before = block.at;
            if self.field(first, rules, &mut block).is_err() {
                // A string that is not all there, and what follows something that is no field.
                let from = block.at.max(before + 1);
                block.fill(from..block.bytes.len(), MASK, Rule::Unparsed);
                stopped = true;
                break;
            }
        }
        if stopped {
            self.forget();
        }
        block.changed
    }

    fn field(&mut self, first: u8, rules: &Rules, block: &mut Block<'_>) -> Result<(), Stop> {
        if first & 0x80 != 0 {
            let index = block.integer(7)?;
            return if index == 0 { Err(Stop) } else { Ok(()) };
        }
        if first & 0xe0 == 0x20 {
            let max = block.integer(5)?;
            self.max = Some(max);
            self.shrink();
            return Ok(());
        }
        let indexing = first & 0x40 != 0;
        let (field, name_len) = match block.integer(if indexing { 6 } else { 4 })? {
            0 => {
                let literal = block.literal()?;
                let name = block.text(&literal);
                if name.is_none() {
                    block.fill(literal.range, BROKEN, Rule::Unparsed);
                    return Err(Stop);
                }
                let name = name.unwrap_or_default();
                (Some(rules.field(&name)), name.len())
            }
            index => self.name_at(index, rules),
        };
        let literal = block.literal()?;
        // What must never be indexed, its sender calls a secret (RFC 7541, section 7.1.3).
        let secret = first & 0xf0 == 0x10 && field == Some(Field::Keep);
        let shown = if secret { Some(Field::Mask) } else { field };
        let value_len = block.redact_value(literal, shown, rules);
        if indexing {
            let size = name_len.saturating_add(value_len).saturating_add(OVERHEAD);
            self.bytes = self.bytes.saturating_add(size);
            self.entries.push_front(Entry { field, name_len, size });
            self.shrink();
        }
        Ok(())
    }

    /// What the name at an index is, and its length.
    fn name_at(&self, index: usize, rules: &Rules) -> (Option<Field>, usize) {
        if let Some((name, _)) = STATIC_FIELDS.get(index - 1) {
            return (Some(rules.field(name.as_bytes())), name.len());
        }
        let entry = self.entries.get(index - 1 - STATIC_FIELDS.len());
        entry.map_or((None, 0), |entry| (entry.field, entry.name_len))
    }

    fn shrink(&mut self) {
        let max = self.max.unwrap_or(usize::MAX).min(self.bound);
        while self.bytes > max
            && let Some(entry) = self.entries.pop_back()
        {
            self.bytes = self.bytes.saturating_sub(entry.size);
        }
    }
}

impl Block<'_> {
    /// An integer with a prefix of so many bits (section 5.1), below 2^28.
    fn integer(&mut self, prefix: u32) -> Result<usize, Stop> {
        let most = (1_usize << prefix) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Stop)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.bytes.get(self.at).copied().ok_or(Stop)?;
        self.at += 1;
        Ok(byte)
    }

    /// A string (section 5.2).
    fn literal(&mut self) -> Result<Literal, Stop> {
        let huffman = self.bytes.get(self.at).is_some_and(|first| first & 0x80 != 0);
        let len = self.integer(7)?;
        let range = self.at..self.at.checked_add(len).ok_or(Stop)?;
        if range.end > self.bytes.len() {
            return Err(Stop);
        }
        self.at = range.end;
        Ok(Literal { range, huffman })
    }

    /// The text of a string; `None` if it is in no code.
    fn text(&self, literal: &Literal) -> Option<Vec<u8>> {
        let bytes = self.bytes.get(literal.range.clone()).unwrap_or_default();
        if !literal.huffman {
            return Some(bytes.to_vec());
        }
        let mut text = Vec::new();
        huffman_decode(bytes, |byte| text.push(byte))?;
        Some(text)
    }

    /// Overwrites what is to go of a value, of which all goes if its name is not known. Returns its length.
    fn redact_value(&mut self, literal: Literal, field: Option<Field>, rules: &Rules) -> usize {
        let Some(mut text) = self.text(&literal) else {
            self.fill(literal.range, BROKEN, Rule::Unparsed);
            return 0;
        };
        let mut marks = Vec::new();
        match field {
            Some(field) => rules.mark_value(field, &text, &mut marks),
            None => marks.push(Mark { range: 0..text.len(), rule: Rule::Unparsed, style: Style::Flat }),
        }
        let Some(rule) = marks.first().map(|mark| mark.rule) else { return text.len() };
        Rules::apply_hpack(&mut text, &marks, literal.huffman);
        let mut coded = Vec::new();
        let bytes = if literal.huffman {
            huffman_encode(&text, &mut coded);
            &coded
        } else {
            &text
        };
        if let Some(slot) = self.bytes.get_mut(literal.range.clone()).filter(|slot| slot.len() == bytes.len()) {
            slot.copy_from_slice(bytes);
        }
        self.changed.push((literal.range, rule));
        text.len()
    }

    fn fill(&mut self, range: Range<usize>, byte: u8, rule: Rule) {
        if let Some(slot) = self.bytes.get_mut(range.clone()).filter(|slot| !slot.is_empty()) {
            slot.fill(byte);
            self.changed.push((range, rule));
        }
    }
}
