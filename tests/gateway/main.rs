//! Integration tests, one binary; files are named after `src/`.

mod connector;
mod policy;
