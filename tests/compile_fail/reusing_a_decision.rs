//! A decision is for one request: it moves into the next stage and is gone.
use vestibule::clock::Timestamp;
use vestibule::request::{Authenticated, Doors};

async fn twice<D: Doors>(authenticated: Authenticated<()>, doors: &D, now: Timestamp) {
    let Ok(authorized) = authenticated.authorize(now) else { return };
    drop(authorized.provision(doors, now).await);
    drop(authorized.provision(doors, now).await);
}

fn main() {}
