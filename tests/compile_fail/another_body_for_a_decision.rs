//! What was decided for one request is not sent with another one's body.
use vestibule::request::{Errand, UpstreamRequest};

fn shortcut(errand: Errand) -> UpstreamRequest<()> {
    UpstreamRequest { body: (), errand }
}

fn main() {}
