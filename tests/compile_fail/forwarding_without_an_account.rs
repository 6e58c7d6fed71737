//! A decision alone does not reach the application: the account comes first.
use vestibule::request::{Authorized, Limits, UpstreamRequest};

fn shortcut(authorized: Authorized<()>, limits: &Limits) -> UpstreamRequest<()> {
    authorized.into_upstream(limits)
}

fn main() {}
