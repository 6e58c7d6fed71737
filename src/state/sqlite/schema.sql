-- The store, version 5, for new files; steps/ has what brings an older one here. Times are milliseconds since the epoch. `sealed` columns are
-- AES-256-GCM under [state] key (state/seal.rs).
-- Small rows that are looked up by a hash are kept in the index itself (without rowid); rows with a sealed body are not, as
-- SQLite wants such rows below a twentieth of a page.

create table vestibule_store (
  id integer primary key check (id = 1),
  version integer not null,
  seal_check blob not null
);

-- One browser, one provider, every app. Ended rows stay until `expires_at`, so that nothing brings them back.
create table sign_on (
  id blob not null primary key,
  cookie blob not null unique,
  sealed blob not null, -- identity, ID token, sid; emptied when the sign-on ends
  auth_time integer not null,
  created_at integer not null,
  last_seen integer not null,
  expires_at integer not null,
  ended_at integer
);
create index sign_on_expiry on sign_on (expires_at);
create index sign_on_idle on sign_on (last_seen) where ended_at is null;

create table app_session (
  cookie blob not null primary key,
  sign_on blob not null references sign_on (id) on delete cascade,
  app text not null,
  created_at integer not null
) without rowid;
create index app_session_sign_on on app_session (sign_on);

create table pending_login (
  key blob not null primary key,
  sealed blob not null,
  expires_at integer not null,
  used_at integer,
  ticket blob, -- key of the one it came by
  client blob, -- keyed hash of the address it was begun from
  kept_at integer
);
create index pending_login_expiry on pending_login (expires_at);
create index pending_login_ticket on pending_login (ticket, kept_at) where ticket is not null;
create index pending_login_client on pending_login (client, kept_at) where client is not null;

-- What a provider's page has posted for a sign-in under way, until the browser comes for it itself.
create table kept_answer (
  state blob not null,
  code blob not null,
  digest blob not null, -- of what is sealed
  bytes integer not null,
  kept_at integer not null,
  expires_at integer not null,
  sealed blob not null,
  primary key (state, code)
);
create index kept_answer_age on kept_answer (kept_at, bytes);
create index kept_answer_expiry on kept_answer (expires_at);

create table handover (
  code blob not null primary key,
  sealed blob not null,
  expires_at integer not null,
  used_at integer
);
create index handover_expiry on handover (expires_at);

create table seen_once (
  key blob not null primary key,
  expires_at integer not null
) without rowid;
create index seen_once_expiry on seen_once (expires_at);

-- One person at one upstream. `state` is null while a first lease is held and nothing is recorded yet.
create table account (
  upstream text not null,
  issuer text not null,
  subject text not null,
  state text,
  origin text,
  account_id text,
  login text,
  login_folded text,
  applied_sealed blob,
  desired_fp text,
  policy_revision text,
  in_doubt text,
  attempts integer not null default 0,
  last_error text,
  verified_at integer,
  awaiting text,
  seat_approved_at integer,
  join_approved_at integer,
  failed_at integer,
  seat integer not null default 0, -- 1: counts against max_accounts
  lease_owner text,
  lease_until integer,
  leased_at integer not null,
  fence integer not null,
  primary key (upstream, issuer, subject)
);
-- No two people own one account, whatever races.
create unique index account_owner on account (upstream, account_id) where account_id is not null;
create unique index account_login on account (upstream, login_folded) where login_folded is not null;
create index account_state on account (upstream, state, leased_at);
create index account_seat on account (upstream) where seat = 1;

-- When people were here by a token last. The row without a person says since when that is written down.
create table account_use (
  upstream text not null,
  issuer text not null,
  subject text not null,
  used_at integer not null,
  primary key (upstream, issuer, subject)
);

-- What a person is signed in with at an app that reads no header (sign-in mode session_bridge).
create table person_secret (
  upstream text not null,
  issuer text not null,
  subject text not null,
  tag blob not null, -- another one whenever the secret is
  sealed blob not null,
  made_at integer not null,
  proven_at integer, -- null: it has not let them in yet
  primary key (upstream, issuer, subject)
);

create table signing_key (
  kid text not null primary key,
  public blob not null,
  sealed blob not null,
  created_at integer not null
);

-- The last sign-in of each person at each provider. `person` is a keyed hash of provider, issuer and subject; so are the other two of what they are named after.
create table sign_in (
  person blob not null primary key,
  subject_key blob not null,
  email_key blob,
  sealed blob not null, -- the identity as asserted
  auth_time integer not null,
  at integer not null
);
create index sign_in_subject on sign_in (subject_key);
create index sign_in_email on sign_in (email_key) where email_key is not null;
create index sign_in_at on sign_in (at);

-- What stood behind a page that said no. `code` is the incident code as a number of forty bits; `person` is 1 when somebody was signed in,
-- and `person_key` then a keyed hash of issuer and subject.
create table incident (
  code integer not null primary key,
  at integer not null,
  person integer not null,
  person_key blob,
  sealed blob not null
);
create index incident_at on incident (at);
create index incident_person on incident (person, at);
create index incident_person_key on incident (person_key, at) where person_key is not null;
