create table meta (
    only_row integer primary key check (only_row = 1),
    state_id blob not null,
    schema integer not null,
    min_binary integer not null,
    master_key_check blob
) strict;

-- name `fence`: one for all lanes, never reset
create table counter (name text primary key, value integer not null) strict, without rowid;
insert into counter (name, value) values ('fence', 0);

create table tenant (
    tenant_id integer primary key autoincrement,
    name text not null unique,
    created_at integer not null
) strict;

create table api_key (
    api_key_id integer primary key autoincrement,
    tenant_id integer not null,
    source text not null,
    description text not null,
    sha256 blob not null unique,
    ending text not null,
    created_at integer not null,
    last_used_at integer,
    revoked_at integer
) strict;

-- sealed: endpoint id, open and secret fields, under the tenant's data key and bound to this row, tenant and source
create table integration (
    integration_id integer primary key autoincrement,
    tenant_id integer not null,
    source text not null,
    endpoint_sha256 blob not null unique,
    description text not null,
    created_at integer not null,
    changed_at integer not null,
    last_used_at integer,
    revoked_at integer,
    key_id integer not null,
    sealed blob not null
) strict;

-- password: an Argon2id hash with its salt and costs
create table user (
    user_id integer primary key autoincrement,
    name text not null unique,
    role text not null,
    password text not null,
    created_at integer not null,
    changed_at integer not null
) strict;

-- tenant 0: no tenant
-- admit_hash: what the lanes of the open records were computed by
-- readmit_after: while they are admitted again, the last that was; nothing is claimed then
-- needs_attention: 1 when it waits because the provider refuses the credentials
create table pool (
    pool_id integer primary key autoincrement,
    source text not null,
    tenant_id integer not null default 0,
    paused_until integer,
    reason text,
    needs_attention integer not null default 0,
    admit_hash blob,
    readmit_after integer,
    unique (source, tenant_id)
) strict;

create table data_key (
    key_id integer primary key autoincrement,
    tenant_id integer not null,
    wrapped blob not null
) strict;
create index data_key_of_tenant on data_key (tenant_id);

-- pool_id: of the tenant whose credentials brought it; its request is sealed with that tenant's key
create table delivery (
    delivery_row integer primary key,
    id blob not null unique,
    pool_id integer not null,
    received_at integer not null,
    admit_hash blob not null,
    bundle_hash blob not null,
    caller text not null,
    raw_sha256 blob not null,
    raw_bytes integer not null,
    masked blob
) strict;
-- people name a delivery by the end of its id
create index delivery_ending on delivery (substr(id, 13));

-- apart from delivery, so that bodies can go while the rest stays
create table delivery_raw (
    delivery_row integer primary key,
    key_id integer not null,
    sealed blob not null
) strict;

-- kind: 0 for records, 1 for forwards
-- due_at: null while nothing waits; the end of the lease while it is claimed
-- done_record: the newest record that took effect, by the id of its first run
-- idle_since: when it was first seen with nothing waiting; null once something arrives
-- waiting: open records and gates that stand in line; gates: how many of these are gates
-- held_by: the record of several lanes that it sleeps for: its gate, or itself while its gates are not all at their heads
create table lane (
    lane_id integer primary key autoincrement,
    hash blob not null unique,
    pool_id integer not null,
    next_pos integer not null,
    waiting integer not null,
    due_at integer,
    quiet_until integer,
    first_at integer,
    retry_at integer,
    most integer not null default 0,
    label blob,
    owner integer,
    fence integer not null default 0,
    done_pos integer,
    done_record integer,
    idle_since integer,
    kind integer not null default 0,
    gates integer not null default 0,
    held_by integer
) strict;
create index lane_due on lane (pool_id, due_at) where kind = 0 and due_at is not null;
create index lane_due_forward on lane (pool_id, due_at) where kind = 1 and due_at is not null;

-- the places of records in the lanes that are not their own: what comes behind waits for the record
create table gate (
    lane_id integer not null,
    pos integer not null,
    record_id integer not null,
    primary key (lane_id, pos)
) strict, without rowid;
create index gate_of_record on gate (record_id);

-- what is still to be known of lanes that were idle and are gone: a replay must not undo what is newer
create table former_lane (
    hash blob primary key,
    pool_id integer not null,
    done_record integer not null
) strict, without rowid;

-- state: 0 open 1 done 2 ignored 3 superseded 4 dead 5 discarded
-- asked: 1 to be admitted again in the same run, 2 in a new one; 3 and 4 the same though the lane has moved on
-- asked + 4: and its forwards are sent again; forwards: 0 for a run that sends none
-- first_run: the id of its first run, when it is not that
-- pool_id, integration_id: whose it is, which within one delivery may differ
-- gates: how many other lanes it waits in
-- aside_until: it failed for so long that others may pass; it stands in no line until then, its position beyond all others
-- passed: once that was so, what its lane's done_record was at that time, 0 for none
create table record (
    id integer primary key,
    delivery_row integer not null,
    pool_id integer not null,
    integration_id integer,
    record_no integer not null,
    run integer not null default 1,
    lane_id integer,
    pos integer,
    event text,
    state integer not null default 0,
    work_hash blob,
    item_sha256 blob not null,
    attempts integer not null default 0,
    first_failed_at integer,
    reason text,
    superseded_by integer,
    finished_at integer,
    asked integer not null default 0,
    first_run integer,
    gates integer not null default 0,
    aside_until integer,
    passed integer,
    forwards integer not null default 1,
    check (state in (2, 3, 4, 5) or lane_id is not null)
) strict;
create unique index record_once on record (delivery_row, record_no, run);
create index record_open on record (lane_id, pos) where state = 0;
create index record_open_of_pool on record (pool_id, id) where state = 0;
create index record_dead on record (finished_at) where state = 4;
create index record_asked on record (id) where asked > 0;
create index record_aside on record (aside_until) where aside_until is not null;

-- what is to be sent elsewhere once a record is done
-- state: 0 open 1 done 4 dead 5 discarded
-- id: a UUIDv7, sent along; lane_hash: the lane it waits in, to be found again when that was idle and is gone
-- sealed: what it is made of besides the request, under the tenant's data key; content: its last attempt
-- refused: 1 while it waits because the credentials were refused
create table forward_job (
    id blob primary key not null,
    record_id integer not null,
    target text not null,
    lane_hash blob not null,
    pool_id integer not null,
    lane_id integer,
    pos integer,
    state integer not null default 0,
    attempts integer not null default 0,
    first_failed_at integer,
    reason text,
    finished_at integer,
    key_id integer not null,
    sealed blob not null,
    content blob,
    refused integer not null default 0,
    check (state in (1, 4, 5) or lane_id is not null)
) strict;
create index forward_open on forward_job (lane_id, pos) where state = 0;
create index forward_of_record on forward_job (record_id);
create index forward_dead on forward_job (finished_at) where state = 4;

create table sender_id (
    hash blob primary key,
    delivery_id blob not null,
    record_no integer not null,
    expires_at integer not null,
    remembered_at integer not null
) strict, without rowid;
create index sender_id_expiry on sender_id (expires_at);

create table attempt (
    attempt_id integer primary key,
    record_id integer not null,
    content blob not null
) strict;
create index attempt_of_record on attempt (record_id);

-- one row a window; window 0 carries the pause
create table budget (
    name text not null,
    window_us integer not null,
    tat integer not null default 0,
    paused_until integer,
    primary key (name, window_us)
) strict, without rowid;

create table bundle (
    hash blob primary key,
    source text not null,
    content blob not null,
    admit_hash blob not null,
    epoch integer not null unique,
    activated_at integer not null,
    retired_at integer
) strict;
create index bundle_of_source on bundle (source, epoch);

create table onboarding_window (
    source text primary key,
    opened_at integer not null,
    until integer not null,
    dropped integer not null default 0
) strict, without rowid;

-- hash: keyed, of source, name and value; sealed: the value, under the key of no tenant
create table handshake_value (
    value_id integer primary key,
    source text not null,
    name text not null,
    hash blob not null unique,
    key_id integer not null,
    sealed blob not null,
    first_at integer not null,
    last_at integer not null,
    times integer not null,
    peer text
) strict;
create index handshake_value_of_source on handshake_value (source);
