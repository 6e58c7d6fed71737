//! What the whole gateway audits, whichever of its threads says it: a subscriber of one thread does not hear the cores.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fake that cannot go on should stop")]

use serde_json::Value;
use std::sync::{Mutex, Once};

static HEARD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static LISTENING: Once = Once::new();

struct Heard;

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        HEARD.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The audit events about people of one provider. Tests run beside each other, and each has a provider of its own.
pub(crate) struct Ear {
    issuer: String,
    since: usize,
}

/// What is heard from now on, of whomever.
pub(crate) struct Listening(usize);

impl Listening {
    pub(crate) fn to(self, issuer: &str) -> Ear {
        Ear { issuer: issuer.to_owned(), since: self.0 }
    }
}

impl Ear {
    /// To be called before the gateway is started: a thread that has once met an event without anybody to hear it stays unheard.
    pub(crate) fn listen() -> Listening {
        LISTENING.call_once(|| {
            // With a single dispatcher alive, tracing asks the thread that meets an event first, and that may be a core from before.
            std::mem::forget(tracing::Dispatch::new(tracing_subscriber::registry()));
            let all = tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(|| Heard).finish();
            tracing::subscriber::set_global_default(all).unwrap();
        });
        Listening(HEARD.lock().unwrap().len())
    }

    /// The fields of events with this `action`, oldest first.
    pub(crate) fn heard(&self, action: &str) -> Vec<Value> {
        let text = String::from_utf8(HEARD.lock().unwrap()[self.since..].to_vec()).unwrap();
        let lines = text.lines().filter(|line| line.contains(&self.issuer) && line.contains(action));
        let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line["target"] == "audit");
        let fields = events.map(|mut event| event["fields"].take());
        fields.filter(|fields| fields["user.iss"] == self.issuer.as_str() && fields["action"] == action).collect()
    }

    /// As [`Self::heard`], once there are so many.
    pub(crate) async fn hears(&self, count: usize, action: &str) -> Vec<Value> {
        let heard = async {
            loop {
                let heard = self.heard(action);
                if heard.len() >= count {
                    return heard;
                }
                tokio::task::yield_now().await;
            }
        };
        crate::whole::within(action, heard).await
    }
}
