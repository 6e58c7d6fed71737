//! A decision alone does not reach the application: the account comes first.
use vestibule::request::{Authorized, UpstreamRequest};

fn shortcut(authorized: Authorized<()>) -> UpstreamRequest<()> {
    authorized
}

fn main() {}
