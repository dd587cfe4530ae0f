-- What a time-tracking system keeps of the systems around it, for MySQL 8 and MariaDB. Each row carries the tenant it belongs to, and
-- things that several systems have (customers, projects, …) carry the system they come from: 'economic', 'rackbeat', 'clockodo', …
--
-- The collation `utf8mb4_bin` makes keys differ that differ in case, accents or a blank at the end, as they do at the systems they come
-- from.
--
-- There are no foreign keys between things that arrive by themselves: an order may come before its customer, and a customer may
-- go before its last order. Numbers of customers, products and projects are texts everywhere, as letters and leading zeros occur.

-- orders, products, invoices (e-conomic, Rackbeat, SmartTID)

create table jobs (  -- an order is a job to book hours on
  tenant           varchar(120)   not null,
  `system`         varchar(120)   not null,
  job_no           bigint         not null,
  description      text,
  customer_no      varchar(120),
  project_no       text,
  reference        text,  -- the customer's own
  status           varchar(40)    check (status in ('draft', 'sent', 'booked', 'archived', 'cancelled')),
  currency         text,
  net_amount       decimal(24, 6),
  vat_amount       decimal(24, 6),
  order_date       date,
  delivery_date    date,
  delivery_address text,
  delivery_zip     text,
  delivery_city    text,
  primary key (tenant, `system`, job_no)
) character set utf8mb4 collate utf8mb4_bin;
create index jobs_by_customer on jobs (tenant, `system`, customer_no);

create table job_lines (
  tenant      varchar(120)   not null,
  `system`    varchar(120)   not null,
  job_no      bigint         not null,
  line_no     bigint         not null,
  product_no  varchar(120),  -- letters and underscores occur: BR_45x95
  description text,
  unit        text,
  quantity    decimal(24, 6),
  net_price   decimal(24, 6),
  net_amount  decimal(24, 6),
  primary key (tenant, `system`, job_no, line_no)
) character set utf8mb4 collate utf8mb4_bin;
create index job_lines_by_product on job_lines (tenant, `system`, product_no);

create table quotes (
  tenant      varchar(120)   not null,
  `system`    varchar(120)   not null,
  quote_no    bigint         not null,
  description text,
  customer_no varchar(120),
  project_no  text,
  status      varchar(40)    check (status in ('draft', 'sent', 'booked', 'archived', 'cancelled')),
  currency    text,
  net_amount  decimal(24, 6),
  vat_amount  decimal(24, 6),
  quote_date  date,
  due_date    date,
  primary key (tenant, `system`, quote_no)
) character set utf8mb4 collate utf8mb4_bin;

create table quote_lines (
  tenant      varchar(120)   not null,
  `system`    varchar(120)   not null,
  quote_no    bigint         not null,
  line_no     bigint         not null,
  product_no  varchar(120),
  description text,
  unit        text,
  quantity    decimal(24, 6),
  net_price   decimal(24, 6),
  net_amount  decimal(24, 6),
  primary key (tenant, `system`, quote_no, line_no)
) character set utf8mb4 collate utf8mb4_bin;

create table invoices (  -- drafts and booked invoices are numbered apart
  tenant           varchar(120)   not null,
  `system`         varchar(120)   not null,
  kind             varchar(40)    not null check (kind in ('draft', 'booked')),
  invoice_no       bigint         not null,
  job_no           bigint,          -- the order it came from
  customer_no      varchar(120),
  currency         text,
  net_amount       decimal(24, 6),
  vat_amount       decimal(24, 6),
  gross_amount     decimal(24, 6),
  remaining_amount decimal(24, 6),  -- 0.00 once it is paid
  invoice_date     date,
  due_date         date,
  primary key (tenant, `system`, kind, invoice_no)
) character set utf8mb4 collate utf8mb4_bin;
create index invoices_by_job on invoices (tenant, `system`, job_no);
create index invoices_by_customer on invoices (tenant, `system`, customer_no);

create table invoice_lines (
  tenant      varchar(120)   not null,
  `system`    varchar(120)   not null,
  kind        varchar(40)    not null check (kind in ('draft', 'booked')),
  invoice_no  bigint         not null,
  line_no     bigint         not null,
  product_no  varchar(120),
  description text,
  unit        text,
  quantity    decimal(24, 6),
  net_price   decimal(24, 6),
  net_amount  decimal(24, 6),
  primary key (tenant, `system`, kind, invoice_no, line_no)
) character set utf8mb4 collate utf8mb4_bin;

create table customers (
  tenant           varchar(120) not null,
  `system`         varchar(120) not null,
  customer_no      varchar(120) not null,
  name             text,
  email            text,
  phone            text,
  address          text,
  zip              text,
  city             text,
  country          text,
  vat_no           text,
  currency         text,
  payment_terms_no text,
  active           boolean,
  primary key (tenant, `system`, customer_no)
) character set utf8mb4 collate utf8mb4_bin;

create table projects (
  tenant      varchar(120)   not null,
  `system`    varchar(120)   not null,
  project_no  varchar(120)   not null,
  name        text,
  description text,
  customer_no varchar(120),
  group_no    text,
  manager_no  text,  -- the employee who answers for it
  fixed_price decimal(24, 6),
  active      boolean,
  starts_on   date,
  ends_on     date,
  primary key (tenant, `system`, project_no)
) character set utf8mb4 collate utf8mb4_bin;
create index projects_by_customer on projects (tenant, `system`, customer_no);

create table products (
  tenant      varchar(120)   not null,
  `system`    varchar(120)   not null,
  product_no  varchar(120)   not null,
  name        text,
  description text,
  group_no    text,
  unit        text,
  barcode     varchar(120),
  cost_price  decimal(24, 6),
  sales_price decimal(24, 6),
  is_bundle   boolean,  -- a bill of materials
  active      boolean,
  primary key (tenant, `system`, product_no)
) character set utf8mb4 collate utf8mb4_bin;
create index products_by_barcode on products (tenant, barcode);

create table stock (
  tenant                 varchar(120)   not null,
  `system`               varchar(120)   not null,
  product_no             varchar(120)   not null,
  in_stock               decimal(24, 6),
  available              decimal(24, 6),
  ordered_by_customers   decimal(24, 6),
  ordered_from_suppliers decimal(24, 6),
  primary key (tenant, `system`, product_no)
) character set utf8mb4 collate utf8mb4_bin;

create table terms (  -- of payment and of delivery
  tenant   varchar(120) not null,
  `system` varchar(120) not null,
  kind     varchar(40)  not null check (kind in ('payment', 'delivery')),
  terms_no varchar(120) not null,
  name     text,
  primary key (tenant, `system`, kind, terms_no)
) character set utf8mb4 collate utf8mb4_bin;

create table cashbook_bookings (  -- which entries of a cashbook were booked
  tenant      varchar(120) not null,
  `system`    varchar(120) not null,
  cashbook_no bigint       not null,
  from_entry  bigint       not null,
  to_entry    bigint       not null,
  booked_at   datetime(6),
  primary key (tenant, `system`, cashbook_no, from_entry, to_entry),
  check (from_entry <= to_entry)
) character set utf8mb4 collate utf8mb4_bin;

create table smarttid_rows (  -- what SmartTID's own tables hold, row by row
  tenant     varchar(120) not null,
  table_name varchar(120) not null,
  row_id     varchar(120) not null,
  data       json         not null,
  primary key (tenant, table_name, row_id)
) character set utf8mb4 collate utf8mb4_bin;

-- people, absences, time (TimeMoto, Clockodo)
--
-- Moments are in UTC. Ids that several systems use are texts, those of one provider numbers.

-- People, by the system that knows them: TimeMoto's GUIDs and Clockodo's numbers are different keys.
create table employees (
  tenant               varchar(120) not null,
  `system`             varchar(120) not null,  -- timemoto, clockodo
  employee_id          varchar(120) not null,
  employee_no          text,                   -- the employer's own number; may be missing, may occur twice
  name                 text,
  initials             text,
  email                text,
  role                 text,
  team_id              bigint,
  manager_id           text,
  nonbusiness_group_id bigint,                 -- whose public holidays apply
  language             text,
  time_zone            text,
  starts_on            date,
  active               boolean,
  payload              json,                   -- all that came, where no document says what comes
  primary key (tenant, `system`, employee_id)
) character set utf8mb4 collate utf8mb4_bin;

create table teams (
  tenant    varchar(120) not null,
  team_id   bigint       not null,
  name      text         not null,
  leader_id text,
  primary key (tenant, team_id)
) character set utf8mb4 collate utf8mb4_bin;

-- Which public holidays apply to whom.
create table nonbusiness_groups (
  tenant     varchar(120) not null,
  group_id   bigint       not null,
  name       text         not null,
  is_default boolean,
  primary key (tenant, group_id)
) character set utf8mb4 collate utf8mb4_bin;

create table absences (
  tenant       varchar(120) not null,
  absence_id   bigint       not null,
  employee_id  varchar(120) not null,
  starts_on    date         not null,
  ends_on      date,                   -- the last day; null while it is open
  status       varchar(40)  not null,
  kind         bigint       not null,  -- 1 holiday, 3 overtime reduction, 4 sick, 8 home office; up to 15
  days         decimal(24, 6),
  hours        decimal(24, 6),
  sick_note    boolean,
  note         text,
  requested_on date,
  decided_on   date,
  decided_by   text,
  primary key (tenant, absence_id),
  check (status in ('requested', 'approved', 'declined', 'approval cancelled', 'request cancelled', 'unknown')),
  check (ends_on is null or ends_on >= starts_on)
) character set utf8mb4 collate utf8mb4_bin;
create index absences_of on absences (tenant, employee_id, starts_on);

-- Days of holiday a year, from a year on.
create table holiday_quotas (
  tenant      varchar(120)   not null,
  quota_id    bigint         not null,
  employee_id varchar(120)   not null,
  year_from   bigint         not null,
  year_to     bigint,  -- null: until further notice
  days        decimal(24, 6) not null,
  note        text,
  primary key (tenant, quota_id),
  check (year_to is null or year_to >= year_from)
) character set utf8mb4 collate utf8mb4_bin;
create index holiday_quotas_of on holiday_quotas (tenant, employee_id, year_from);

-- Days taken over from the year before; may be negative.
create table holiday_carries (
  tenant      varchar(120)   not null,
  carry_id    bigint         not null,
  employee_id varchar(120)   not null,
  year        bigint         not null,
  days        decimal(24, 6) not null,
  note        text,
  primary key (tenant, carry_id)
) character set utf8mb4 collate utf8mb4_bin;
create index holiday_carries_of on holiday_carries (tenant, employee_id, year);

-- Hours taken over from the year before; may be negative.
create table overtime_carries (
  tenant      varchar(120)   not null,
  carry_id    bigint         not null,
  employee_id varchar(120)   not null,
  year        bigint         not null,
  hours       decimal(24, 6) not null,
  note        text,
  primary key (tenant, carry_id)
) character set utf8mb4 collate utf8mb4_bin;
create index overtime_carries_of on overtime_carries (tenant, employee_id, year);

create table subprojects (
  tenant        varchar(120) not null,
  subproject_id bigint       not null,
  project_no    text         not null,
  name          text         not null,
  display_no    text,
  note          text,
  completed     boolean,
  billed        boolean,
  primary key (tenant, subproject_id)
) character set utf8mb4 collate utf8mb4_bin;

-- Of projects that have one.
create table project_budgets (
  tenant           varchar(120) not null,
  project_no       varchar(120) not null,
  amount           decimal(24, 6),
  monetary         boolean,  -- money, else hours
  hard             boolean,  -- nothing may be booked beyond it
  from_subprojects boolean,
  primary key (tenant, project_no)
) character set utf8mb4 collate utf8mb4_bin;

-- Each time a project or subproject has used up a part of its budget.
create table budget_notices (
  tenant     varchar(120) not null,
  scope      varchar(120) not null,
  scope_id   bigint       not null,  -- the project's or the subproject's id
  threshold  bigint       not null,  -- percent
  noticed_at datetime(6)  not null,
  primary key (tenant, scope, scope_id, threshold, noticed_at),
  check (scope in ('project', 'subproject'))
) character set utf8mb4 collate utf8mb4_bin;

-- What time is booked as.
create table services (
  tenant     varchar(120) not null,
  service_id bigint       not null,
  name       text         not null,
  display_no text,
  active     boolean,
  note       text,
  primary key (tenant, service_id)
) character set utf8mb4 collate utf8mb4_bin;

-- What is booked by the piece.
create table lump_sum_services (
  tenant     varchar(120) not null,
  service_id bigint       not null,
  name       text         not null,
  display_no text,
  price      decimal(24, 6),
  unit       text,
  active     boolean,
  note       text,
  primary key (tenant, service_id)
) character set utf8mb4 collate utf8mb4_bin;

create table time_entries (
  tenant      varchar(120) not null,
  entry_id    bigint       not null,
  kind        varchar(40)  not null,  -- time, a lump sum, or pieces of a lump-sum service
  employee_id varchar(120) not null,
  customer_no text,
  project_no  varchar(120),
  service_id  bigint,
  description text,
  started_at  datetime(6),
  ended_at    datetime(6),            -- null while the clock runs
  seconds     bigint,
  billable    bigint,                 -- as Clockodo counts it: 0 no, 1 yes
  hourly_rate decimal(24, 6),
  clocked     boolean,                -- by the clock, not by hand
  primary key (tenant, entry_id),
  check (kind in ('time', 'lump sum', 'lump-sum service', 'unknown'))
) character set utf8mb4 collate utf8mb4_bin;
create index time_entries_of on time_entries (tenant, employee_id, started_at);
create index time_entries_on on time_entries (tenant, project_no);

-- Wishes to change what was clocked on a day, with the changes that are wished for.
create table change_requests (
  tenant       varchar(120) not null,
  request_id   bigint       not null,
  employee_id  varchar(120) not null,
  day          date         not null,
  status       bigint       not null,  -- Clockodo's number
  declined_at  datetime(6),
  declined_by  text,
  requested_at datetime(6),
  primary key (tenant, request_id)
) character set utf8mb4 collate utf8mb4_bin;
create index change_requests_of on change_requests (tenant, employee_id, day);

create table change_request_items (
  tenant     varchar(120) not null,
  request_id bigint       not null,
  item_no    bigint       not null,
  kind       bigint       not null,  -- Clockodo's number
  starts_at  datetime(6),
  ends_at    datetime(6),
  primary key (tenant, request_id, item_no)
) character set utf8mb4 collate utf8mb4_bin;

-- Each time somebody clocked in or out at a TimeMoto terminal.
create table attendance (
  tenant        varchar(120) not null,
  clocking_id   varchar(120) not null,
  record_hash   bigint,                 -- signed, 64 bits
  employee_id   varchar(120) not null,
  employee_no   text,
  employee_name text,
  card_no       text,
  direction     varchar(40)  not null,
  clocked_at    datetime(6)  not null,
  rounded_at    datetime(6),
  clocked_local datetime(6)  not null,  -- what the terminal showed, in time_zone
  time_zone     text         not null,
  inserted_at   datetime(6),            -- when TimeMoto had it
  terminal      text,
  department    text,
  location      text,
  project_no    text,
  absence_type  text,
  pair_id       text,                   -- the in and the out that belong together
  ignored       boolean,
  note          text,
  sequence      bigint       not null,
  primary key (tenant, clocking_id),
  check (direction in ('in', 'out'))
) character set utf8mb4 collate utf8mb4_bin;
create index attendance_of on attendance (tenant, employee_id, clocked_at);
