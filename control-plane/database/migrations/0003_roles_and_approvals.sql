-- Leads are engineers who also take over jobs; auditors read everything of the provider.
alter table people drop constraint people_role_check;
alter table people add constraint people_role_check
  check (role in ('client', 'engineer', 'lead', 'auditor', 'admin'));
update people set role = 'lead'
  where role = 'engineer' and id in (select person_id from documents where kind = 'lead');

-- How many engineers must have signed the order before its agent gets it, and who answers for the job.
alter table jobs add column engineers_needed integer not null default 1;
alter table jobs add column owner_id uuid references people;
update jobs set owner_id = ordered_by;
create index jobs_owner_open on jobs (owner_id) where ended_at is null;
create index jobs_proposed on jobs (start_before) where state = 'proposed';

-- Who signed an order, in the order they did.
create table job_signatures (
  job_id uuid not null references jobs,
  person_id uuid not null references people,
  signed_at timestamptz not null default now(),
  primary key (job_id, person_id)
);
insert into job_signatures (job_id, person_id, signed_at)
  select id, ordered_by, created_at from jobs where ordered_by is not null;
