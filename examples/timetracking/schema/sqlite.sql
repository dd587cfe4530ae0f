-- Jobs and their lines, as a time-tracking system keeps them. Each row carries the tenant it belongs to.
--
-- SQLite decides by the declared type's name how a column stores what it gets. `decimal` alone would make a floating-point
-- number of 3100.10; with `text` in the name the digits are kept as they were sent. `decimal_text` and `date_text` therefore say
-- two things: text to SQLite, and a decimal or a date to Hooktable, which checks values against it.

create table jobs (
  tenant        text    not null,
  job_no        integer not null,
  description   text,
  customer_no   integer,
  net_amount    decimal_text,
  delivery_date date_text,
  primary key (tenant, job_no)
);

create table job_lines (
  tenant     text    not null,
  job_no     integer not null,
  line_no    integer not null,
  product_no text,            -- letters and underscores occur: BR_45x95
  quantity   decimal_text,
  primary key (tenant, job_no, line_no)
);
