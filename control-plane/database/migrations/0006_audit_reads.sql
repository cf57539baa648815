-- When somebody was last told in the audit to have read something: following a log is one entry, not thousands.
create table audit_reads (
  person_id uuid not null references people,
  kind text not null,
  subject text not null,
  at timestamptz not null default now(),
  primary key (person_id, kind, subject)
);
