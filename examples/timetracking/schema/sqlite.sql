-- What a time-tracking system keeps of the systems around it. Each row carries the tenant it belongs to, and things that several
-- systems have (customers, projects, …) carry the system they come from: 'economic', 'rackbeat', 'clockodo', …
--
-- SQLite decides by the declared type's name how a column stores what it gets. `decimal` alone would make a floating-point
-- number of 3100.10; with `text` in the name the digits are kept as they were sent. `decimal_text` and `date_text` therefore say
-- two things: text to SQLite, and a decimal or a date to Hooktable, which checks values against it.
--
-- There are no foreign keys between things that arrive by themselves: an order may come before its customer, and a customer may
-- go before its last order. Numbers of customers, products and projects are texts everywhere, as letters and leading zeros occur.

-- orders, products, invoices (e-conomic, Rackbeat, SmartTID)

create table jobs (  -- an order is a job to book hours on
  tenant           text         not null,
  system           text         not null,
  job_no           integer      not null,
  description      text,
  customer_no      text,
  project_no       text,
  reference        text,  -- the customer's own
  status           text         check (status in ('draft', 'sent', 'booked', 'archived', 'cancelled')),
  currency         text,
  net_amount       decimal_text,
  vat_amount       decimal_text,
  order_date       date_text,
  delivery_date    date_text,
  delivery_address text,
  delivery_zip     text,
  delivery_city    text,
  primary key (tenant, system, job_no)
);
create index jobs_by_customer on jobs (tenant, system, customer_no);

create table job_lines (
  tenant      text         not null,
  system      text         not null,
  job_no      integer      not null,
  line_no     integer      not null,
  product_no  text,  -- letters and underscores occur: BR_45x95
  description text,
  unit        text,
  quantity    decimal_text,
  net_price   decimal_text,
  net_amount  decimal_text,
  primary key (tenant, system, job_no, line_no)
);
create index job_lines_by_product on job_lines (tenant, system, product_no);

create table quotes (
  tenant      text         not null,
  system      text         not null,
  quote_no    integer      not null,
  description text,
  customer_no text,
  project_no  text,
  status      text         check (status in ('draft', 'sent', 'booked', 'archived', 'cancelled')),
  currency    text,
  net_amount  decimal_text,
  vat_amount  decimal_text,
  quote_date  date_text,
  due_date    date_text,
  primary key (tenant, system, quote_no)
);

create table quote_lines (
  tenant      text         not null,
  system      text         not null,
  quote_no    integer      not null,
  line_no     integer      not null,
  product_no  text,
  description text,
  unit        text,
  quantity    decimal_text,
  net_price   decimal_text,
  net_amount  decimal_text,
  primary key (tenant, system, quote_no, line_no)
);

create table invoices (  -- drafts and booked invoices are numbered apart
  tenant           text         not null,
  system           text         not null,
  kind             text         not null check (kind in ('draft', 'booked')),
  invoice_no       integer      not null,
  job_no           integer,       -- the order it came from
  customer_no      text,
  currency         text,
  net_amount       decimal_text,
  vat_amount       decimal_text,
  gross_amount     decimal_text,
  remaining_amount decimal_text,  -- 0.00 once it is paid
  invoice_date     date_text,
  due_date         date_text,
  primary key (tenant, system, kind, invoice_no)
);
create index invoices_by_job on invoices (tenant, system, job_no);
create index invoices_by_customer on invoices (tenant, system, customer_no);

create table invoice_lines (
  tenant      text         not null,
  system      text         not null,
  kind        text         not null check (kind in ('draft', 'booked')),
  invoice_no  integer      not null,
  line_no     integer      not null,
  product_no  text,
  description text,
  unit        text,
  quantity    decimal_text,
  net_price   decimal_text,
  net_amount  decimal_text,
  primary key (tenant, system, kind, invoice_no, line_no)
);

create table customers (
  tenant           text    not null,
  system           text    not null,
  customer_no      text    not null,
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
  primary key (tenant, system, customer_no)
);

create table projects (
  tenant      text         not null,
  system      text         not null,
  project_no  text         not null,
  name        text,
  description text,
  customer_no text,
  group_no    text,
  manager_no  text,  -- the employee who answers for it
  fixed_price decimal_text,
  active      boolean,
  starts_on   date_text,
  ends_on     date_text,
  primary key (tenant, system, project_no)
);
create index projects_by_customer on projects (tenant, system, customer_no);

create table products (
  tenant      text         not null,
  system      text         not null,
  product_no  text         not null,
  name        text,
  description text,
  group_no    text,
  unit        text,
  barcode     text,
  cost_price  decimal_text,
  sales_price decimal_text,
  is_bundle   boolean,  -- a bill of materials
  active      boolean,
  primary key (tenant, system, product_no)
);
create index products_by_barcode on products (tenant, barcode);

create table stock (
  tenant                 text         not null,
  system                 text         not null,
  product_no             text         not null,
  in_stock               decimal_text,
  available              decimal_text,
  ordered_by_customers   decimal_text,
  ordered_from_suppliers decimal_text,
  primary key (tenant, system, product_no)
);

create table terms (  -- of payment and of delivery
  tenant   text not null,
  system   text not null,
  kind     text not null check (kind in ('payment', 'delivery')),
  terms_no text not null,
  name     text,
  primary key (tenant, system, kind, terms_no)
);

create table cashbook_bookings (  -- which entries of a cashbook were booked
  tenant      text           not null,
  system      text           not null,
  cashbook_no integer        not null,
  from_entry  integer        not null,
  to_entry    integer        not null,
  booked_at   timestamp_text,
  primary key (tenant, system, cashbook_no, from_entry, to_entry),
  check (from_entry <= to_entry)
);

create table smarttid_rows (  -- what SmartTID's own tables hold, row by row
  tenant     text      not null,
  table_name text      not null,
  row_id     text      not null,
  data       json_text not null,
  primary key (tenant, table_name, row_id)
);
