//! Nobody but the forwarder takes an upstream request apart.
use vestibule::request::UpstreamRequest;

fn shortcut(request: UpstreamRequest<()>) {
    drop(request.into_wire());
}

fn main() {}
