create table people (
  person_id      text primary key,
  email          text,
  first_name     text,
  last_name      text,
  preferred_name text,
  created_at     timestamp_text,
  updated_at     timestamp_text
);
