//! What operators may ask of a gateway that runs; one file a command.
//!
//! Each file has the command, what it answers (as JSON: the command line and a console read the same) and the port through which it reaches what it is
//! about; `app/` and `reload.rs` stand behind the ports. How to add one is in [`super::socket`].

mod reconcile;
mod keys;
mod reload;
mod sessions;
mod status;
mod users;

pub use keys::{ListKeys, RotateKeys};
pub use reconcile::{BeginReconcile, LookReconcile, OfApp, Progress, Reconcile, Reconciles};
pub use reload::{Change, Entry, Reload, Reloaded, Reloads};
pub use sessions::{ListSessions, RevokeSessions};
pub use status::{AppStatus, Looks, Overview, PolicyState, ProviderStatus, Status, Statuses, UpstreamState};
pub use users::{ActOnUser, ApproveLeavers, Deed, LeaversOf, ListUsers, Users, Whom, command, no_app, shell, status_of};
