//! An upstream request cannot be made from parts: only a provisioned request becomes one.
use std::sync::Arc;
use vestibule::request::app_cookies::CookieOwner;
use vestibule::request::{Bearings, Errand, Route};

fn shortcut(bearings: Box<Bearings>, route: Arc<Route>) -> Errand {
    Errand { bearings, route, socket: false, owner: CookieOwner::Unbound, binding: None, back: None, signs_out: None }
}

fn main() {}
