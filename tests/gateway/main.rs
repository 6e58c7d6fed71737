//! Integration tests, one binary; files are named after `src/`.

mod policy;
