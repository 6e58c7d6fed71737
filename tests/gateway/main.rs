//! The rooms of the house against fakes on loopback. Files are named after `src/`.

mod connector;
mod fake_admin;
