//! The password by which the gateway signs a person in at an app that knows nothing else (`mode = "session_bridge"`).
//!
//! Lives here: one secret for each person and app, which every gateway on the store uses, so that none ends what another has begun, and so that an app that writes
//! to people about every new password seldom does. Apart from `entering.rs`, which knows when somebody is to be signed in; this knows by what. A new one is made where there
//! is none, after `[sign_in] rotate`, for another account than the one it was made for, and once when the app rejects it, for the person may have changed it there.
//!
//! It is in the store before the app hears of it: of several gateways that make one at once, the first to write it down decides, and the others wait until it has let
//! the person in there. They do not try it before, which would be a wrong password to the app, nor set it as well: many an app ends all sessions of whoever gets a
//! password, be it the one they have. Whoever is killed between the two leaves one that has never let anybody in; after a while it is set again, not replaced.

use super::{Counter, Desk, Order};
use crate::connector::{Context, DoorKey, Entered, Outcome, Trouble};
use crate::fault::PublicMessage;
use crate::state::{PersonSecret, SecretHash, StoreError};
use secrecy::SecretString;
use url::Url;

/// One that another gateway has made so lately may be on its way to the app, milliseconds: it is waited for, and then tried before it is set.
const ON_ITS_WAY_MS: i64 = 30_000;
/// How often it is asked for, milliseconds, and how many times: longer than any call that sets a password should take.
const WAIT_MS: u64 = 250;
const WAITS_MAX: u32 = 40;
/// Ways to the form for one sign-in: what is known, what another gateway has set meanwhile, a new one, and one more of another gateway's.
const TRIES_MAX: usize = 4;

/// Why somebody was not signed in: what they are told, and what the log is.
pub(super) type Refused = (PublicMessage, String);

impl Desk {
    /// Signs the person of `context` in at the app, which is at `at`, by their own password.
    pub(super) async fn bridge(&self, order: &Order, counter: &Counter, context: Context<'_>, at: &Url, device: &str) -> Result<Entered, Refused> {
        let account_id = context.account_id.unwrap_or_default();
        let (mut secret, mut is_ours) = match self.known_secret(order).await? {
            Some(known) if self.is_good(order, &known, account_id) => (known, false),
            other => self.renewed(order, other.as_ref(), account_id).await?,
        };
        let (mut set, mut is_set) = (is_ours, false);
        let mut last = None;
        for _ in 0..TRIES_MAX {
            if !is_ours && !set {
                secret = self.awaited(order, secret, account_id).await?;
                set = secret.proven_at.is_none() && !self.is_on_its_way(&secret);
            }
            if std::mem::take(&mut set) {
                set_at_the_app(counter, context, &secret).await?;
                is_set = true;
            }
            let trouble = match counter.connector.enter(context, at, DoorKey { secret: &secret.secret, device }).await {
                Ok(entered) => {
                    if secret.proven_at.is_none() {
                        self.parts
                            .secrets
                            .person_secret_proven(&order.key, secret.tag, self.parts.clock.now())
                            .await
                            .map_err(|error| self.lost(order, &error))?;
                    }
                    return Ok(entered);
                }
                Err(trouble) => trouble,
            };
            if !is_rejection(&trouble) {
                return Err(refused(&trouble));
            }
            let there = self.known_secret(order).await?;
            match there.filter(|there| self.is_good(order, there, account_id)) {
                // Another gateway has made another one meanwhile.
                Some(there) if there.tag != secret.tag => (secret, is_ours, is_set) = (there, false, false),
                // It was on its way, and has arrived since we were refused: it is as good as any.
                Some(there) if secret.proven_at.is_none() && there.proven_at.is_some() => (secret, is_ours, is_set) = (there, false, false),
                // It was set just now, and the app does not take it: it takes none.
                Some(_) if is_set => return Err(refused(&trouble)),
                // It never got there.
                Some(there) if there.proven_at.is_none() => set = true,
                there => {
                    (secret, is_ours) = self.renewed(order, there.as_ref().or(Some(&secret)), account_id).await?;
                    set = is_ours;
                }
            }
            last = Some(trouble);
        }
        Err(last.as_ref().map_or_else(|| (PublicMessage::Internal, "nothing was tried".to_owned()), refused))
    }

    async fn known_secret(&self, order: &Order) -> Result<Option<PersonSecret>, Refused> {
        self.parts.secrets.person_secret(&order.key).await.map_err(|error| self.lost(order, &error))
    }

    /// Another gateway's, once it has let the person in; or as it is when that takes too long, or nobody is at it.
    async fn awaited(&self, order: &Order, mut secret: PersonSecret, account_id: &str) -> Result<PersonSecret, Refused> {
        for _ in 0..WAITS_MAX {
            if secret.proven_at.is_some() || !self.is_on_its_way(&secret) {
                break;
            }
            self.parts.sleeper.sleep_ms(WAIT_MS).await;
            match self.known_secret(order).await?.filter(|there| self.is_good(order, there, account_id)) {
                Some(there) => secret = there,
                None => break,
            }
        }
        Ok(secret)
    }

    /// Whether another gateway, which has made it, may be about to set it. One that this gateway has made has come to nothing: a person is signed in once at a time.
    fn is_on_its_way(&self, secret: &PersonSecret) -> bool {
        !secret.tag.starts_with(&self.own_mark()) && (0..ON_ITS_WAY_MS).contains(&self.parts.clock.now().since_ms(secret.made_at))
    }

    /// What tags of this gateway's begin with.
    fn own_mark(&self) -> [u8; 4] {
        let SecretHash([a, b, c, d, ..]) = SecretHash::of(self.parts.owner.as_bytes());
        [a, b, c, d]
    }

    fn is_good(&self, order: &Order, secret: &PersonSecret, account_id: &str) -> bool {
        let age_ms = self.parts.clock.now().since_ms(secret.made_at);
        secret.account_id == account_id && age_ms < order.policy.sign_in.rotate_ms
    }

    /// A new one instead of `before`, and whether it is this gateway's: when another was faster, it is theirs.
    async fn renewed(&self, order: &Order, before: Option<&PersonSecret>, account_id: &str) -> Result<(PersonSecret, bool), Refused> {
        let mut tag: [u8; 16] = self.parts.entropy.as_ref().bytes();
        for (to, from) in tag.iter_mut().zip(self.own_mark()) {
            *to = from;
        }
        let made = PersonSecret {
            tag,
            // Apps ask for letters of several kinds; what is random has them, and these make sure. 47 characters: bcrypt reads 72.
            secret: SecretString::from(format!("{}-aA1", self.parts.entropy.as_ref().token())),
            account_id: account_id.to_owned(),
            made_at: self.parts.clock.now(),
            proven_at: None,
        };
        let put = self.parts.secrets.put_person_secret(&order.key, before.map(|before| before.tag), &made).await;
        if put.map_err(|error| self.lost(order, &error))? {
            return Ok((made, true));
        }
        match self.known_secret(order).await? {
            Some(theirs) if self.is_good(order, &theirs, account_id) => Ok((theirs, false)),
            // Forgotten this moment, or their account is another one by now.
            _ => Err((PublicMessage::AccountUnavailable, "the person's record changes at this moment".to_owned())),
        }
    }

    fn lost(&self, order: &Order, error: &StoreError) -> Refused {
        (self.store_down(order, error), error.to_string())
    }
}

async fn set_at_the_app(counter: &Counter, context: Context<'_>, secret: &PersonSecret) -> Result<(), Refused> {
    let set = counter.connector.set_password(context, &secret.secret).await;
    let outcome = set.map_err(|trouble| (PublicMessage::AccountUnavailable, trouble.to_string()))?;
    if matches!(outcome, Outcome::Updated | Outcome::Done | Outcome::Unchanged) {
        return Ok(());
    }
    Err((PublicMessage::AccountFailed, format!("set_password: {outcome}")))
}

/// Whether the app says that it does not let this person in by this.
const fn is_rejection(trouble: &Trouble) -> bool {
    matches!(trouble.outcome, Outcome::Denied | Outcome::Reauth | Outcome::Invalid)
}

/// What a sign-in at the app came to instead.
pub(super) fn refused(trouble: &Trouble) -> Refused {
    let transient = matches!(trouble.outcome, Outcome::Retry | Outcome::InDoubt);
    (if transient { PublicMessage::AppUnreachable } else { PublicMessage::AppRejected }, trouble.to_string())
}
