//! Route files as large as they are in practice, for measurements of checking and compiling them.

use std::fmt::Write as _;

/// A route file of sixty lines, with everything that route files have.
pub(crate) fn route_file(number: usize) -> String {
    let mut text = format!(
        "title: Source {number}
receive: {{ path: /in/source{number}, headers: {{ x_kind: [order, \"customer*\"] }} }}
auth: {{ none: \"measured\" }}
tenant: acme
integration:
  fields:
    grant: {{ label: Grant token, secret: true, from: $.body.grant }}
    shop: {{ label: Shop, from: $.body.shop }}
apis:
  shop{number}:
    base: https://api{number}.example.com/v1
    headers:
      X-Grant: \"{{{{ secret.grant }}}}\"
    limits: [10/s, 50000/d]
    absent: gone
event: $.body.event
extract:
  number: {{ from: $.body.order.number, as: integer }}
  changed: {{ from: $.body.changed_at, as: timestamp }}
gone: event is endingwith '.deleted'
lane: \"order/{{{{ number }}}}\"
coalesce: 2s
routes:
"
    );
    for table in ["orders", "customers"] {
        let _ = write!(
            text,
            "  - event: {table}.*
    when: not body.test and body.order.total
    enrich:
      thing: [\"/{table}/drafts/{{{{ number }}}}\", \"/{table}/sent/{{{{ number }}}}\"]
      owner: {{ get: \"/people/{{{{ thing.owner }}}}\", when: thing.owner, absent: null }}
    write:
      - upsert: {table}
        key: {{ number: $.number }}
        set:
          description: $.thing.notes.heading
          customer_no: $.thing.customer.number
          total: $.thing.total
          owner: \"{{{{ owner.name or '' }}}}\"
          changed: $.changed
      - replace: {table}_lines
        of: {{ number: $.number }}
        each: {{ line: $.thing.lines }}
        key: {{ line_no: $.line.number }}
        set: {{ product: $.line.product.number, quantity: $.line.quantity, text: \"{{{{ line.text | upper }}}}\" }}
"
        );
    }
    assert!(text.lines().count() >= 60, "{} lines", text.lines().count());
    text
}
