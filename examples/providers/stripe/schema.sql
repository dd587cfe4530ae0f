-- Amounts are in the currency's smallest unit, as Stripe has them.
create table customers (
  customer_id text primary key,
  name        text,
  email       text,
  currency    text,
  delinquent  boolean
);

create table subscriptions (
  subscription_id      text primary key,
  customer_id          text not null,
  status               text not null,
  currency             text,
  cancel_at_period_end boolean,
  started_at           timestamp_text,
  ended_at             timestamp_text
);

create table subscription_items (
  subscription_id text not null,
  item_id         text not null,
  price_id        text not null,
  product_id      text,
  quantity        integer,  -- null where it is metered
  primary key (subscription_id, item_id)
);

create table invoices (
  invoice_id  text primary key,
  number      text,         -- null while it is a draft
  customer_id text,
  status      text,
  currency    text    not null,
  total_minor integer not null,
  paid_minor  integer not null,
  due_at      timestamp_text
);

create table payments (
  payment_id     text primary key,
  customer_id    text,
  status         text    not null,
  currency       text    not null,
  amount_minor   integer not null,
  received_minor integer,
  failure        text
);
