//! How many connections are open, in all and of each client; and who is turned away.
//!
//! Lives here: [`Visitors`], shared by all cores, asked once a connection and never by a request. Whoever is one too many is told so with a page, as long as not too
//! many are being told at once; then the connection is closed without a word, for telling costs a handshake. A peer of `[server] trusted_proxies` brings many
//! people, and has no limit of its own.

use crate::config::Bounds;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Who are told that there are too many, at once.
const TOLD_MAX: usize = 64;

/// Open connections.
#[derive(Debug, Default)]
pub struct Visitors(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    all: usize,
    told: usize,
    of_client: HashMap<IpAddr, usize>,
}

/// What becomes of a connection.
#[derive(Debug)]
pub(super) enum Admitted {
    /// It is served.
    In(Seat),
    /// It is told that there are too many.
    Told(Seat),
    /// It is closed.
    Out,
}

/// A place; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Seat {
    visitors: Arc<Visitors>,
    /// `None`: of one who is told.
    client: Option<IpAddr>,
}

impl Visitors {
    /// Whether there is a place for one more; `limited`: whether the client has a limit of its own.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, limited: bool, bounds: Bounds) -> Admitted {
        let client = Bounds::client(peer);
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = count.of_client.get(&client).copied().unwrap_or(0);
        let seat = |client| Seat { visitors: Arc::clone(self), client };
        if count.all < bounds.connections_max && (!limited || theirs < bounds.connections_per_client_max) {
            count.all += 1;
            *count.of_client.entry(client).or_default() += 1;
            return Admitted::In(seat(Some(client)));
        }
        if count.told < TOLD_MAX {
            count.told += 1;
            return Admitted::Told(seat(None));
        }
        Admitted::Out
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut count = self.visitors.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = self.client else {
            count.told = count.told.saturating_sub(1);
            return;
        };
        count.all = count.all.saturating_sub(1);
        if let Some(theirs) = count.of_client.get_mut(&client) {
            *theirs = theirs.saturating_sub(1);
            if *theirs == 0 {
                count.of_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Admitted, TOLD_MAX, Visitors};
    use crate::config::Bounds;
    use std::sync::Arc;

    #[test]
    fn each_client_has_its_places_and_all_together_have_theirs() {
        let bounds = Bounds { connections_max: 5, connections_per_client_max: 2, ..Bounds::default() };
        let visitors = Arc::new(Visitors::default());
        let admit = |peer: &str, limited: bool| visitors.admit(peer.parse().unwrap(), limited, bounds);
        let one = admit("192.0.2.1", true);
        let _two = admit("::ffff:192.0.2.1", true);
        assert!(matches!(admit("192.0.2.1", true), Admitted::Told(_)));
        let _six = (admit("2001:db8::1", true), admit("2001:db8::2", true));
        assert!(matches!(admit("2001:db8::3", true), Admitted::Told(_)), "the same network is the same client");
        assert!(matches!(&one, Admitted::In(_)));
        let other = admit("2001:db8:0:1::3", true);
        assert!(matches!(other, Admitted::In(_)));
        assert!(matches!(admit("192.0.2.9", true), Admitted::Told(_)), "there are five");
        drop(one);
        let proxy = admit("192.0.2.1", false);
        assert!(matches!(proxy, Admitted::In(_)));
        drop((other, proxy));
        let through: Vec<_> = (0..2).map(|_| admit("192.0.2.1", false)).collect();
        assert!(through.iter().all(|seat| matches!(seat, Admitted::In(_))), "a trusted proxy brings many people");
    }

    #[test]
    fn who_is_told_takes_no_place_and_not_everybody_is_told() {
        let bounds = Bounds { connections_max: 0, ..Bounds::default() };
        let visitors = Arc::new(Visitors::default());
        let admit = || visitors.admit("192.0.2.1".parse().unwrap(), true, bounds);
        let told: Vec<_> = (0..TOLD_MAX).map(|_| admit()).collect();
        assert!(told.iter().all(|one| matches!(one, Admitted::Told(_))));
        assert!(matches!(admit(), Admitted::Out));
        drop(told);
        assert!(matches!(admit(), Admitted::Told(_)));
        assert!(visitors.0.lock().unwrap().of_client.is_empty());
    }
}
