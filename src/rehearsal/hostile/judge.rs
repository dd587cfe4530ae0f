//! Whether a variant came out as it should.

use super::Finding;
use super::base::Rows;
use super::run::Stage;
use crate::rehearsal::report::{Mismatch, Seen};

impl Stage<'_> {
    /// The rows must be those of the ordinary run, and the records in the same state.
    pub(super) async fn must_be_same(&self, seen: Seen, why: &str) -> Result<Finding, String> {
        self.must_be(seen, &self.base.rows, why).await
    }

    /// The same with other rows.
    pub(super) async fn must_be(&self, seen: Seen, rows: &Rows, why: &str) -> Result<Finding, String> {
        let differences = self.base.differences(self.suite, &self.project, rows).await?;
        let mut mismatches: Vec<Mismatch> = differences.into_iter().map(Mismatch::Rows).collect();
        mismatches.extend(self.other_answer(&seen));
        mismatches.extend(self.other_state(&seen));
        Ok(match mismatches.is_empty() {
            true => Finding::Same,
            false => Finding::Different { reason: why.to_owned(), mismatches, seen: Box::new(seen) },
        })
    }

    fn other_answer(&self, seen: &Seen) -> Option<Mismatch> {
        let status = (seen.status != self.base.seen.status).then(|| Mismatch::Value {
            what: "status",
            expected: self.base.seen.status.to_string(),
            found: seen.status.to_string(),
        });
        // what is stored is answered with its id
        let is_other = self.base.seen.worst.is_none() && seen.body != self.base.seen.body;
        status.or_else(|| {
            is_other.then(|| Mismatch::Value {
                what: "answer",
                expected: format!("`{}`", self.base.seen.body),
                found: format!("`{}`", seen.body),
            })
        })
    }

    fn other_state(&self, seen: &Seen) -> Option<Mismatch> {
        let word = |seen: &Seen| seen.worst.map_or("nothing stored", |state| state.word());
        // another run may have stood for this one
        let stands = |seen: &Seen| if word(seen) == "superseded" { "done" } else { word(seen) };
        (stands(seen) != stands(&self.base.seen)).then(|| Mismatch::Value {
            what: "state",
            expected: word(&self.base.seen).to_owned(),
            found: word(seen).to_owned(),
        })
    }
}
