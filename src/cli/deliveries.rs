//! `hooktable deliveries`: what arrived, what became of it, and what a person can do about it.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::flags::{Format, GlobalFlags, ask, unexpected};
use super::run::Exit;
use super::{delivery_text, output};
use crate::app::deliveries::Steered;
use crate::app::operation::{Answer, Operation};
use crate::model::record::{RecordState, RecordSummary};

/// What can be done with deliveries.
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List records, newest first
    List(List),
    /// Show a delivery: its request without secrets, its records, every attempt
    Show {
        /// Its id, or the beginning or end of it
        id: String,
        /// How it is shown
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Run a delivery's records again, by the route file as it is now; without an id, all that were given up on and fit
    Replay(ReplayFlags),
    /// Give a delivery's open and dead records up, which can still be replayed, and its dead forwards, which cannot
    Discard {
        /// Its id, or the beginning or end of it
        id: String,
        /// Only this record of it
        #[arg(long, value_name = "NUMBER")]
        record: Option<u32>,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// Which records to run again.
#[derive(Debug, Args)]
pub struct ReplayFlags {
    /// The delivery's id, or the beginning or end of it
    #[arg(conflicts_with_all = ["source", "tenant", "event", "state", "all", "preview"])]
    id: Option<String>,
    /// Only this record of it
    #[arg(long, value_name = "NUMBER", requires = "id")]
    record: Option<u32>,
    /// Also records that took effect already: they take effect once more
    #[arg(long, requires = "id")]
    apply_again: bool,
    /// Only send its forwards again that were given up on; with `--apply-again` all forwards of the records that run
    #[arg(long, requires = "id")]
    forwards: bool,
    /// Also where newer records of the same lane are done: they may be undone
    #[arg(long)]
    force: bool,
    /// All of this source
    #[arg(long)]
    source: Option<String>,
    /// All of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// All of this event
    #[arg(long)]
    event: Option<String>,
    /// All in this state: dead, ignored, discarded
    #[arg(long, default_value = "dead")]
    state: RecordState,
    /// All of them, whatever their source, tenant and event
    #[arg(long)]
    all: bool,
    /// Only say how many fit
    #[arg(long)]
    preview: bool,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Which records to list.
#[derive(Debug, Args)]
pub struct List {
    /// Of this source
    #[arg(long)]
    source: Option<String>,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// In this state: waiting, running, retrying, held, done, ignored, superseded, dead, discarded
    #[arg(long)]
    state: Option<RecordState>,
    /// Of this event
    #[arg(long)]
    event: Option<String>,
    /// Only records with forwards that were given up on
    #[arg(long)]
    dead_forwards: bool,
    /// The most to list
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: usize,
    /// How they are listed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Deliveries {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        match self {
            Self::List(List { source, tenant, state, event, dead_forwards, limit, format }) => {
                let limit = limit.max(1);
                let operation = Operation::ListDeliveries { source, tenant, state, event, dead_forwards, limit };
                let Answer::Deliveries(records) = ask(&settings, operation).await? else { return Err(unexpected()) };
                match format {
                    Format::Json => output::json(&records)?,
                    Format::Text => list(&records),
                }
                Ok(Exit::Fine)
            }
            Self::Show { id, format } => {
                let Answer::Delivery(delivery) = ask(&settings, Operation::ShowDelivery { id }).await? else {
                    return Err(unexpected());
                };
                match format {
                    Format::Json => output::json(&delivery)?,
                    Format::Text => output::data(delivery_text::of(&delivery).trim_end()),
                }
                Ok(Exit::Fine)
            }
            Self::Replay(ReplayFlags { id: Some(id), record, apply_again, force, forwards, format, .. }) => {
                let operation = Operation::ReplayDelivery { id, record, apply_again, force, forwards };
                let answer = ask(&settings, operation).await?;
                steered(answer, "replaying", format)
            }
            Self::Replay(ReplayFlags { source, tenant, event, state, force, all, preview, format, .. }) => {
                if !all && source.is_none() && tenant.is_none() && event.is_none() {
                    bail!(
                        "which records are to run again?\nhint: give a delivery's id, `--source`, `--tenant`, `--event`, or `--all`"
                    );
                }
                let operation = Operation::ReplayMatching { source, tenant, event, state, force, preview };
                replayed(ask(&settings, operation).await?, state, format)
            }
            Self::Discard { id, record, format } => {
                let answer = ask(&settings, Operation::DiscardDelivery { id, record }).await?;
                steered(answer, "discarded", format)
            }
        }
    }
}

fn list(records: &[RecordSummary]) {
    if records.is_empty() {
        return output::note("there are no such deliveries");
    }
    let rows = records.iter().map(|record| {
        [
            output::to_the_second(&record.received_at),
            delivery_text::short_id(record.delivery, record.number, record.run),
            record.source.clone(),
            record.tenant.clone().unwrap_or_else(|| "-".to_owned()),
            record.event.clone().unwrap_or_else(|| "-".to_owned()),
            record.state.to_string(),
            record.attempts.to_string(),
            delivery_text::why(record),
        ]
    });
    output::table(["received", "delivery", "source", "tenant", "event", "state", "attempts", "why"], rows);
}

/// Shows what fitted a filter, and says how many records are replayed.
fn replayed(answer: Answer, state: RecordState, format: Format) -> anyhow::Result<Exit> {
    let Answer::Replayed { groups, asked } = answer else { return Err(unexpected()) };
    if format == Format::Json {
        output::json(&json!({ "groups": groups, "asked": asked }))?;
    }
    if groups.is_empty() {
        output::note(&format!("no {state} record whose request is still kept fits"));
        return Ok(Exit::Problems);
    }
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows =
        groups.iter().map(|group| [group.source.clone(), word(&group.tenant), word(&group.event), group.records.to_string()]);
    if format == Format::Text {
        output::table(["source", "tenant", "event", "records"], rows);
    }
    match asked {
        Some(count) => output::note(&format!("replaying {}", output::counted(usize::try_from(count)?, "record"))),
        None => output::note("nothing was replayed: this is what would be"),
    }
    Ok(Exit::Fine)
}

/// Says for how many records it was done, and why not for the others.
fn steered(answer: Answer, done: &str, format: Format) -> anyhow::Result<Exit> {
    let Answer::Steered(steered) = answer else { return Err(unexpected()) };
    if format == Format::Json {
        output::json(&steered)?;
    }
    let Steered { delivery, records, forwards, refused } = steered;
    let (of_records, of_forwards) = (usize::try_from(records)?, usize::try_from(forwards)?);
    let what = match (of_records, of_forwards) {
        (_, 0) => output::counted(of_records, "record"),
        (0, _) => output::counted(of_forwards, "forward"),
        _ => format!("{} and {}", output::counted(of_records, "record"), output::counted(of_forwards, "forward")),
    };
    output::note(&format!("{done} {what} of delivery {delivery}"));
    for (number, reason) in &refused {
        output::note(&format!("not record {number}: {reason}"));
    }
    Ok(if records + forwards == 0 { Exit::Problems } else { Exit::Fine })
}
