//! A spec: what is replayed, and what is expected of it.

mod condition;
mod decimal;
mod expect;
mod forms;
mod load;
mod mutate;
mod operand;
mod sample;
mod source;

pub(crate) use condition::Condition;
pub(crate) use decimal::Decimal;
pub(crate) use expect::{
    At, CardinalityExpect, Duration, Expect, Growth, Identity, LabelBudget, Match, MetricsExpect, Parent, Pattern,
    RedactionExpect, RoutesExpect, SpansExpect, SummaryExpect, Where,
};
pub(crate) use load::{Loaded, load};
pub(crate) use mutate::{Chunks, MutationKind, Part, Rate, Seed, Shift};
pub(crate) use operand::{Any, Count, Length, Operand};
pub(crate) use sample::{Aggregate, Sample};
pub(crate) use source::{ConfigSource, EvidenceKind, Requires, ScenarioSource, Spec};
