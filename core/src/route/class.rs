//! What a segment is by its shape alone: a name of the interface, or a value.

use std::fmt;

use super::lexicon::{Familiarity, Lexicon, is_version, pieces};

/// Bytes of a segment that may be a name.
pub(super) const MAX_NAME: usize = 64;

/// What a segment looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// Words, such as `users` or `order-items`.
    Name,
    /// Letters that may be a word or a value, such as `frobnicate` or `alice`.
    UnknownWord,
    /// A version, such as `v1`, `v1beta2`, `2.0`.
    Version,
    /// It has been replaced already.
    Templated,
    /// Digits, with `.`, `,`, `-`, `_` or `:` between them.
    Number,
    /// A date, such as `2024-01-31`.
    Date,
    /// A UUID.
    Uuid,
    /// Hexadecimal digits: 8 or more with digits among them, or letters only.
    Hex,
    /// A word, an underscore or a hyphen, and a token: `cus_9s6XKzkNRiz8i3`.
    PrefixedId,
    /// Letters and digits mixed, or letters that make no word.
    Token,
    /// An e-mail address.
    Email,
    /// `@alice`
    Handle,
    /// A language and a region, such as `en-US`.
    Locale,
    /// A file whose name is no word.
    File,
    /// Text with spaces, punctuation or letters outside ASCII.
    Text,
    /// More than 64 bytes.
    Long,
}

impl Class {
    /// In words, for `routes explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::UnknownWord => "unknown word",
            Self::Version => "version",
            Self::Templated => "templated already",
            Self::Number => "number",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Hex => "hexadecimal",
            Self::PrefixedId => "prefixed id",
            Self::Token => "token",
            Self::Email => "e-mail address",
            Self::Handle => "handle",
            Self::Locale => "locale",
            Self::File => "file",
            Self::Text => "text",
            Self::Long => "too long for a name",
        }
    }

    /// Whether the shape alone tells that it is a value.
    pub const fn is_value(self) -> bool {
        !matches!(self, Self::Name | Self::UnknownWord | Self::Version | Self::Templated)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Classes, and for names how well they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classified<'a> {
    pub(super) class: Class,
    pub(super) familiarity: Familiarity,
    /// What is kept of a value besides the wildcard: the extension of a file with its point, a verb with its colon.
    pub(super) kept: &'a str,
}

impl<'a> Classified<'a> {
    fn value(class: Class) -> Self {
        Self { class, familiarity: Familiarity::Unknown, kept: "" }
    }

    fn name(class: Class, familiarity: Familiarity) -> Self {
        Self { class, familiarity, kept: "" }
    }
}

/// What a decoded segment looks like, wherever it stands behind the first.
pub(crate) fn class_of(segment: &str) -> Class {
    classify(Lexicon::shared(), segment, 1, '*').class
}

/// Classifies one decoded segment. `index` counts segments from 0; `wildcard` is what replaces values.
pub(super) fn classify<'a>(lexicon: &Lexicon, segment: &'a str, index: usize, wildcard: char) -> Classified<'a> {
    // What most ids are, found before anything else is tried.
    if is_integer(segment) && !wildcard.is_ascii_digit() {
        return Classified::value(Class::Number);
    }
    if let Some(kept) = templated(lexicon, segment, wildcard) {
        return Classified { class: Class::Templated, familiarity: Familiarity::Unknown, kept };
    }
    if segment.contains(wildcard) {
        return Classified::value(Class::Text);
    }
    if let Some((item, verb)) = custom_verb(lexicon, segment) {
        let item = classify(lexicon, item, index, wildcard);
        return match item.class.is_value() {
            true => Classified { kept: verb, ..item },
            false if item.class == Class::Name => Classified::name(Class::Name, Familiarity::Known),
            false => Classified::value(Class::Text),
        };
    }
    if is_date(segment) {
        return Classified::value(Class::Date);
    }
    if matches!(segment, "-" | "_" | "~") {
        // As in `/group/project/-/issues`: it keeps what people name and what the interface names apart.
        return Classified::name(Class::Name, Familiarity::Action);
    }
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    if digits > 0 && segment.bytes().all(|byte| byte.is_ascii_digit() || b".,-_:+".contains(&byte)) {
        return match index < 2 && is_plain_version(segment) {
            true => Classified::name(Class::Version, Familiarity::Known),
            false => Classified::value(Class::Number),
        };
    }
    if is_uuid(segment) {
        return Classified::value(Class::Uuid);
    }
    if !segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) {
        return Classified::value(punctuated(segment));
    }
    if is_version(segment) {
        return Classified::name(Class::Version, Familiarity::Known);
    }
    word(lexicon, segment)
}

/// A segment of letters, digits and `-`, `_`, `.`, `~`.
fn word<'a>(lexicon: &Lexicon, segment: &'a str) -> Classified<'a> {
    if segment.len() > MAX_NAME {
        return Classified::value(Class::Long);
    }
    if is_locale(segment) {
        return Classified::value(Class::Locale);
    }
    if let Some((stem, extension)) = file(lexicon, segment) {
        return match lexicon.familiarity(stem.trim_start_matches('.')) {
            Familiarity::Unknown => Classified { kept: extension, ..Classified::value(Class::File) },
            _ => Classified::name(Class::Name, Familiarity::Known),
        };
    }
    let familiarity = lexicon.familiarity(segment);
    if familiarity != Familiarity::Unknown {
        return Classified::name(Class::Name, familiarity);
    }
    if is_hex(segment) {
        return Classified::value(Class::Hex);
    }
    if has_prefix_of_id(segment) {
        return Classified::value(Class::PrefixedId);
    }
    if has_strange_digits(lexicon, segment) || is_gibberish(lexicon, segment) {
        return Classified::value(Class::Token);
    }
    Classified::name(Class::UnknownWord, Familiarity::Unknown)
}

/// `*`, `**`, `*.png` and `*:cancel`: what this module and its callers write. Gives what follows the wildcard.
fn templated<'a>(lexicon: &Lexicon, segment: &'a str, wildcard: char) -> Option<&'a str> {
    let rest = segment.strip_prefix(wildcard)?;
    let verb = |verb| lexicon.familiarity(verb) == Familiarity::Action;
    let kept = rest.is_empty()
        || rest.strip_prefix(wildcard).is_some_and(str::is_empty)
        || rest.strip_prefix('.').is_some_and(|extension| lexicon.is_extension(extension))
        || rest.strip_prefix(':').is_some_and(verb);
    kept.then_some(rest)
}

/// `v1/books/123:publish`: an item and a custom verb. Gives the verb with its colon.
fn custom_verb<'a>(lexicon: &Lexicon, segment: &'a str) -> Option<(&'a str, &'a str)> {
    let at = memchr::memrchr(b':', segment.as_bytes()).filter(|at| *at > 0)?;
    let (item, verb) = segment.split_at(at);
    let action = lexicon.familiarity(verb.strip_prefix(':')?) == Familiarity::Action;
    action.then_some((item, verb))
}

/// What has other characters than names have.
fn punctuated(segment: &str) -> Class {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
    };
    match segment.split_once('@') {
        Some(("", user)) if plain(user) => Class::Handle,
        Some((user, host)) if plain(user) && plain(host) && host.contains('.') => Class::Email,
        _ => Class::Text,
    }
}

fn is_integer(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// `2024-01-31`, `2024-01`, `2024_01_31`, `2024-01-31T10:20:30Z`.
fn is_date(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let number = |from: usize, to: usize| bytes.get(from..to).is_some_and(|text| text.iter().all(u8::is_ascii_digit));
    let cut = |at: usize| bytes.get(at).is_some_and(|byte| b"-_.".contains(byte));
    let year = bytes.starts_with(b"19") || bytes.starts_with(b"20");
    let month = year && number(2, 4) && cut(4) && number(5, 7);
    match bytes.len() {
        7 => month,
        10 => month && cut(7) && number(8, 10),
        13.. => month && cut(7) && number(8, 10) && bytes.get(10) == Some(&b'T') && number(11, 13),
        _ => false,
    }
}

/// `2.0`, `1.1`
fn is_plain_version(segment: &str) -> bool {
    let number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    segment.split_once('.').is_some_and(|(major, minor)| number(major) && number(minor))
}

fn is_uuid(segment: &str) -> bool {
    segment.len() == 36
        && segment.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_hex(segment: &str) -> bool {
    segment.len() >= 8 && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `cus_9s6XKzkNRiz8i3`: letters, a separator, then eight or more letters and digits without pattern.
fn has_prefix_of_id(segment: &str) -> bool {
    segment.split_once(['_', '-']).is_some_and(|(prefix, id)| {
        (1..=16).contains(&prefix.len())
            && prefix.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && id.len() >= 8
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && (id.bytes().any(|byte| byte.is_ascii_digit()) || case_changes(id) * 3 > id.len())
    })
}

/// Digits that are not part of a word such as `k8s` or `oauth2`; and dots alone (`..`), which no server accepts.
fn has_strange_digits(lexicon: &Lexicon, segment: &str) -> bool {
    let strange = |piece: &str| piece.bytes().any(|byte| byte.is_ascii_digit()) && !lexicon.is_word(piece);
    segment.bytes().all(|byte| byte == b'.') || pieces(segment).any(strange)
}

/// How often a capital follows a small letter, or the other way round.
fn case_changes(text: &str) -> usize {
    let pairs = text.as_bytes().windows(2);
    pairs.filter(|pair| matches!(pair, [a, b] if a.is_ascii_uppercase() != b.is_ascii_uppercase())).count()
}

/// Letters that no language writes: case that changes at random, or many consonants in a row.
fn is_gibberish(lexicon: &Lexicon, segment: &str) -> bool {
    pieces_without_case(segment).any(|piece| {
        let vowel = |byte: &u8| b"aeiouyAEIOUY".contains(byte);
        let length = piece.len();
        let run = piece.as_bytes().split(vowel).map(<[u8]>::len).max().unwrap_or_default();
        let vowels = piece.bytes().filter(|byte| vowel(byte)).count();
        let changes = case_changes(piece);
        if lexicon.familiarity(piece) != Familiarity::Unknown {
            return false;
        }
        (length >= 6 && changes * 5 > length * 2 && pieces(piece).count() >= 3)
            || run >= 6
            || (length >= 6 && vowels == 0)
            || (length >= 12 && vowels * 7 < length)
            || length > 28
    })
}

fn pieces_without_case(segment: &str) -> impl Iterator<Item = &str> {
    segment.split(['-', '_', '.', '~']).filter(|piece| !piece.is_empty())
}

/// `en-US`, `pt_br`, `zh-Hant`: a language that is often localised to, and a region or a script.
fn is_locale(segment: &str) -> bool {
    const LANGUAGES: &str = "ar bg bn ca cs da de el en es et fa fi fil fr he hi hr hu id it ja ko lt lv ms nb nl no pl \
                             pt ro ru sk sl sr sv sw ta th tr uk ur vi zh";
    let Some((language, region)) = segment.split_once(['-', '_']) else { return false };
    let script = matches!(region, "Hans" | "Hant" | "Latn" | "Cyrl");
    let region = (region.len() == 2 && region.bytes().all(|byte| byte.is_ascii_alphabetic()))
        || (region.len() == 3 && region.bytes().all(|byte| byte.is_ascii_digit()));
    (script || region) && LANGUAGES.split(' ').any(|known| known.eq_ignore_ascii_case(language))
}

/// The stem of a file name and its extension with the point.
fn file<'a>(lexicon: &Lexicon, segment: &'a str) -> Option<(&'a str, &'a str)> {
    let at = memchr::memrchr(b'.', segment.as_bytes()).filter(|at| *at > 0)?;
    let (stem, extension) = segment.split_at(at);
    lexicon.is_extension(extension.strip_prefix('.')?).then_some((stem, extension))
}
