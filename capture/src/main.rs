//! `redtape-capture`, the recorder. See the library for what it is made of.
fn main() {}
