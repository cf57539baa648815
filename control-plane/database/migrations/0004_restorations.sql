-- When this database was put back from a backup. What was issued between the backup and that moment is not known
-- here, and is not a sign of fraud.
create table restorations (
  id uuid primary key,
  taken_at timestamptz not null,
  restored_at timestamptz not null default clock_timestamp()
);
