//! …nor can it be copied.
use vestibule::request::Authorized;

fn copy(authorized: &Authorized<()>) -> Authorized<()> {
    authorized.clone()
}

fn main() {}
