//! The JSON Schema of specs.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::{Value, json};

use super::spec::{At, Chunks, Condition, LabelBudget, Operand, Part, Pattern, Rate, Sample, Seed, Shift, Spec};

/// The schema, as it is committed in `docs/test.schema.json`.
pub(crate) fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema_for!(Spec)).expect("invariant: a schema is JSON");
    text.push('\n');
    text
}

/// Declares the schema of a type that is read by hand.
macro_rules! hand_read {
    ($type:ty, $name:literal, $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let schema: fn(&mut SchemaGenerator) -> Schema = $schema;
                schema(generator)
            }
        }
    };
}

impl<T: Operand> JsonSchema for Condition<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Condition", T::NAME).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = json!({ "type": T::TYPES });
        let mut comparisons = serde_json::Map::new();
        for operator in ["==", "!=", "<", "<=", ">", ">="] {
            comparisons.insert(operator.into(), value.clone());
        }
        comparisons.insert("exists".into(), json!({ "type": "boolean", "description": "Whether there is any." }));
        let regex = json!({ "type": "string", "format": "regex", "description": "A regular expression." });
        comparisons.insert("matches".into(), regex);
        comparisons.insert("in".into(), json!({ "type": "array", "items": value, "description": "One of these." }));
        json_schema!({
            "description": T::EXPECTED,
            "anyOf": [
                value,
                {
                    "type": "object",
                    "properties": Value::Object(comparisons),
                    "additionalProperties": false,
                    "minProperties": 1,
                },
            ],
        })
    }
}

hand_read!(At, "At", |_| json_schema!({
    "description": "`end`; a length of time from the first event on, as in `30s`; or each such step and the end, as in `{every: 30s}`.",
    "anyOf": [
        { "type": "string", "pattern": r"^(end|\+?[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))$" },
        {
            "type": "object",
            "properties": { "every": { "type": "string", "pattern": r"^\+?[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)$" } },
            "required": ["every"],
            "additionalProperties": false,
        },
    ],
}));
hand_read!(Chunks, "Chunks", |generator| {
    let seed = generator.subschema_for::<Seed>();
    json_schema!({
        "description": "Into calls of so many bytes, as in `1`; or at random bytes, as in `{seed: 1}`.",
        "anyOf": [{ "type": "integer", "minimum": 1 }, seed],
    })
});
hand_read!(Shift, "Length", |_| json_schema!({
    "description": "A length of time, as in `12ms`.",
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)$",
}));
hand_read!(Pattern, "Pattern", |_| json_schema!({
    "description": "A regular expression.", "type": "string", "format": "regex",
}));
hand_read!(Sample, "Sample", |_| json_schema!({
    "description": "A selector and a comparison, as in `name{label=\"value\"} == 812`, `name ~= 9.81 ±0.5%` or \
                    `absent(name)`.",
    "type": "string",
}));
hand_read!(Rate, "Rate", |_| json_schema!({
    "description": "A part of all, as in `2%` or `0.02`.", "type": ["string", "number"],
}));
hand_read!(Part, "Part", |_| json_schema!({
    "description": "A part of all, as in `60%`, or a number.", "type": ["string", "integer"],
}));
hand_read!(LabelBudget, "LabelBudget", |generator| {
    let count = generator.subschema_for::<Condition<super::spec::Count>>();
    json_schema!({
        "description": "Distinct values of a label: a condition, or `values`, or comparisons; and `overflow`, of how many \
                        metrics with the label had more series than their limit.",
        "anyOf": [
            count,
            {
                "type": "object",
                "properties": {
                    "values": count, "overflow": count, "==": { "type": "number" }, "!=": { "type": "number" },
                    "<": { "type": "number" }, "<=": { "type": "number" }, ">": { "type": "number" },
                    ">=": { "type": "number" },
                },
                "additionalProperties": false,
            },
        ],
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_this_one() {
        const COMMITTED: &str = include_str!("../../../docs/test.schema.json");
        assert_eq!(COMMITTED, schema(), "write it anew: redtape test --schema > docs/test.schema.json");
    }
}
