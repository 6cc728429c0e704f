//! How a section of the configuration is declared: its keys with their defaults, and the keys that Beyla knows and
//! redtape has no use for.

/// Declares a section. Unknown keys are errors; those `without effect` are accepted and listed by `without_effect()`.
macro_rules! section {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)*
        }
        without effect { $($inert:ident),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($inert: Option<serde::de::IgnoredAny>,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* $($inert: None,)* }
            }
        }

        impl $name {
            /// Keys that are set and known, but without effect here.
            pub fn without_effect(&self) -> Vec<&'static str> {
                let keys: &[(&'static str, bool)] = &[$((stringify!($inert), self.$inert.is_some()),)*];
                keys.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect()
            }
        }
    };
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

pub(super) use section;
pub(super) use words;
