//! Where everything stands in a configuration file: each key and list entry with its path, line and column.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// Keys and list entries in the order of the file.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    /// As in `discovery.services[0].name`.
    path: String,
    /// Where its key stands, or the entry of a list.
    key: (u64, u64),
    /// Where its value begins.
    value: (u64, u64),
    /// Which bytes of the text its value is, if it is a single one.
    bytes: Option<Range<usize>>,
}

impl Tree {
    /// Reads a document, whatever it says.
    pub fn new(text: &str) -> Self {
        Self::parse(text).unwrap_or_default()
    }

    /// Reads a document; `None` if it is no YAML.
    pub fn parse(text: &str) -> Option<Self> {
        let mut tree = Self::default();
        tree.add(&serde_saphyr::from_str::<Option<Raw>>(text).ok()?.unwrap_or(Raw::Leaf), "");
        Some(tree)
    }

    /// The single values in the order of the file: their keys, and which bytes of the text they are.
    pub fn values(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.nodes.iter().filter_map(|node| Some((node.path.as_str(), node.bytes.clone()?)))
    }

    /// Line and column of the key `path`.
    pub fn place(&self, path: &str) -> Option<(u64, u64)> {
        self.nodes.iter().find(|node| node.path == path).map(|node| node.key)
    }

    /// The path of what stands at a line and column: the last thing that begins there or before.
    pub fn path(&self, line: u64, column: u64) -> Option<&str> {
        let begins = |node: &&Node| node.key <= (line, column) || node.value <= (line, column);
        let exact = |node: &&Node| node.key == (line, column) || node.value == (line, column);
        let node = self.nodes.iter().rfind(exact).or_else(|| self.nodes.iter().rfind(begins))?;
        Some(&node.path)
    }

    fn add(&mut self, raw: &Raw, path: &str) {
        match raw {
            Raw::Leaf => {}
            Raw::List(entries) => {
                for (at, entry) in entries.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    let place = place(&entry.referenced);
                    let bytes = bytes(entry);
                    self.nodes.push(Node { path: path.clone(), key: place, value: place, bytes });
                    self.add(&entry.value, &path);
                }
            }
            Raw::Map(entries) => {
                for (key, value) in entries {
                    let path = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                    let (key, at) = (place(&key.referenced), place(&value.referenced));
                    let bytes = bytes(value);
                    self.nodes.push(Node { path: path.clone(), key, value: at, bytes });
                    self.add(&value.value, &path);
                }
            }
        }
    }
}

fn bytes(value: &Spanned<Raw>) -> Option<Range<usize>> {
    let Raw::Leaf = value.value else { return None };
    let span = value.referenced.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    Some(start..start.checked_add(usize::try_from(span.byte_len()?).ok()?)?)
}

fn place(location: &Location) -> (u64, u64) {
    (location.line(), location.column())
}

/// The shape of a document.
enum Raw {
    Leaf,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_str<E>(self, _: &str) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_bytes<E>(self, _: &[u8]) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Leaf)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
                Raw::deserialize(deserializer)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = access.next_element()? {
                    entries.push(entry);
                }
                Ok(Raw::List(entries))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = access.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Map(entries))
            }
        }

        deserializer.deserialize_any(RawVisitor)
    }
}
