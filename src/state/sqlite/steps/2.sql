-- From version 1 to 2: recorded sign-ins and incidents; approval and seats of accounts.

alter table account add column awaiting text;
alter table account add column approved_at integer;
alter table account add column failed_at integer;
alter table account add column seat integer not null default 0;
update account set seat = 1 where (account_id is not null and origin in ('created', 'adopted')) or (account_id is null and in_doubt is not null);
create index account_seat on account (upstream) where seat = 1;

create table sign_in (
  person blob not null primary key,
  subject_key blob not null,
  email_key blob,
  sealed blob not null,
  auth_time integer not null,
  at integer not null
);
create index sign_in_subject on sign_in (subject_key);
create index sign_in_email on sign_in (email_key) where email_key is not null;
create index sign_in_at on sign_in (at);

create table incident (
  code integer not null primary key,
  at integer not null,
  person integer not null,
  sealed blob not null
);
create index incident_at on incident (at);
create index incident_person on incident (person, at);
