//! The promises of the gateway, each learnt from somebody's advisory, asserted against the whole of it: sockets in front, recording applications behind.
//!
//! One file for each heading; a test names the advisories that taught its promise. `attacks.rs` has what attacks.md asks of the whole and other
//! tests only ask of its parts.

mod attacks;
#[expect(dead_code, reason = "shared with the tests of the parts, which need more of it")]
#[path = "../gateway/fake_admin.rs"]
mod fake_admin;
#[expect(dead_code, reason = "shared with the tests of the parts, which need more of it")]
#[path = "../gateway/fake_op.rs"]
mod fake_op;
#[expect(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared with the tests of the parts, which need more of it"
)]
#[path = "../gateway/fake_saml.rs"]
mod fake_saml;
mod house;
mod identity_headers;
#[path = "../gateway/listen.rs"]
mod listen;
mod redirects;
mod saml;
mod session;
