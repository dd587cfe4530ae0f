//! What our tables have held long enough goes, in small steps, and nothing else.

use serde_json::json;

use super::bench::*;
use super::engines::{fresh, on_each_engine};
use crate::clock::Timestamp;
use crate::model::change::{Change, Version};
use crate::target::clean_up::CleanUp;
use crate::target::dialect::Dialect;
use crate::target::write::Unit;

on_each_engine! {
    async fn what_is_older_goes_and_the_rest_stays(bench, schema: "create table t (k {integer} primary key)") {
        for number in 0..30_u8 {
            let cell = cells(&json!({ "": number })).remove(0);
            let version = Some(Version { cell, kept_in_column: false });
            let changes = [Change { version, ..change("t", upsert(json!({ "k": number }), json!({}))) }];
            let unit = Unit { mark: [number; 32], lane: [number; 16], others: &[], fence: 1, is_late: false, changes: &changes };
            bench.database.apply(unit).await.unwrap();
        }
        let ten = if bench.database.dialect() == Dialect::Postgres { "'\\x0a'::bytea" } else { "x'0a'" };
        let old = "update hooktable_applied set at = '2026-01-01 00:00:00' where mark < {ten};
                   update hooktable_lane set at = '2026-01-01 00:00:00' where lane < {ten};
                   update hooktable_version set at = '2026-01-01 00:00:00' where row_hash < {half}";
        let half = if bench.database.dialect() == Dialect::Postgres { "'\\x80'::bytea" } else { "x'80'" };
        bench.database.run_script(&old.replace("{ten}", ten).replace("{half}", half)).await.unwrap();
        let mut walk = CleanUp::before(Timestamp::parse("2026-08-01T00:00:00Z").unwrap()).in_steps_of(4);
        let mut steps = 1;
        while walk.step(&bench.database).await.unwrap() {
            steps += 1;
        }
        let mut left = Vec::new();
        for table in ["hooktable_applied", "hooktable_lane", "hooktable_version"] {
            let rows = bench.rows(table).await;
            left.push(rows.as_array().unwrap().len());
            assert!(rows.as_array().unwrap().iter().all(|row| !row["at"].as_str().unwrap().starts_with("2026-01")), "{rows}");
        }
        assert_eq!((left[0], left[1]), (20, 20));
        assert!(left[2] < 30, "the hashes are spread");
        assert_eq!(walk.removed(), u64::try_from(90 - left.iter().sum::<usize>()).unwrap());
        assert!(steps >= 3 * 7, "{steps}");
    }
}
