//! A decision alone does not reach the application: the account comes first.
use vestibule::request::{Authorized, Limits, UpstreamRequest};

fn shortcut(authorized: Authorized<()>, limits: &Limits) -> UpstreamRequest<()> {
    Authorized::<()>::into_upstream(authorized, limits)
}

fn main() {}
