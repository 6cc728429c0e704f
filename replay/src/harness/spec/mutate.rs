//! The further runs of a spec: how its input is changed.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::decimal::Decimal;
use super::expect::Expect;
use super::operand::Length;

/// A further run with a changed input: one key that says how, and what is expected of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutation {
    /// Splits calls.
    pub(crate) rechunk: Option<Chunks>,
    /// Puts the events of connections in another order among each other.
    pub(crate) interleave: Option<Window>,
    /// Shuffles events, also those of one connection.
    pub(crate) shuffle: Option<Window>,
    /// Removes calls that move bytes, and writes the losses down.
    pub(crate) drop: Option<Portion>,
    /// Repeats calls that move bytes, a few events later.
    pub(crate) duplicate: Option<Portion>,
    /// Overwrites captured bytes.
    pub(crate) corrupt: Option<Portion>,
    /// Cuts what was captured of each call to so many bytes from its front.
    pub(crate) truncate_payload: Option<u64>,
    /// Cuts the tape, as when the recorder was killed: a part of its bytes.
    pub(crate) truncate_at: Option<Part>,
    /// Begins in the middle, as a recorder that is started while connections are open: behind a part of the events.
    pub(crate) start_at: Option<Part>,
    /// Moves everything in time.
    pub(crate) shift: Option<Shift>,
    /// The same traffic through TLS.
    #[serde(default)]
    pub(crate) over_tls: bool,
    /// What is expected instead of what the spec expects.
    pub(crate) expect: Option<Box<Expect>>,
}

/// Where calls are split.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chunks {
    /// At random bytes.
    Random(Seed),
    /// Into calls of so many bytes at most.
    Bytes(u64),
}

impl<'de> Deserialize<'de> for Chunks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A number of bytes, or a seed.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Bytes(u64),
            Random(Seed),
        }
        match Raw::deserialize(deserializer) {
            Ok(Raw::Bytes(bytes @ 1..)) => Ok(Self::Bytes(bytes)),
            Ok(Raw::Random(seed)) => Ok(Self::Random(seed)),
            Ok(Raw::Bytes(0)) | Err(_) => Err(de::Error::custom(
                "expected how many bytes a call has, as in `1`, or where random cuts begin, as in `{seed: 1}`",
            )),
        }
    }
}

/// Where random choices begin.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seed {
    /// The same seed makes the same choices.
    #[serde(default)]
    pub(crate) seed: u64,
}

/// How far events may move.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// Less than this; 1 ms, if it is not said.
    pub(crate) window: Option<Shift>,
    /// The same seed makes the same choices.
    #[serde(default)]
    pub(crate) seed: u64,
}

/// How many events are chosen.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Portion {
    /// A part of all, as in `2%` or `0.02`.
    pub(crate) rate: Rate,
    /// The same seed makes the same choices.
    #[serde(default)]
    pub(crate) seed: u64,
}

/// A length of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift(pub(crate) Length);

impl<'de> Deserialize<'de> for Shift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Length::parse(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// A part of all, in parts of a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) u32);

/// A part of something, or a number of its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// So many percent, times a thousand million.
    Share(Decimal),
    /// So many.
    Number(u64),
}

impl Part {
    /// How many of `all`.
    pub(crate) fn of(self, all: u64) -> u64 {
        match self {
            Self::Share(percent) => {
                u64::try_from(Decimal::whole(all).percent(percent).as_nanos() / 1_000_000_000).unwrap_or(all).min(all)
            }
            Self::Number(number) => number.min(all),
        }
    }
}

/// `60%`, or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Number(f64),
    Text(String),
}

fn percent(text: &str) -> Option<Decimal> {
    let percent: Decimal = text.trim().strip_suffix('%')?.trim().parse().ok()?;
    (Decimal::default()..=Decimal::whole(100)).contains(&percent).then_some(percent)
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let invalid = || de::Error::custom("expected a part such as `60%`, or a number of bytes or events");
        match Raw::deserialize(deserializer)? {
            Raw::Text(text) => percent(&text).map(Self::Share).ok_or_else(invalid),
            Raw::Number(number) => number.to_string().parse().map(Self::Number).map_err(|_| invalid()),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let invalid = || de::Error::custom("expected a rate from 0.1% to 100%, as in `2%` or `0.02`");
        let percent = match Raw::deserialize(deserializer)? {
            Raw::Text(text) => percent(&text),
            Raw::Number(number) => {
                let part: Option<Decimal> = number.to_string().parse().ok();
                part.map(|part| part.times(Decimal::whole(100)))
            }
        };
        let per_mille = percent.and_then(|percent| u32::try_from(percent.as_nanos() / 100_000_000).ok());
        per_mille.filter(|rate| (1..=1000).contains(rate)).map(Self).ok_or_else(invalid)
    }
}

/// How an input is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MutationKind {
    /// Splits calls.
    Rechunk(Chunks),
    /// Reorders connections: window in nanoseconds, seed.
    Interleave(u64, u64),
    /// Reorders events: window in nanoseconds, seed.
    Shuffle(u64, u64),
    /// Loses calls: parts of a thousand, seed.
    Drop(u32, u64),
    /// Repeats calls.
    Duplicate(u32, u64),
    /// Overwrites bytes.
    Corrupt(u32, u64),
    /// Cuts payloads.
    TruncatePayload(u64),
    /// Cuts the tape.
    TruncateAt(Part),
    /// Begins in the middle.
    StartAt(Part),
    /// Moves in time, by nanoseconds.
    Shift(u64),
    /// Goes through TLS.
    OverTls,
}

/// How far events move where nothing is said, in nanoseconds.
const WINDOW_NANOS: u64 = 1_000_000;

impl Mutation {
    /// What it does, with its name for messages; an error where it is not one thing.
    pub(crate) fn kind(&self) -> Result<(MutationKind, String), String> {
        let window = |window: Window| (window.window.map_or(WINDOW_NANOS, |shift| shift.0.as_nanos()), window.seed);
        let portion = |name: &str, Portion { rate: Rate(rate), seed }: Portion| {
            format!("{name} {}.{}% seed {seed}", rate / 10, rate % 10)
        };
        let kinds = [
            self.rechunk.map(|chunks| {
                let label = match chunks {
                    Chunks::Random(Seed { seed }) => format!("rechunk seed {seed}"),
                    Chunks::Bytes(bytes) => format!("rechunk {bytes}"),
                };
                (MutationKind::Rechunk(chunks), label)
            }),
            self.interleave.map(|to| {
                let (nanos, seed) = window(to);
                (MutationKind::Interleave(nanos, seed), format!("interleave seed {seed}"))
            }),
            self.shuffle.map(|to| {
                let (nanos, seed) = window(to);
                (MutationKind::Shuffle(nanos, seed), format!("shuffle seed {seed}"))
            }),
            self.drop.map(|to| (MutationKind::Drop(to.rate.0, to.seed), portion("drop", to))),
            self.duplicate.map(|to| (MutationKind::Duplicate(to.rate.0, to.seed), portion("duplicate", to))),
            self.corrupt.map(|to| (MutationKind::Corrupt(to.rate.0, to.seed), portion("corrupt", to))),
            self.truncate_payload
                .map(|bytes| (MutationKind::TruncatePayload(bytes), format!("truncate_payload {bytes}"))),
            self.truncate_at.map(|part| (MutationKind::TruncateAt(part), format!("truncate_at {part}"))),
            self.start_at.map(|part| (MutationKind::StartAt(part), format!("start_at {part}"))),
            self.shift.map(|to| (MutationKind::Shift(to.0.as_nanos()), format!("shift {}", to.0))),
            self.over_tls.then(|| (MutationKind::OverTls, "over_tls".into())),
        ];
        let mut given = kinds.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(kind), None) => Ok(kind),
            (None, _) => {
                Err("says not how the input is changed: write one of rechunk, interleave, shuffle, drop, duplicate, \
                              corrupt, truncate_payload, truncate_at, start_at, shift, over_tls"
                    .into())
            }
            (Some((_, first)), Some((_, second))) => {
                Err(format!("changes the input in two ways (`{first}`, `{second}`): write an entry for each"))
            }
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Share(percent) => write!(f, "{percent}%"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}
