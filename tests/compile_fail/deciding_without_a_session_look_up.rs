//! The policy is not asked before it is known who asks.
use vestibule::clock::Timestamp;
use vestibule::request::ForApp;

fn shortcut(routed: ForApp<()>, now: Timestamp) {
    drop(routed.authorize(now));
}

fn main() {}
