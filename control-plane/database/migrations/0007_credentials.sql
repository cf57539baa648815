-- Secrets that clients gave to agents, and secrets that jobs made for clients. Sealed (age) to the one or the other:
-- nobody here can open them. `sealed` is null once it was opened, was withdrawn, or can be used no more.
create table credentials (
  id uuid primary key,
  number bigint generated always as identity (start with 101) unique,
  account_id uuid not null references accounts,
  server_id uuid not null references servers,
  kind text not null check (kind in ('given', 'made')),
  -- the action's input, or what the job calls what it made
  name text not null,
  action text not null,
  -- what was given: for which grant, and the client's signature on that
  grant_id uuid references grants,
  envelope bytea,
  created_by uuid references people,
  -- what was made: by which job
  job_id uuid references jobs,
  -- of the envelope of what was given; of the sealed bytes of what was made
  digest text not null,
  sealed bytea,
  created_at timestamptz not null default now(),
  opened_at timestamptz,
  opened_by uuid references people,
  check ((kind = 'given') = (grant_id is not null and envelope is not null)),
  check ((kind = 'made') = (job_id is not null)),
  check (opened_at is null or kind = 'made' and sealed is null)
);
create unique index credentials_given on credentials (digest) where kind = 'given';
create unique index credentials_made on credentials (job_id, name) where kind = 'made';
create index credentials_account on credentials (account_id, number desc);
create index credentials_grant on credentials (grant_id) where kind = 'given';

-- What of it an order names.
create table job_credentials (
  job_id uuid not null references jobs,
  credential_id uuid not null references credentials,
  primary key (job_id, credential_id)
);
create index job_credentials_credential on job_credentials (credential_id);

alter table revocations drop constraint revocations_kind_check;
alter table revocations add constraint revocations_kind_check check (kind in ('grant', 'key', 'credential'));
