-- What an engineer confirmed a server to be; in rescue, orders that change something expect exactly this.
alter table servers add column identity jsonb;
alter table servers add column identified_by uuid references people;
alter table servers add column identified_at timestamptz;
alter table servers add constraint servers_identified
  check ((identity is null) = (identified_at is null));
