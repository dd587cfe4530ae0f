//! Checking stays quick when a folder grows: route files of sixty lines, a thousand of them in under a second.
//! `cargo nextest run --release --run-ignored all --no-capture -E 'test(many_files)'` measures it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::support::project::Project;

/// A route file of sixty lines, with everything that route files have.
fn route_file(number: usize) -> String {
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

fn checked(count: usize) -> Duration {
    let mut project = Project::new();
    for number in 0..count {
        project = project.file(&format!("routes.d/source{number}.yaml"), &route_file(number));
    }
    let started = Instant::now();
    let said = project.run(&["check"]);
    let took = started.elapsed();
    assert_eq!((said.code, said.data), (0, format!("{count} route files, no problems\n")), "{}", said.notes);
    took
}

#[test]
fn the_measured_files_have_no_problems() {
    checked(20);
}

#[test]
#[ignore = "a measurement: the release build checks a thousand files in under a second on an idle machine"]
fn a_thousand_route_files_are_checked_in_under_a_second() {
    let best = (0..3).map(|_| checked(1000)).min().expect("a measurement");
    eprintln!("1,000 route files of sixty lines: {best:?}");
    assert!(best < Duration::from_secs(1), "{best:?}");
}
