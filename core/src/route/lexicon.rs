//! The words that HTTP interfaces are made of, and how well a segment is made of them.

use std::sync::LazyLock;

use rustc_hash::{FxHashMap, FxHashSet};

/// Nouns, qualities and the particles between them.
const WORDS: &str = include_str!("words.txt");
/// What an interface does, or offers beside its items: these stand at the place of an id without being one.
const ACTIONS: &str = include_str!("actions.txt");
/// How the names of files end that servers serve.
const EXTENSIONS: &str = "7z apk asp aspx avif bak bmp bz2 cer cgi cjs conf crt css csv deb dll dmg do doc docx env eot exe \
    flac gif gz htm html ico ics ini ipynb iso jar jpeg jpg js json jsonl jsp key less lock log lua m3u8 map md mjs mov \
    mp3 mp4 mpd mpeg ogg otf parquet pdf pem php png ppt pptx proto ps1 py rar rb rpm rss rst rtf sass scss sh sql svg swf \
    tar tgz tif tiff toml ts tsv tsx ttf txt vue wasm wav webm webmanifest webp whl woff woff2 xhtml xls xlsx xml xz yaml \
    yml zip zst";

/// Letters of a word that is looked up; longer ones are no words.
const MAX_WORD: usize = 20;
/// Letters of a run of words without anything between them (`serviceaccounts`).
const MAX_RUN: usize = 48;
/// Letters of a word within such a run. Shorter words would let chance make one.
const MIN_IN_RUN: usize = 3;

/// Letters of the words that make up for an unknown word at the head of a run.
const MIN_KNOWN_TAIL: usize = 12;
/// Letters of such an unknown word.
const MAX_STRANGE_HEAD: usize = 12;

/// How well known the words of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Familiarity {
    /// Some part of it is no word that interfaces use.
    Unknown,
    /// It is made of words that interfaces use.
    Known,
    /// It is one word for an action, or for something that stands beside items.
    Action,
}

/// A set of words.
#[derive(Debug)]
pub(super) struct Lexicon {
    words: FxHashMap<&'static str, Familiarity>,
    extensions: FxHashSet<&'static str>,
}

impl Lexicon {
    /// The one there is.
    pub(super) fn shared() -> &'static Self {
        static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::new);
        &LEXICON
    }

    fn new() -> Self {
        let nouns = WORDS.split_ascii_whitespace().map(|word| (word, Familiarity::Known));
        let actions = ACTIONS.split_ascii_whitespace().map(|word| (word, Familiarity::Action));
        let extensions = EXTENSIONS.split_ascii_whitespace().collect();
        Self { words: nouns.chain(actions).collect(), extensions }
    }

    /// How well known `segment` is, in any letter case. It is cut at `-`, `_`, `.`, `~` and where the letter case rises.
    pub(super) fn familiarity(&self, segment: &str) -> Familiarity {
        let mut words = 0;
        let mut last = Familiarity::Unknown;
        for piece in pieces(segment) {
            words += 1;
            last = self.word(piece);
            if last == Familiarity::Unknown && !self.run(piece) {
                return Familiarity::Unknown;
            }
        }
        match words {
            0 => Familiarity::Unknown,
            1 => last.max(Familiarity::Known),
            _ if pieces(segment).next().is_some_and(is_verb) => Familiarity::Action,
            _ => Familiarity::Known,
        }
    }

    /// Whether files that servers serve end like this, in any letter case.
    pub(super) fn is_extension(&self, text: &str) -> bool {
        let mut buffer = [0_u8; MAX_WORD];
        lowered(text, &mut buffer).is_some_and(|lower| self.extensions.contains(lower))
    }

    /// Whether `piece` is one word.
    pub(super) fn is_word(&self, piece: &str) -> bool {
        self.word(piece) != Familiarity::Unknown
    }

    fn word(&self, piece: &str) -> Familiarity {
        let mut buffer = [0_u8; MAX_WORD];
        let Some(lower) = lowered(piece, &mut buffer) else { return Familiarity::Unknown };
        if let Some(familiarity) = self.words.get(lower) {
            return *familiarity;
        }
        if is_version(lower) || self.inflected(lower) { Familiarity::Known } else { Familiarity::Unknown }
    }

    /// Plurals, and the forms of verbs.
    fn inflected(&self, word: &str) -> bool {
        const ENDINGS: [(&str, &[&str]); 12] = [
            ("ies", &["y"]),
            ("es", &["", "e"]),
            ("s", &[""]),
            ("ied", &["y"]),
            ("ed", &["", "e"]),
            ("ing", &["", "e"]),
            ("er", &["", "e"]),
            ("ers", &["", "e"]),
            ("or", &["e", ""]),
            ("ion", &["e", ""]),
            ("ions", &["e", ""]),
            ("able", &["", "e"]),
        ];
        ENDINGS.iter().any(|(ending, instead)| {
            let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.len() >= 2) else { return false };
            instead.iter().any(|end| {
                let mut buffer = [0_u8; MAX_WORD + 1];
                joined(stem, end, &mut buffer).is_some_and(|word| self.words.contains_key(word))
            })
        })
    }

    /// Whether `piece` is several words written together.
    fn run(&self, piece: &str) -> bool {
        let length = piece.len();
        if !(2 * MIN_IN_RUN..=MAX_RUN).contains(&length) || !piece.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return false;
        }
        // reached[n]: the letters from n on are words.
        let mut reached = [false; MAX_RUN + 1];
        reached[length] = true;
        for start in (0..=length - MIN_IN_RUN).rev() {
            reached[start] = (start + MIN_IN_RUN..=length.min(start + MAX_WORD))
                .any(|end| reached[end] && piece.get(start..end).is_some_and(|word| self.is_word(word)));
        }
        // One strange word may lead, if what follows is long: `mutating` in `mutatingwebhookconfigurations`.
        let strange_head = length.saturating_sub(MIN_KNOWN_TAIL).min(MAX_STRANGE_HEAD);
        reached[0] || (MIN_IN_RUN..=strange_head).any(|start| reached[start])
    }
}

/// Verbs that begin the name of an action, as in `findByTags`.
fn is_verb(piece: &str) -> bool {
    const VERBS: &str =
        "add by check create delete find generate get is list remove reset search send set update validate";
    VERBS.split(' ').any(|verb| verb.eq_ignore_ascii_case(piece))
}

/// `v1`, `v1.51` without its point, `v1beta2`.
pub(super) fn is_version(word: &str) -> bool {
    let Some(rest) = word.strip_prefix(['v', 'V']) else { return false };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let number = digits(rest);
    if !(1..=4).contains(&number) {
        return false;
    }
    let mut rest = &rest[number..];
    while let Some(more) = rest.strip_prefix('.').filter(|more| (1..=3).contains(&digits(more))) {
        rest = &more[digits(more)..];
    }
    let stage = ["alpha", "beta", "rc", "preview"].iter().find_map(|stage| rest.strip_prefix(stage));
    stage.map_or(rest.is_empty(), |number| number.len() <= 2 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Cuts at separators and before a capital that follows a small letter or begins a word (`HTTPServer`).
pub(super) fn pieces(segment: &str) -> impl Iterator<Item = &str> {
    segment.split(['-', '_', '.', '~']).flat_map(|part| {
        let mut rest = part;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (piece, after) = rest.split_at(piece_len(rest));
            rest = after;
            Some(piece)
        })
    })
}

fn piece_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let begins = |at: usize| {
        let before = bytes.get(at.wrapping_sub(1)).copied().unwrap_or_default();
        let after = bytes.get(at + 1).copied().unwrap_or_default();
        bytes.get(at).is_some_and(u8::is_ascii_uppercase)
            && (!before.is_ascii_uppercase() || (after.is_ascii_lowercase() && after != b's'))
    };
    (1..bytes.len()).find(|at| begins(*at)).unwrap_or(bytes.len())
}

fn lowered<'a>(text: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let target = buffer.get_mut(..text.len())?;
    target.copy_from_slice(text.as_bytes());
    target.make_ascii_lowercase();
    std::str::from_utf8(target).ok()
}

fn joined<'a>(stem: &str, end: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let target = buffer.get_mut(..stem.len() + end.len())?;
    let (left, right) = target.split_at_mut(stem.len());
    left.copy_from_slice(stem.as_bytes());
    right.copy_from_slice(end.as_bytes());
    std::str::from_utf8(target).ok()
}
