-- Ids are UUIDs made by the control plane (or signed into documents); numbers are what people say aloud.

create table accounts (
  id uuid primary key,
  name text not null unique,
  created_at timestamptz not null default now()
);

-- People of the provider have no account; clients have exactly one.
create table people (
  id uuid primary key,
  account_id uuid references accounts,
  name text not null,
  role text not null check (role in ('client', 'engineer', 'admin')),
  created_at timestamptz not null default now(),
  removed_at timestamptz,
  check ((role = 'client') = (account_id is not null))
);
create unique index people_name on people (name) where removed_at is null;

-- Bearer tokens of people, and one-use invitations that turn into one. Only hashes are kept.
create table tokens (
  id uuid primary key,
  person_id uuid not null references people,
  kind text not null check (kind in ('api', 'invitation')),
  hash bytea not null unique,
  label text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  used_at timestamptz,
  revoked_at timestamptz
);

-- Chains of signed documents: operator root, account keys; and certifications of leads and engineers.
create table documents (
  digest text primary key,
  kind text not null check (kind in ('root', 'lead', 'engineer', 'account-keys')),
  account_id uuid references accounts,
  person_id uuid,
  version integer,
  expires_at timestamptz,
  envelope bytea not null,
  created_at timestamptz not null default now()
);
create unique index documents_root_version on documents (version) where kind = 'root';
create unique index documents_account_keys_version on documents (account_id, version) where kind = 'account-keys';
create index documents_person on documents (person_id, kind, created_at);

create table servers (
  id uuid primary key,
  account_id uuid not null references accounts,
  name text not null,
  service_id text,
  addresses text[] not null default '{}',
  created_at timestamptz not null default now(),
  unique (account_id, name)
);

create table enrollments (
  id uuid primary key,
  server_id uuid not null references servers,
  mode text not null check (mode in ('rescue', 'resident')),
  token_hash bytea not null unique,
  created_by uuid not null references people,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);

-- Tokens that were used: one that is seen again was stolen, or somebody else was faster.
create table burnt_enrollments (
  token_hash bytea primary key,
  server_id uuid not null references servers,
  burnt_at timestamptz not null default now()
);

create table agents (
  id uuid primary key,
  server_id uuid not null references servers,
  account_id uuid not null references accounts,
  mode text not null check (mode in ('rescue', 'resident')),
  key jsonb not null,
  key_fingerprint text not null unique,
  age_recipient text not null,
  version text not null default '',
  facts jsonb not null default '{}',
  actions jsonb not null default '[]',
  document_types text[] not null default '{}',
  locked boolean not null default false,
  certificate_serial text not null unique,
  certificate_expires_at timestamptz not null,
  previous_serial text,
  -- the certificate of `certificate_serial`, the hash of the request it answered, and whether the agent
  -- has been seen with it: until then its answer may have been lost
  certificate bytea not null,
  certificate_request_hash bytea not null,
  certificate_used boolean not null default false,
  quarantined_at timestamptz,
  replaced_at timestamptz,
  connected_at timestamptz,
  last_seen_at timestamptz,
  created_at timestamptz not null default now()
);
create unique index agents_current on agents (server_id) where replaced_at is null;

create table interventions (
  id uuid primary key,
  number bigint generated always as identity (start with 1001) unique,
  account_id uuid not null references accounts,
  server_id uuid not null references servers,
  ticket text not null,
  description text not null default '',
  opened_by uuid references people,
  opened_at timestamptz not null default now(),
  closed_at timestamptz,
  next_job integer not null default 1
);
create index interventions_server on interventions (server_id, closed_at);

create table grants (
  id uuid primary key,
  number bigint generated always as identity (start with 301) unique,
  account_id uuid not null references accounts,
  kind text not null check (kind in ('grant', 'attestation')),
  ticket text not null,
  digest text not null unique,
  envelope bytea not null,
  content jsonb not null,
  signed_by text not null,
  not_before timestamptz not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now()
);
create table grant_servers (
  grant_id uuid not null references grants,
  server_id uuid not null references servers,
  primary key (grant_id, server_id)
);
create index grant_servers_server on grant_servers (server_id);

-- What no longer holds: ids of grants, fingerprints of keys. `envelope` is null where only the control
-- plane's word says so: refusing is always obeyed.
create table revocations (
  subject text not null,
  account_id uuid references accounts,
  kind text not null check (kind in ('grant', 'key')),
  after_step boolean not null default false,
  reason text not null default '',
  envelope bytea,
  revoked_by uuid references people,
  revoked_at timestamptz not null default now(),
  expires_at timestamptz,
  primary key (kind, subject)
);

create table jobs (
  id uuid primary key,
  account_id uuid not null references accounts,
  intervention_id uuid not null references interventions,
  number integer not null,
  server_id uuid not null references servers,
  agent_id uuid not null references agents,
  grant_id uuid references grants,
  action text not null,
  action_version integer not null,
  mode text not null check (mode in ('plan', 'apply', 'undo')),
  parameters jsonb not null,
  order_envelope bytea not null,
  order_digest text not null,
  plan_job_id uuid references jobs,
  undoes_job_id uuid references jobs,
  state text not null check (state in ('proposed', 'queued', 'delivered', 'running', 'succeeded', 'failed',
    'cancelled', 'timed_out', 'interrupted', 'refused', 'expired', 'abandoned')),
  reason text,
  detail text not null default '',
  ordered_by uuid references people,
  created_at timestamptz not null default now(),
  start_before timestamptz not null,
  delivered_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  cancel_requested text check (cancel_requested in ('now', 'after_step')),
  exit_status integer,
  result jsonb,
  plan_envelope bytea,
  plan_digest text,
  accepted_receipt bytea,
  final_receipt bytea,
  next_event integer not null default 1,
  next_sequence bigint not null default 0,
  log_offset bigint not null default 0,
  log_lines bigint not null default 0,
  log_length bigint,
  log_digest text,
  log_verified boolean,
  unique (intervention_id, number)
);
create index jobs_agent_open on jobs (agent_id) where ended_at is null;
create index jobs_queued on jobs (start_before) where state = 'queued';
create index jobs_unverified on jobs (ended_at) where log_digest is not null and log_verified is null;
create index jobs_account on jobs (account_id, created_at desc);
create index jobs_undoes on jobs (undoes_job_id) where undoes_job_id is not null;
-- Not unique: planning twice in the same state makes the same bytes.
create index jobs_plan_digest on jobs (plan_digest) where plan_digest is not null;

-- Every change of a job, and every record of its journal. `sequence` counts within a job.
create table job_events (
  job_id uuid not null references jobs,
  sequence integer not null,
  kind text not null check (kind in ('state', 'journal', 'alarm')),
  at timestamptz not null default now(),
  actor text not null,
  content jsonb not null,
  primary key (job_id, sequence)
);

-- The log as the agent encoded it. `day` is the day the job was ordered, so that old days can be dropped
-- whole; ranges of one job never overlap, because a chunk is only taken where the last one ended.
create table log_chunks (
  day date not null,
  job_id uuid not null,
  start bigint not null,
  length integer not null,
  first_line bigint not null,
  lines integer not null,
  compression smallint not null,
  data bytea not null,
  primary key (day, job_id, start)
) partition by range (day);
create table log_chunks_default partition of log_chunks default;
alter table log_chunks_default alter column data set storage external;

-- One hash chain per intervention, one per account for what belongs to none, one for the operator.
create table audit_entries (
  chain text not null,
  sequence bigint not null,
  at timestamptz not null,
  actor text not null,
  kind text not null,
  account_id uuid references accounts,
  content jsonb not null,
  -- the exact bytes that were hashed
  entry text not null,
  previous text not null,
  hash text not null,
  primary key (chain, sequence)
);

-- Adds an entry and returns its hash. One call: each statement in it sees what was committed when the chain's
-- lock was got. `rest` is the entry without what only is known here.
create function append_audit(
  to_chain text, at timestamptz, actor text, kind text, account_id uuid, content jsonb, rest text
) returns text language plpgsql as $$
declare
  last record;
  entry text;
  hash text;
begin
  perform pg_advisory_xact_lock(hashtextextended(to_chain, 0));
  select e.sequence, e.hash into last from audit_entries e
    where e.chain = to_chain order by e.sequence desc limit 1;
  entry := '{"previous":"' || coalesce(last.hash, repeat('0', 64)) || '","sequence":' ||
    coalesce(last.sequence, 0) + 1 || ',' || rest;
  hash := encode(sha256(convert_to(entry, 'UTF8')), 'hex');
  insert into audit_entries values (to_chain, coalesce(last.sequence, 0) + 1, at, actor, kind, account_id,
    content, entry, coalesce(last.hash, repeat('0', 64)), hash);
  return hash;
end $$;

-- Which certificate authority this database belongs to; its key is a file, never a row.
create table certificate_authority (
  id integer primary key check (id = 1),
  certificate bytea not null,
  created_at timestamptz not null default now()
);
