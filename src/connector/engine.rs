//! Runs a connector's steps over HTTP.
