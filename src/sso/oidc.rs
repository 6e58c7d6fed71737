//! OpenID Connect, on `openidconnect`.
