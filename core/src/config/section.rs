//! How a section of the configuration is declared: its keys with their defaults and what they do, and the keys that Beyla
//! knows and that have no effect here, with the reason.

/// A key of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it does, as lines of Markdown; of a key without effect, why.
    pub about: &'static [&'static str],
    /// Whether it has an effect.
    pub works: bool,
}

/// A key without effect that is set, and the reason why it has none.
pub type Inert = (&'static str, &'static str);

/// Declares a section. Unknown keys are errors; those `without effect` are accepted and listed by `without_effect()`, with their
/// reason.
macro_rules! section {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[doc = $field_doc:literal])* $(#[serde($($serde:tt)*)])? $field:ident: $type:ty = $default:expr,)*
        }
        without effect { $($reason:literal => [$($inert:ident),* $(,)?]),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $field_doc])* $(#[serde($($serde)*)])? pub $field: $type,)*
            $($($inert: Option<serde::de::IgnoredAny>,)*)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* $($($inert: None,)*)* }
            }
        }

        impl $name {
            /// All keys, in the order of their declaration.
            pub(super) const KEYS: &[super::section::Key] = &[
                $(super::section::Key {
                    name: super::section::plain(stringify!($field)), about: &[$($field_doc),*], works: true,
                },)*
                $($(super::section::Key { name: stringify!($inert), about: &[$reason], works: false },)*)*
            ];

            /// Keys that are set and known, but without effect here, each with the reason.
            pub fn without_effect(&self) -> Vec<super::section::Inert> {
                let keys: &[(super::section::Inert, bool)] =
                    &[$($(((stringify!($inert), $reason), self.$inert.is_some()),)*)*];
                keys.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect()
            }
        }
    };
}

/// The name of a field without the mark of a word that is Rust's own.
pub(super) const fn plain(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares an enumeration whose values are words; a wrong one is answered with those there are.
macro_rules! words {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $($text:literal)|+,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// As in a configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => super::section::first(&[$($text),+]),)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = super::scalar::UnknownWord;

            fn from_str(text: &str) -> Result<Self, super::scalar::UnknownWord> {
                match text.to_ascii_lowercase().as_str() {
                    $($($text)|+ => Ok(Self::$variant),)*
                    _ => Err(super::scalar::UnknownWord::new(text, &[$($($text),+),*])),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = super::scalar::UnknownWord;

            fn try_from(text: String) -> Result<Self, super::scalar::UnknownWord> {
                text.parse()
            }
        }
    };
}

/// The word that a value is written as.
pub(super) const fn first(words: &'static [&'static str]) -> &'static str {
    match words {
        [first, ..] => first,
        [] => "",
    }
}

pub(super) use section;
pub(super) use words;
