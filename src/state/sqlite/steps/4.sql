-- From version 3 to 4: what a provider has posted is kept apart from sign-ins under way; secrets of people at apps that read no header; uses by
-- token.

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

create table account_use (
  upstream text not null,
  issuer text not null,
  subject text not null,
  used_at integer not null,
  primary key (upstream, issuer, subject)
);
