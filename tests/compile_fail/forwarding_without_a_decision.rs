//! An upstream request cannot be made from parts: only a provisioned request becomes one.
use std::sync::Arc;
use vestibule::fault::Incident;
use vestibule::request::{Route, UpstreamRequest};

fn shortcut(head: http::request::Parts, route: Arc<Route>, incident: Incident) -> UpstreamRequest<()> {
    UpstreamRequest { head, body: (), route, session: None, incident, downstream: http::Version::HTTP_11, upgrade: None }
}

fn main() {}
