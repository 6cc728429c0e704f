//! The included scenarios.

/// The included scenarios: name and text, by name.
pub const SCENARIOS: &[(&str, &str)] = &[
    ("cardinality-bomb", include_str!("../../../fixtures/scenarios/cardinality-bomb.yaml")),
    ("greetings", include_str!("../../../fixtures/scenarios/greetings.yaml")),
    ("grpc", include_str!("../../../fixtures/scenarios/grpc.yaml")),
    ("shop", include_str!("../../../fixtures/scenarios/shop.yaml")),
];
