//! The path of a request; one file a stage.
