-- From version 2 to 3: two approvals where there was one; incidents know whose they are.

alter table account add column seat_approved_at integer;
alter table account add column join_approved_at integer;
-- One yes stood for both. It is kept for what it can have been about, and for nothing else: memberships are waited for by accounts that were taken over, a seat by
-- those that were made or are not there yet. Where an account is left as it is, nothing was ever approved that still counts.
update account set join_approved_at = approved_at where origin = 'adopted';
update account set seat_approved_at = approved_at where origin is null or origin = 'created';
alter table account drop column approved_at;

alter table incident add column person_key blob;
create index incident_person_key on incident (person_key, at) where person_key is not null;
