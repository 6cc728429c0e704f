//! Reads scenarios from YAML, and gives what they say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use twox_hash::XxHash3_128;

use super::{Scenario, Weights};
use crate::config::{ConfigError, Place, read};
use crate::event::EventBuf;
use crate::ids::Origin;
use crate::synth::builtin;
use crate::synth::capture::CapturePolicy;
use crate::synth::recording::{CPUS, Recording};
use crate::synth::truth::Truth;
use crate::synth::world::World;
use crate::tape::Meta;

impl Scenario {
    /// Reads a scenario from the text of a YAML file; `source` is the file's name, for messages.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with line and column, if it is not YAML, has an unknown key or a value that cannot be used, or asks for
    /// the impossible: a circle of calls, a service that is not there, more connections than there are ports.
    pub fn from_yaml(text: &str, source: &str) -> Result<Self, ConfigError> {
        let scenario: Option<Self> = read(text, source)?;
        let scenario = Self { fingerprint: XxHash3_128::oneshot(text.as_bytes()), ..scenario.unwrap_or_default() };
        World::new(&scenario).map_err(|fault| {
            let mut place = Place::of_key(text, source, &fault.path);
            if place.position.is_none() {
                // A key that nobody wrote: where what it belongs to stands.
                let parent = fault.path.rsplit_once('.').map_or("", |(parent, _)| parent);
                place = Place { path: fault.path.clone(), ..Place::of_key(text, source, parent) };
            }
            ConfigError { place, message: fault.message }
        })?;
        Ok(scenario)
    }

    /// The included scenario of this name.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = builtin::SCENARIOS.iter().find(|(other, _)| *other == name)?;
        Some(Self::from_yaml(text, name).expect("invariant: a test reads all included scenarios"))
    }

    /// A bit of everything that HTTP/1 can do, between six services: the included scenario `shop`.
    ///
    /// # Panics
    ///
    /// Never: a test reads it.
    pub fn shop() -> Self {
        Self::named("shop").expect("invariant: it is included")
    }

    /// The JSON Schema of scenarios.
    pub fn schema() -> Schema {
        schemars::schema_for!(Self)
    }

    /// The origin of the recording; it depends on seed and text. Where clocks differ, each host has one of its own, and this
    /// is the first.
    ///
    /// # Panics
    ///
    /// If the scenario is impossible, which [`Scenario::from_yaml`] refuses.
    pub fn origin(&self) -> Origin {
        self.world().origin()
    }

    /// The events in the order of a tape: clocks, processes, then all that happens, merged by time.
    ///
    /// Memory is bounded by the connections that are open at one time, however many there are in all.
    ///
    /// # Panics
    ///
    /// If the scenario is impossible, which [`Scenario::from_yaml`] refuses.
    pub fn events(&self) -> impl Iterator<Item = EventBuf> + use<> {
        Recording::new(self.clone(), self.world(), false)
    }

    /// Events and truth together, for those who want both without computing them twice.
    ///
    /// # Panics
    ///
    /// If the scenario is impossible, which [`Scenario::from_yaml`] refuses.
    pub fn recording(&self) -> Recording {
        Recording::new(self.clone(), self.world(), true)
    }

    /// META of a tape of it. Equal scenarios have equal ones.
    ///
    /// # Panics
    ///
    /// If the scenario is impossible, which [`Scenario::from_yaml`] refuses.
    pub fn meta(&self) -> Meta {
        let world = self.world();
        let CapturePolicy { whole, prefix, tail } = self.recorder.capture;
        Meta {
            tape: XxHash3_128::oneshot(format!("{self:?}").as_bytes()).to_le_bytes(),
            origin: world.origin(),
            tool: concat!("redtape-synth ", env!("CARGO_PKG_VERSION")).to_owned(),
            host: "synthetic".to_owned(),
            cpus: CPUS.into(),
            arrival_hook: if self.recorder.arrivals { "synthetic".to_owned() } else { String::new() },
            payload_limits: format!(
                "{whole} bytes since the direction turned, then {prefix} from the front and {tail} from the end of a call"
            ),
            started: world.hosts[0].anchor().wall,
            extra: vec![("synth.seed".to_owned(), self.seed.to_string())],
            ..Meta::default()
        }
    }

    /// The truth of every recorded side of every exchange. What is lost on the way to the tape is
    /// among it: it has happened.
    ///
    /// # Panics
    ///
    /// If the scenario is impossible, which [`Scenario::from_yaml`] refuses.
    pub fn truth(&self) -> impl Iterator<Item = Truth> + use<> {
        let mut recording = self.recording();
        let mut over = false;
        let next = move || {
            if over {
                return None;
            }
            over = recording.next().is_none();
            Some(recording.truth().collect::<Vec<_>>())
        };
        std::iter::from_fn(next).flatten()
    }

    /// What is wrong with a scenario that was not read from YAML: the key and the reason.
    pub fn fault(&self) -> Option<(String, String)> {
        World::new(self).err().map(|fault| (fault.path, fault.message))
    }

    fn world(&self) -> World {
        World::new(self).unwrap_or_else(|fault| panic!("{}: {}", fault.path, fault.message))
    }
}

impl<'de, K: Ord + FromStr<Err: fmt::Display>> Deserialize<'de> for Weights<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany<K>(PhantomData<K>);

        impl<'de, K: Ord + FromStr<Err: fmt::Display>> Visitor<'de> for OneOrMany<K> {
            type Value = Weights<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, or words with weights, as in `{this: 9, that: 1}`")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Weights::only).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut weights = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    weights.insert(key.parse().map_err(A::Error::custom)?, map.next_value()?);
                }
                Ok(Weights(weights))
            }
        }

        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

impl<K> JsonSchema for Weights<K> {
    fn schema_name() -> Cow<'static, str> {
        "Weights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One thing, or things with weights",
            "anyOf": [
                { "type": ["string", "integer"] },
                { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } }
            ]
        })
    }
}
