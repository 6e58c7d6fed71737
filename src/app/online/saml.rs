//! A SAML provider's metadata, looked at: is it there, is its certificate the pinned one, and how long does that last?

use super::{Finding, Place};
use crate::clock::Clock;
use crate::config::Idp;
use crate::outbound::Transport;
use crate::proxy::certificate::validity;
use crate::sso::saml::SamlProvider;
use std::sync::Arc;

/// Days before its end from which a certificate is told of.
const DAYS_LEFT_MIN: i64 = 30;
const DAY_MS: i64 = 86_400_000;

/// What can be said of a provider without a person.
pub(super) async fn provider(place: Place, idp: Idp, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Vec<Finding> {
    let (id, has_key) = (idp.id.clone(), idp.saml.as_ref().is_some_and(|saml| saml.key.is_some()));
    // Neither our key nor our address takes part in what is asked.
    let Some(provider) = SamlProvider::new(idp, None, "", transport, Arc::clone(&clock)) else { return Vec::new() };
    let facts = match provider.probe().await {
        Ok(facts) => facts,
        Err(fault) => return vec![place.error("provider", fault.to_string(), "is this the address, or the file, of the provider's SAML metadata?")],
    };
    let now = clock.now();
    let mut findings = Vec::new();
    for (fingerprint, der) in &facts.certificates {
        let pinned = if facts.pinned { ", matches the pin" } else { "" };
        let days = validity(der).map(|(_, until)| until.since_ms(now).div_euclid(DAY_MS));
        let entity = &facts.entity_id;
        findings.push(match days {
            None => place.warning("provider-certificate", format!("provider {id}: the dates of its signing certificate cannot be read"), ""),
            // Metadata names keys, and a certificate is how it writes them: its dates end nothing.
            Some(days) if days < 0 => place.warning(
                "provider-certificate",
                format!("provider {id}: its signing certificate {fingerprint} ended {} days ago; it is accepted still", -days),
                "ask the provider for a new one",
            ),
            Some(days) if days < DAYS_LEFT_MIN => place.warning(
                "provider-certificate",
                format!("provider {id}: its signing certificate {fingerprint} ends in {days} days"),
                if facts.pinned { "add the pin of the next one before it comes" } else { "the next one is read from the metadata" },
            ),
            Some(days) => place.ok(format_args!("provider {id}: {entity}, signing certificate {fingerprint}{pinned}, expires in {days} days")),
        });
    }
    if facts.wants_a_key && !has_key {
        let message = format!("provider {id}: it wants signed requests, and idp.cert and idp.key are not set");
        findings.push(place.error("provider", message, "make an RSA key, set cert and key, and give the provider our metadata"));
    }
    if let Some(days) = facts.valid_until.map(|until| until.since_ms(now).div_euclid(DAY_MS)).filter(|days| *days < 2) {
        findings.push(place.warning(
            "provider",
            format!("provider {id}: its metadata ends in {days} days"),
            "the provider has to publish newer metadata",
        ));
    }
    findings
}
