//! Everything the crate promises, a module per subject.
