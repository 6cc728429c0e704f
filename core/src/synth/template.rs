//! Paths with places for ids: `/users/{int}/orders/{uuid}`.

use std::fmt::Write as _;
use std::str::FromStr;

use super::rng::Rng;

/// A path (and query) in which each `{...}` stands for an id of some shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Id(Shape),
}

/// What an id looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A number from 1 to this.
    Int(u64),
    /// So many hexadecimal digits.
    Hex(usize),
    /// So many characters of base64's alphabet for URLs.
    Base64(usize),
    Uuid,
    Ulid,
    Slug,
    Email,
    Word,
    Date,
}

const SHAPES: [&str; 9] = ["int", "hex", "base64", "uuid", "ulid", "slug", "email", "word", "date"];

const WORDS: [&str; 24] = [
    "amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper", "kite", "lagoon",
    "meadow", "nectar", "orchid", "pebble", "quartz", "river", "saffron", "timber", "umber", "violet", "willow",
    "zephyr",
];

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((shape, after)) = after.split_once('}') else {
                return Err(format!("`{text}`: a `{{` is not closed"));
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Id(shape.parse()?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let bad = |c: char| c.is_whitespace() || c.is_control() || !c.is_ascii() || c == '}' || c == '#';
        let bad = pieces.iter().find_map(|piece| match piece {
            Piece::Text(text) => text.chars().find(|&c| bad(c)),
            Piece::Id(_) => None,
        });
        match bad {
            Some(c) => Err(format!("`{text}`: {c:?} cannot stand in a request's target")),
            None => Ok(Self(pieces)),
        }
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let number = |default: u64, most: u64| match number {
            None => Ok(default),
            Some(number) => match number.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(format!("`{{{text}}}`: `{number}` is no number from 1 to {most}")),
            },
        };
        let len = |default| number(default, 256).map(|len| usize::try_from(len).unwrap_or(256));
        let bare = |shape| match text.contains(':') {
            true => Err(format!("`{{{text}}}`: `{name}` takes no number")),
            false => Ok(shape),
        };
        match name {
            "int" => number(9_999_999, u64::MAX / 2).map(Self::Int),
            "hex" => len(16).map(Self::Hex),
            "base64" => len(22).map(Self::Base64),
            "uuid" => bare(Self::Uuid),
            "ulid" => bare(Self::Ulid),
            "slug" => bare(Self::Slug),
            "email" => bare(Self::Email),
            "word" => bare(Self::Word),
            "date" => bare(Self::Date),
            _ => Err(format!("`{{{text}}}` is no shape of an id; {}", crate::config::hint(name, &SHAPES))),
        }
    }
}

impl Template {
    /// The path with ids drawn.
    pub(super) fn fill(&self, rng: &mut Rng) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Id(shape) => shape.draw(rng, &mut out),
            }
        }
        out
    }
}

impl Shape {
    fn draw(self, rng: &mut Rng, out: &mut String) {
        let digit = |rng: &mut Rng, alphabet: &[u8], out: &mut String| out.push(char::from(*rng.pick(alphabet)));
        match self {
            Self::Int(most) => push(out, format_args!("{}", rng.between(1, most))),
            Self::Hex(len) => (0..len).for_each(|_| digit(rng, b"0123456789abcdef", out)),
            Self::Base64(len) => {
                const URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                (0..len).for_each(|_| digit(rng, URL, out));
            }
            Self::Uuid => {
                // Version 4, variant 1 (RFC 9562, section 5.4).
                let (high, low) = (rng.bits(), rng.bits());
                let (high, low) = (high & !0xf000 | 0x4000, low & !(3 << 62) | 2 << 62);
                let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
                push(out, format_args!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff));
            }
            Self::Ulid => {
                out.push_str("01H");
                (0..23).for_each(|_| digit(rng, b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", out));
            }
            Self::Slug => {
                for _ in 0..rng.between(2, 4) {
                    push(out, format_args!("{}-", rng.pick(&WORDS)));
                }
                push(out, format_args!("{}", rng.between(1, 999_999)));
            }
            Self::Email => {
                let (name, number) = (rng.pick(&WORDS), rng.between(1, 999_999));
                push(out, format_args!("{name}.{number}@example.com"));
            }
            Self::Word => out.push_str(rng.pick::<&str>(&WORDS)),
            Self::Date => {
                let (year, month, day) = (rng.between(2015, 2024), rng.between(1, 12), rng.between(1, 28));
                push(out, format_args!("{year}-{month:02}-{day:02}"));
            }
        }
    }
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("invariant: a String can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_shape() {
        let template: Template =
            "/a/{int:9}/{hex:4}/{uuid}/{ulid}/{email}?d={date}&w={word}&s={slug}&b={base64:5}".parse().unwrap();
        let regex = regex::Regex::new(
            "^/a/[1-9]/[0-9a-f]{4}/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/01H[0-9A-Z]{23}/\
             [a-z]+\\.[0-9]+@example\\.com\\?d=20[0-9]{2}-[0-9]{2}-[0-9]{2}&w=[a-z]+&s=([a-z]+-){2,4}[0-9]+&b=[-\\w]{5}$",
        );
        let (regex, mut rng) = (regex.unwrap(), Rng::new(3));
        for _ in 0..100 {
            let path = template.fill(&mut rng);
            assert!(regex.is_match(&path), "{path}");
        }
    }

    #[test]
    fn what_is_no_template_says_why() {
        for (text, part) in [
            ("/{int", "is not closed"),
            ("/a b", "' ' cannot stand"),
            ("/{itn}", "did you mean `int`?"),
            ("/{hex:0}", "`0` is no number from 1 to 256"),
            ("/{uuid:3}", "takes no number"),
            ("/a}", "'}' cannot stand"),
        ] {
            let error = text.parse::<Template>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
