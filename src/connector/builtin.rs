//! The connectors that are built in.
