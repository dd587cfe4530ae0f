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
