create table orders (
  tenant             text    not null,
  order_id           integer not null,
  name               text    not null,  -- `#1001`, as people say it
  email              text,
  customer_id        integer,
  currency           text    not null,
  total              decimal_text,
  tax                decimal_text,
  financial_status   text,
  fulfillment_status text,              -- null: nothing is sent yet
  ship_to_country    text,
  created_at         timestamp_text,
  updated_at         timestamp_text,
  cancelled_at       timestamp_text,
  primary key (tenant, order_id)
);

create table order_lines (
  tenant   text    not null,
  order_id integer not null,
  line_id  integer not null,
  sku      text,
  title    text,
  quantity integer not null,
  price    decimal_text,
  primary key (tenant, order_id, line_id)
);
