-- The schema of version 1, as files made by it have it: what the steps of `src/state/sqlite/steps` begin with.
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
  used_at integer
);
create index pending_login_expiry on pending_login (expires_at);

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

create table signing_key (
  kid text not null primary key,
  public blob not null,
  sealed blob not null,
  created_at integer not null
);
