-- A repository is known by its id, which stays when it is renamed; its name stands beside it.
create table issues (
  repository_id integer not null,
  number        integer not null,
  repository    text    not null,
  title         text    not null,
  state         text    not null,
  author        text,
  labels        json_text,
  assignees     json_text,
  created_at    timestamp_text,
  updated_at    timestamp_text,
  closed_at     timestamp_text,
  primary key (repository_id, number)
);

create table pull_requests (
  repository_id integer not null,
  number        integer not null,
  repository    text    not null,
  title         text    not null,
  state         text    not null,
  draft         boolean,
  merged        boolean,
  author        text,
  base          text,
  head          text,
  commit_sha    text,
  created_at    timestamp_text,
  updated_at    timestamp_text,
  merged_at     timestamp_text,
  primary key (repository_id, number)
);

create table releases (
  repository_id integer not null,
  release_id    integer not null,
  repository    text    not null,
  tag_name      text    not null,
  name          text,
  draft         boolean,
  prerelease    boolean,
  published_at  timestamp_text,
  primary key (repository_id, release_id)
);

create table pushes (
  repository_id integer not null,
  ref           text    not null,
  commit_sha    text    not null,
  repository    text    not null,
  pusher        text,
  commits       integer,
  forced        boolean,
  pushed_at     timestamp_text,
  primary key (repository_id, ref, commit_sha)
);
