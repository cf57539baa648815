-- How much of a job's journal is stored: an agent that is broken must not fill the database with it.
alter table jobs add column journal_bytes bigint not null default 0;
