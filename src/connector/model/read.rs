//! Keys with spans.
