//! Tests of stage 2.

mod bounds;
mod pods;
mod signals;
