//! Going through everybody who has an account, for operators; and looking after who has left, once a minute.

use super::rounds::again;
use crate::admin::commands::{OfApp, Progress, Reconcile, Reconciles};
use crate::policy::Policy;
use crate::provision::Desk;
use crate::request::Routes;
use crate::state::SignInStore;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// All records are read once in so many rounds: once an hour.
const LONG_LOOK_EVERY: u32 = 60;

/// Goes through apps, one reconciliation at a time.
#[derive(Debug)]
pub(super) struct Rounds {
    pub(super) desk: Arc<Desk>,
    pub(super) routes: Arc<ArcSwap<Routes>>,
    pub(super) sign_ins: Arc<dyn SignInStore>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) progress: Arc<Mutex<Progress>>,
}

impl Rounds {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciles for Rounds {
    fn begin(&self, what: &Reconcile, operator: &str) -> Result<(), String> {
        let keeps = |policy: &Arc<Policy>| policy.provision.as_ref().is_some_and(|provision| provision.switches.enabled);
        let is_meant = |policy: &Arc<Policy>| what.app.as_ref().is_none_or(|app| *app == policy.name);
        let policies: Vec<Arc<Policy>> = served(&self.routes).into_iter().filter(keeps).filter(is_meant).collect();
        if policies.is_empty() {
            return Err(what.app.as_ref().map_or_else(
                || "no app has accounts that the gateway keeps: no policy has a [provision] that is enabled".to_owned(),
                |app| format!("there is no app `{app}` whose accounts the gateway keeps; `vestibule status` lists the apps"),
            ));
        }
        {
            let mut progress = self.progress();
            if progress.running {
                return Err("one is under way: it can be watched with `vestibule reconcile --watch`".to_owned());
            }
            *progress = Progress { running: true, apps: Vec::new() };
        }
        tracing::info!(target: "audit", action = "admin.reconcile", actor = operator, app = what.app.as_deref(), changed_only = what.changed_only);
        let (desk, sign_ins, progress, changed_only) =
            (Arc::clone(&self.desk), Arc::clone(&self.sign_ins), Arc::clone(&self.progress), what.changed_only);
        drop(self.runtime.spawn(async move {
            let ended = Ended(progress);
            for policy in policies {
                ended.change(|progress| {
                    progress.apps.push(OfApp { app: policy.name.clone(), ..OfApp::default() });
                });
                let tell = |counted| ended.last(|app| app.counted = counted);
                if let Err(error) = desk.reconcile(&policy, &sign_ins, changed_only, &tell).await {
                    tracing::error!(app = %policy.name, %error, "reconcile: given up");
                    ended.last(|app| app.error = Some(error.to_string()));
                    continue;
                }
                // Whom nothing has changed for is not looked at, and neither is what nobody has.
                if changed_only {
                    continue;
                }
                match desk.take_stock(&policy).await {
                    Ok(stock) => ended.last(|app| app.stock = stock),
                    Err(error) => {
                        tracing::warn!(app = %policy.name, %error, "reconcile: the app's list of accounts did not come");
                        ended.last(|app| app.stock_error = Some(error.to_string()));
                    }
                }
            }
        }));
        Ok(())
    }

    fn progress(&self) -> Progress {
        Self::progress(self).clone()
    }
}

/// Says that it has ended, however it has.
struct Ended(Arc<Mutex<Progress>>);

impl Ended {
    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn last(&self, change: impl FnOnce(&mut OfApp)) {
        self.change(|progress| {
            if let Some(app) = progress.apps.last_mut() {
                change(app);
            }
        });
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.change(|progress| progress.running = false);
    }
}

fn served(routes: &ArcSwap<Routes>) -> Vec<Arc<Policy>> {
    routes.load().all().map(|route| Arc::clone(&route.policy)).collect()
}

/// Looks after who has left, until `stop`: first of all those whose account was being switched off when the gateway before this one ended.
pub(super) async fn tend(desk: Arc<Desk>, routes: Arc<ArcSwap<Routes>>, every: Duration, stop: CancellationToken) {
    let mut round: u32 = 0;
    loop {
        desk.tend(&served(&routes), round % LONG_LOOK_EVERY == 1).await;
        round = round.wrapping_add(1);
        if !again(every, &stop).await {
            return;
        }
    }
}
