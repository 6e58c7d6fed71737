//! Only `sso` vouches for anybody.
use vestibule::clock::Timestamp;
use vestibule::identity::Identity;
use vestibule::sso::VerifiedAssertion;

fn shortcut(identity: Identity) -> VerifiedAssertion {
    VerifiedAssertion::vouch(identity, Timestamp::from_millis(0), None, None)
}

fn main() {}
