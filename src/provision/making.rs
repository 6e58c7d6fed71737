//! Finding a person's account, or making it.
//!
//! Lives here: the part of a job ([`Work`]) that ends with an account which is this person's beyond doubt. Apart from `ensure.rs` because all that can
//! go wrong with identity goes wrong here. Whose an account is, is decided by `linking.rs` alone; who owns a login among our own people is
//! decided by the store's unique indexes, so that no race between two people of one name can pass.

use super::applying::never;
use super::ensure::Work;
use super::joining::protected;
use super::ledger::{Doubt, Ledger};
use super::linking::{Claim, Making as Doing, Verdict, Why, judge};
use super::stop::Stop;
use crate::connector::model::Verb;
use crate::connector::{Observation, Outcome, Trouble};
use crate::fault::PublicMessage;
use crate::plan::{Account, Applied, DiffRules, Step, diff};
use crate::policy::mapping::{Mapped, check_login, desire, namesake_of};
use crate::policy::switches::OnExceed;
use crate::policy::{MatchBy, OnCollision, OnExisting};
use crate::state::{AccountState, Origin, StoreError};
use serde_json::Value;

/// `ada-lovelace`, then `ada-lovelace-2` to `ada-lovelace-9`.
const NAMESAKES_MAX: u32 = 9;

/// What whoever decides reads of a create of which nobody knows any more what it made.
const FORGOTTEN: &str = "a create with this login was sent and never answered, too long ago to tell whether this account is what it made: `vestibule users relink` says that it is, `vestibule users forget` that it is not";

/// Characters of a hash that tells namesakes apart (`on_collision = "hash"`): 40 bits.
const HASH_CHARS: usize = 10;

/// The end of a person's external id, which is a hash over issuer and subject: the same at every sign-in and every app.
fn short_hash(external_id: &str) -> String {
    external_id.get(external_id.len().saturating_sub(HASH_CHARS)..).unwrap_or(external_id).to_owned()
}

/// What trying to make an account came to.
enum Made {
    /// Here it is.
    Here(Box<Account>),
    /// Somebody else has the login.
    Taken,
}

impl Work<'_> {
    /// The account that the record knows by its id; `None` when it is gone from the app.
    pub(super) async fn revisit(&mut self, mapped: &Mapped, id: &str) -> Result<Option<Account>, Stop> {
        self.renew().await?;
        // A new login that was sent and never answered: what has come of it decides under which name the account is looked for.
        let renamed = match self.renamed(mapped, id).await? {
            Some(account) => Some((self.under(mapped, &account.login)?, account.id)),
            None => None,
        };
        let (mapped, id) = renamed.as_ref().map_or((mapped, id), |(mapped, id)| (mapped, id.as_str()));
        let before = self.as_last_seen(mapped);
        let mut asked = before.as_ref().unwrap_or(mapped);
        let begun = self.now();
        let context = self.context(asked, Some(id));
        let mut seen = if self.routine { self.connector.glance(context).await } else { self.connector.get(context).await };
        if before.is_some() && seen == Ok(Observation::Absent) {
            asked = mapped;
            seen = self.connector.get(self.context(asked, Some(id))).await;
        }
        self.took("get", begun);
        let seen = seen.inspect_err(|trouble| self.failed("get", trouble.outcome));
        let account = match seen.map_err(unseen)? {
            Observation::Found(account, _) => account,
            Observation::Ambiguous => return Err(Stop::exists("several accounts answer to the recorded id")),
            Observation::Absent => {
                self.audit("account.vanished", "removed at the app");
                tracing::warn!(app = %self.record.key.upstream, incident = %self.job.order.incident, "account: removed at the app");
                // The login stays recorded: nobody else may have it. What was granted went with the account.
                self.record.account_id = None;
                self.record.verified_at = None;
                self.record.desired_fp = None;
                self.record.in_doubt = None;
                self.ledger.applied = Applied::default();
                self.routine = false;
                return Ok(None);
            }
        };
        // J5: an answer about another account is no answer.
        if account.id != id {
            return Err(Stop::failed("the app answered with an account that was not asked for"));
        }
        if account.external_id.as_deref().is_some_and(|carried| carried.starts_with(super::linking::MARK) && carried != self.external_id) {
            return Err(Stop::exists("the account carries another person's id now"));
        }
        self.shows_late(&account).await?;
        let fold = self.provision.connector.identity.fold;
        if !account.login.is_empty() && self.record.login.as_deref().is_some_and(|recorded| !fold.same(recorded, &account.login)) {
            return Err(Stop::exists("the account's login was changed at the app: headers would name somebody else"));
        }
        if self.ledger.relinked {
            // What an operator has said is looked at like any other account that is to be taken over.
            if account.admin || self.provision.connector.identity.is_reserved(&account.login) {
                return Err(Stop::exists(Why::Administrator.text()));
            }
            self.ledger.relinked = false;
            self.record.login = Some(shown_login(mapped, &account));
            self.audit("account.adopted", "an operator has said that it is this person's");
        }
        // A rule that came later holds for what was linked before.
        if self.record.origin != Some(Origin::Created)
            && let Some(why) = protected(&self.provision.switches, &mapped.scope, &account)
        {
            return Err(Stop::exists(why));
        }
        self.ledger.email = account.email.clone().or_else(|| asked.email.clone());
        Ok(Some(*account))
    }

    /// An app that cannot be asked by id is asked by name or address: by the one under which it last knew the account. A new address, which the app may never
    /// be told, must not make a known account look gone and have a second one made. `None`: nothing differs, or the app can be asked by id.
    fn as_last_seen(&self, mapped: &Mapped) -> Option<Mapped> {
        let email = self.ledger.email.as_deref()?;
        if self.provision.connector.can(&Verb::Get) || mapped.email.as_deref() == Some(email) {
            return None;
        }
        let mut before = mapped.clone();
        before.email = Some(email.to_owned());
        if let Some(user) = before.scope.get_mut("user").and_then(Value::as_object_mut) {
            user.insert("email".to_owned(), Value::from(email));
        }
        Some(before)
    }

    /// What is wanted, once it is known what has come of a create that was sent too long ago to be a claim to anything. While there is an account with that login it may
    /// well be theirs: they stay with that name, and with whoever decides. When there is none, nothing came of it, and they are called what they are called now.
    pub(super) async fn past_doubt(&mut self, mapped: Mapped) -> Result<Mapped, Stop> {
        let Some(Doubt::Create { login, at_ms }) = Doubt::read(&self.record).filter(|_| self.record.origin.is_none()) else { return Ok(mapped) };
        let fresh = desire(self.policy, &self.job.order.identity, None)?;
        if self.is_recent(at_ms) || self.provision.connector.identity.fold.same(&fresh.desired.login, &login) {
            return Ok(mapped);
        }
        let ways = self.ways(&mapped);
        // Where it would carry our mark it is found by that, under whatever name.
        if !self.leaves_marks() && self.look(&mapped, &ways).await?.is_some() {
            return Ok(mapped);
        }
        (self.record.in_doubt, self.record.login) = (None, None);
        Ok(fresh)
    }

    /// Looks in every way that is allowed, then makes the account; with `on_collision = "suffix"`, under the first login that nobody has.
    pub(super) async fn find_or_make(&mut self, mut mapped: Mapped) -> Result<Account, Stop> {
        let base = mapped.desired.login.clone();
        // A login that an account of ours once had is not exchanged for another.
        let frozen = self.record.origin.is_some();
        let mut ways = self.ways(&mapped);
        let mut evidence = self.evidence(&base);
        for namesake in 2..=NAMESAKES_MAX + 1 {
            match self.find_or_make_as(&mapped, &ways, &evidence).await? {
                Made::Here(account) => return Ok(*account),
                Made::Taken => {}
            }
            if !frozen {
                self.record.login = None;
            }
            let ending = match self.policy.user.on_collision {
                OnCollision::Suffix if namesake <= NAMESAKES_MAX => namesake.to_string(),
                // One other name is all there is: whoever has that one too is not told apart by trying on.
                OnCollision::Hash if namesake == 2 => short_hash(&self.external_id),
                OnCollision::Refuse | OnCollision::Suffix | OnCollision::Hash => break,
            };
            // Nobody is looked for under a name that only an account of our own making would have.
            if frozen || !self.provision.switches.mode.creates() {
                break;
            }
            let candidate = namesake_of(self.policy, &base, &ending);
            check_login(self.policy, &candidate)?;
            mapped = desire(self.policy, &self.job.order.identity, Some(&candidate))?;
            ways = vec![MatchBy::Login];
            // We have made that name up: an account that has it is not the person's because of it.
            evidence = Vec::new();
        }
        Err(Stop::exists("the login belongs to an account that is not this person's"))
    }

    /// By external id; by what the policy names, e-mail only when verified; then by whatever else the app can be asked, to see whether there is an account
    /// at all. Login comes last: another login may be tried, an address that somebody has is a matter for a human.
    fn ways(&self, mapped: &Mapped) -> Vec<MatchBy> {
        let has = self.connector.ways();
        let named = self.provision.match_by.iter().copied().filter(|by| mapped.may_match(*by));
        let mut ways: Vec<MatchBy> = Vec::new();
        for by in [MatchBy::ExternalId].into_iter().chain(named).chain([MatchBy::Email, MatchBy::Login]) {
            if has.contains(&by) && !ways.contains(&by) {
                ways.push(by);
            }
        }
        ways
    }

    /// The ways in which the policy recognises an account as this person's. A `login` that is not what their provider says of them now (an account that is gone had it)
    /// is none: whoever has it since is somebody else.
    fn evidence(&self, login: &str) -> Vec<MatchBy> {
        let fold = self.provision.connector.identity.fold;
        let is_asserted = desire(self.policy, &self.job.order.identity, None).is_ok_and(|fresh| fold.same(&fresh.desired.login, login));
        self.provision.match_by.iter().copied().filter(|by| *by != MatchBy::Login || is_asserted).collect()
    }

    /// As this login; `evidence` is what of [`Provision::match_by`](crate::policy::Provision) holds for it.
    async fn find_or_make_as(&mut self, mapped: &Mapped, ways: &[MatchBy], evidence: &[MatchBy]) -> Result<Made, Stop> {
        let doing = if self.doubts(&mapped.desired.login) { Doing::Doubtful } else { Doing::No };
        let Some((account, by)) = self.look(mapped, ways).await? else {
            self.may_make(mapped)?;
            return self.make(mapped).await;
        };
        let protected = protected(&self.provision.switches, &mapped.scope, &account);
        let verdict = judge(&account, by, &Claim { protected: protected.is_some(), match_by: evidence, ..self.claim(mapped, doing) });
        let origin = match verdict {
            Verdict::Ours => Origin::Created,
            Verdict::Adopt => Origin::Adopted,
            Verdict::Leave => Origin::Preexisting,
            Verdict::Taken => {
                self.not_ours(&mapped.desired.login)?;
                return Ok(Made::Taken);
            }
            Verdict::Refused(Why::Protected) => return Err(Stop::exists(protected.unwrap_or_else(|| Why::Protected.text().to_owned()))),
            Verdict::Refused(why) => return Err(Stop::exists(why.text())),
            Verdict::Wrong => return Err(Stop::failed("the app showed an account that was not asked for")),
        };
        let finished = doing == Doing::Doubtful && origin == Origin::Created;
        self.take(mapped, account, by, origin, finished).await
    }

    /// Whether an account may be made for this person, here and now.
    fn may_make(&self, mapped: &Mapped) -> Result<(), Stop> {
        let switches = &self.provision.switches;
        if !switches.mode.creates() {
            return Err(Stop::Refused { message: PublicMessage::AccountsOff, why: "no account is recognised, and this mode makes none" });
        }
        if !self.job.order.may_create {
            return Err(Stop::Refused {
                message: PublicMessage::OpenInBrowser,
                why: "only a page begins the making of an account: trigger = \"sign_in\"",
            });
        }
        if switches.protects_login(&mapped.desired.login) {
            return Err(Stop::exists("the login is protected by the policy: no account of that name is made"));
        }
        Ok(())
    }

    /// There is no seat left (`max_accounts`).
    fn full(&self) -> Stop {
        match self.provision.switches.on_exceed {
            OnExceed::Refuse => Stop::Refused { message: PublicMessage::AccountsFull, why: "max_accounts are there" },
            OnExceed::Approve => {
                Stop::Refused { message: PublicMessage::AwaitingApproval, why: "max_accounts are there, and on_exceed = \"approve\"" }
            }
        }
    }

    /// Looks for the account; nothing is believed of an answer but through [`judge`].
    async fn look(&mut self, mapped: &Mapped, ways: &[MatchBy]) -> Result<Option<(Account, MatchBy)>, Stop> {
        self.renew().await?;
        let begun = self.now();
        let seen = self.connector.find(self.context(mapped, None), ways).await;
        self.took("find", begun);
        match seen.inspect_err(|trouble| self.failed("find", trouble.outcome))? {
            Observation::Found(account, by) => Ok(Some((*account, by))),
            Observation::Absent => Ok(None),
            Observation::Ambiguous => Err(Stop::exists("more than one account fits: nobody is taken for anybody")),
        }
    }

    fn claim<'c>(&'c self, mapped: &'c Mapped, making: Doing) -> Claim<'c> {
        Claim {
            external_id: &self.external_id,
            login: &mapped.desired.login,
            email: mapped.email.as_deref(),
            email_verified: mapped.email_verified,
            match_by: &self.provision.match_by,
            on_existing: self.provision.on_existing,
            facts: &self.provision.connector.identity,
            making,
            protected: false,
            marks: self.leaves_marks(),
        }
    }

    /// Whether the app keeps and shows what this gateway writes into an account.
    fn leaves_marks(&self) -> bool {
        self.connector.ways().contains(&MatchBy::ExternalId)
    }

    /// When a create with this login was sent that was never answered, by the record, in milliseconds since the epoch.
    fn sent_at(&self, login: &str) -> Option<i64> {
        match Doubt::read(&self.record) {
            Some(Doubt::Create { login: sent, at_ms }) if sent == login => Some(at_ms),
            _ => None,
        }
    }

    /// Whether that was so lately that it is a claim.
    fn doubts(&self, login: &str) -> bool {
        self.sent_at(login).is_some_and(|at_ms| self.is_recent(at_ms))
    }

    /// The login is somebody else's, whatever became of a create of ours; but for one that was sent so long ago that nobody can tell: where the app keeps no mark of ours,
    /// the account may be the one that it made. A second one under another name would leave that one there, enabled and nobody's.
    fn not_ours(&mut self, login: &str) -> Result<(), Stop> {
        if !self.leaves_marks() && self.sent_at(login).is_some_and(|at_ms| !self.is_recent(at_ms)) {
            return Err(Stop::exists(FORGOTTEN));
        }
        self.record.in_doubt = None;
        Ok(())
    }

    /// Records that the account is this person's. The store refuses when another person's record owns it.
    async fn take(&mut self, mapped: &Mapped, account: Account, by: MatchBy, origin: Origin, finished: bool) -> Result<Made, Stop> {
        let before = self.record.clone();
        self.record.account_id = Some(account.id.clone());
        self.record.login = Some(shown_login(mapped, &account));
        self.record.origin = Some(origin);
        self.record.state = AccountState::Provisioning;
        self.record.in_doubt = None;
        self.record.awaiting = None;
        // What an operator had named is gone; this one was recognised.
        self.ledger.relinked = false;
        self.ledger.email = account.email.clone().or_else(|| mapped.email.clone());
        // What this gateway once made is not counted anew; what is left as it is does not count at all.
        let saved = if origin == Origin::Adopted { self.save_seated().await } else { self.save().await.map(|()| true) };
        match saved {
            Ok(true) => {}
            Ok(false) => {
                self.record = before;
                return Err(self.full());
            }
            Err(StoreError::OwnedByAnother) if by == MatchBy::Login => {
                self.record = before;
                return Ok(Made::Taken);
            }
            Err(StoreError::OwnedByAnother) => {
                self.record = before;
                return Err(Stop::exists("the account is another person's by our own records"));
            }
            Err(error) => return Err(error.into()),
        }
        if finished {
            self.fresh = true;
            self.ledger.claim_joined(&self.provision.connector, &account);
            self.audit("create.reconciled", "an interrupted create had come through");
            self.audit("account.created", "found again after an interrupted create");
        } else {
            let marked = account.external_id.as_deref() == Some(&self.external_id);
            self.audit("account.adopted", recognised(if marked { MatchBy::ExternalId } else { by }, origin == Origin::Preexisting));
        }
        Ok(Made::Here(Box::new(account)))
    }

    /// Makes the account. The login is reserved in our own records first, so that two people of one name never send the same create.
    async fn make(&mut self, mapped: &Mapped) -> Result<Made, Stop> {
        let login = mapped.desired.login.clone();
        let (doubtful, is_second) = (self.doubts(&login), self.sent_at(&login).is_some());
        let before = self.record.clone();
        self.record.login = Some(login.clone());
        self.record.in_doubt = Doubt::Create { login, at_ms: self.now().millis() }.write();
        self.record.state = AccountState::Provisioning;
        self.record.desired_fp = None;
        self.record.awaiting = None;
        // Should it come through and nobody know of it: by what it is found again, and as of when.
        self.ledger.email.clone_from(&mapped.email);
        self.ledger.as_of_ms = self.ledger.as_of_ms.max(self.job.order.as_of.millis());
        match self.save_seated().await {
            Ok(true) => {}
            Ok(false) => {
                self.record = before;
                return Err(self.full());
            }
            Err(StoreError::OwnedByAnother) => {
                self.record = before;
                return Ok(Made::Taken);
            }
            Err(error) => return Err(error.into()),
        }
        self.renew().await?;
        // A condition over the account can be asked once there is one: until then it joins nothing.
        let sync_memberships = if self.provision.switches.join_when.is_some() { never(mapped) } else { mapped.sync.clone() };
        let rules = DiffRules { sync_memberships, ..DiffRules::default() };
        let plan = diff(&Applied::default(), &mapped.desired, None, &rules);
        let Some(create) = plan.steps.first() else { return Err(Stop::failed("there is nothing to make")) };
        self.audit("provision.started", &plan.steps.iter().map(Step::label).collect::<Vec<_>>().join("; "));
        let begun = self.now();
        let answer = self.connector.apply(self.context(mapped, None), create).await;
        self.took("create", begun);
        if let Err(trouble) = &answer {
            self.failed("create", trouble.outcome);
        }
        let (outcome, shown, unsent, stop) = match answer {
            Ok((outcome, shown)) => (outcome, shown, false, Stop::from(answered(outcome))),
            Err(trouble) => (trouble.outcome, None, trouble.is_unsent(), Stop::from(trouble)),
        };
        let doing = match outcome {
            Outcome::Created | Outcome::Updated | Outcome::Unchanged | Outcome::Done | Outcome::Found => Doing::Done,
            Outcome::InDoubt => Doing::Doubtful,
            // Refused because it is there: ours only if we had sent this before and lost the answer.
            Outcome::Exists => {
                // This one made nothing: an earlier one is as much in doubt as it was.
                self.record.in_doubt = before.in_doubt.filter(|_| is_second);
                if doubtful { Doing::Doubtful } else { Doing::No }
            }
            // It may have happened all the same: the doubt stays recorded, and the next attempt looks first.
            Outcome::Retry if !unsent => return Err(stop),
            Outcome::Absent
            | Outcome::Ambiguous
            | Outcome::Gone
            | Outcome::Conflict
            | Outcome::Denied
            | Outcome::Invalid
            | Outcome::Reauth
            | Outcome::Retry
            | Outcome::Unsupported => {
                // This one did nothing; an earlier one is as much in doubt as it was, and no longer.
                self.record.in_doubt = before.in_doubt.filter(|_| is_second);
                return Err(stop);
            }
        };
        self.confirm(mapped, create, doing, shown, &stop).await
    }

    /// After a create, whatever its answer (`came_to`): only a look decides whether there is an account, and whose.
    async fn confirm(&mut self, mapped: &Mapped, step: &Step, doing: Doing, shown: Option<Account>, came_to: &Stop) -> Result<Made, Stop> {
        let ways = self.connector.ways();
        let seen = match self.look(mapped, &ways).await? {
            // An app that cannot be searched is taken at its word.
            None if ways.is_empty() && doing == Doing::Done => shown.clone().map(|account| (account, MatchBy::Login)),
            seen => seen,
        };
        let Some((account, by)) = seen else {
            if doing == Doing::No {
                // There, and not to be seen: hidden, or equal in a way we do not know.
                self.not_ours(&mapped.desired.login)?;
                return Ok(Made::Taken);
            }
            // What the create itself came to is what an operator needs; that a look found nothing comes after it.
            return Err(came_to.but("looked for afterwards, and not there"));
        };
        if shown.is_some_and(|shown| !shown.id.is_empty() && shown.id != account.id) {
            return Err(Stop::failed("the app answered the create with another account's id"));
        }
        // An account that was there before would have been found before the create: none of the policy's ways count here.
        let claim = Claim { match_by: &[], on_existing: OnExisting::Refuse, ..self.claim(mapped, doing) };
        match (judge(&account, by, &claim), doing) {
            (Verdict::Ours, _) => {}
            (_, Doing::Done) | (Verdict::Wrong, _) => return Err(Stop::failed("the app made an account, and shows another one")),
            (Verdict::Adopt | Verdict::Leave | Verdict::Taken | Verdict::Refused(_), Doing::No | Doing::Doubtful) => {
                self.not_ours(&mapped.desired.login)?;
                return Ok(Made::Taken);
            }
        }
        self.fresh = true;
        let email = account.email.clone().or_else(|| mapped.email.clone());
        self.ledger = Ledger { as_of_ms: self.job.order.as_of.millis(), email, ..Ledger::default() };
        self.ledger.applied.note(step);
        self.ledger.claim_joined(&self.provision.connector, &account);
        self.record.account_id = Some(account.id.clone());
        self.record.login = Some(shown_login(mapped, &account));
        self.record.origin = Some(Origin::Created);
        self.record.in_doubt = None;
        self.save().await?;
        if doing != Doing::Done {
            self.audit("create.reconciled", "its answer was in doubt, and the account is there");
        }
        self.audit("account.created", if doing == Doing::Done { "made" } else { "made; found after an answer in doubt" });
        Ok(Made::Here(Box::new(account)))
    }
}

/// The login at the app, which may be spelt otherwise than we asked; ours where the app does not show one.
fn shown_login(mapped: &Mapped, account: &Account) -> String {
    if account.login.is_empty() { mapped.desired.login.clone() } else { account.login.clone() }
}

/// That the app does not show an account which we know says nothing of the account: its person goes on for as long as they may without a look.
fn unseen(trouble: Trouble) -> Stop {
    if trouble.outcome == Outcome::Denied { Stop::Closed(trouble.to_string()) } else { trouble.into() }
}

/// By what an account was taken for this person's, for the audit log; `left`: it is left as it is.
const fn recognised(by: MatchBy, left: bool) -> &'static str {
    match (by, left) {
        (MatchBy::ExternalId, false) => "recognised by its external id",
        (MatchBy::Login, false) => "recognised by its login",
        // No other address is evidence (`linking.rs`).
        (MatchBy::Email, false) => "recognised by a verified e-mail address",
        (MatchBy::ExternalId, true) => "recognised by its external id, and left as it is",
        (MatchBy::Login, true) => "recognised by its login, and left as it is",
        (MatchBy::Email, true) => "recognised by a verified e-mail address, and left as it is",
    }
}

/// An outcome as trouble, should it turn out to be one.
fn answered(outcome: Outcome) -> Trouble {
    Trouble { step: "create".to_owned(), outcome, retry_after_ms: None, status: None, detail: "the app's answer".to_owned() }
}
