-- From version 4 to 5: sign-ins under way know by which ticket they came, and from where.

alter table pending_login add column ticket blob; -- key of the one it came by
alter table pending_login add column client blob; -- keyed hash of the address it was begun from
alter table pending_login add column kept_at integer;
create index pending_login_ticket on pending_login (ticket, kept_at) where ticket is not null;
create index pending_login_client on pending_login (client, kept_at) where client is not null;
