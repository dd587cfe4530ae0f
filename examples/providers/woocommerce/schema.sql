create table orders (
  order_id       integer primary key,
  number         text not null,  -- plug-ins make something else of it than the id
  status         text not null,
  customer_id    integer,        -- null: a guest
  email          text,
  currency       text not null,
  total          decimal_text,
  tax            decimal_text,
  payment_method text,
  created_at     timestamp_text,
  paid_at        timestamp_text
);

create table order_lines (
  order_id   integer not null,
  line_id    integer not null,
  product_id integer,
  sku        text,
  name       text,
  quantity   integer not null,
  total      decimal_text,
  primary key (order_id, line_id)
);
