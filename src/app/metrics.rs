//! What is counted, in the text form that Prometheus reads. Each server has its own numbers.

use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::http_client::breaker::CircuitStatus;
use crate::model::record::RecordState;
use crate::routes::registry::{SourceStatus, Status};
use crate::store::pools::Attention;
use crate::store::records::Count;

const METADATA: Metadata<'static> = Metadata::new("hooktable", Level::INFO, None);

/// The numbers of one server.
pub struct Metrics {
    recorder: PrometheusRecorder,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self { recorder: PrometheusBuilder::new().build_recorder() };
        let counter = |name: &'static str, text: &'static str| metrics.recorder.describe_counter(name.into(), None, text.into());
        counter("hooktable_requests_total", "answers to senders, by HTTP status");
        counter("hooktable_removed_total", "what was kept long enough and is gone, by what it was");
        counter("hooktable_ended_total", "records that came to an end since this server started, by source and state");
        counter("hooktable_wrong_lanes_total", "lanes seen whose numbers contradict their records, which is a bug");
        let gauge = |name: &'static str, text: &'static str| metrics.recorder.describe_gauge(name.into(), None, text.into());
        gauge("hooktable_route_file_ok", "1 when the route file as it is on disk runs, else 0");
        gauge("hooktable_records", "records that are open or dead, by source and state");
        gauge(
            "hooktable_circuit_open",
            "1 while an api is left alone because it fails, by api and scope (source/tenant/integration)",
        );
        gauge(
            "hooktable_needs_attention",
            "tenants of the source whose work waits because the provider refuses their credentials",
        );
        gauge("hooktable_state_up", "1 when the state answers, else 0");
        gauge("hooktable_target_up", "0 while the database cannot be reached or does not answer, else 1");
        metrics
    }
}

impl Metrics {
    /// Counts an answer to a sender.
    pub fn count_answer(&self, status: u16) {
        let key = Key::from_parts("hooktable_requests_total", vec![Label::new("status", status.to_string())]);
        self.recorder.register_counter(&key, &METADATA).increment(1);
    }

    /// Counts what upkeep removed.
    pub fn count_removed(&self, what: &'static str, count: u64) {
        let key = Key::from_parts("hooktable_removed_total", vec![Label::new("what", what)]);
        self.recorder.register_counter(&key, &METADATA).increment(count);
    }

    /// Counts lanes whose numbers are wrong.
    pub fn count_wrong_lanes(&self, count: u64) {
        self.recorder.register_counter(&Key::from_name("hooktable_wrong_lanes_total"), &METADATA).increment(count);
    }

    /// Takes over how many records came to an end, by source and state.
    pub fn set_ended(&self, ended: &[(String, &'static str, u64)]) {
        for (source, state, count) in ended {
            let labels = vec![Label::new("source", source.clone()), Label::new("state", *state)];
            let key = Key::from_parts("hooktable_ended_total", labels);
            self.recorder.register_counter(&key, &METADATA).absolute(*count);
        }
    }

    /// Everything as text, with what is only known when it is asked for. Without knowing who needs attention the state did not answer;
    /// without counts there was too much to count.
    pub fn text(
        &self,
        statuses: &[SourceStatus],
        circuits: &[CircuitStatus],
        attention: Option<&[Attention]>,
        targets: &[(&str, bool)],
        counts: Option<&[Count]>,
    ) -> String {
        for (database, is_up) in targets {
            let labels = vec![Label::new("database", (*database).to_owned())];
            self.set("hooktable_target_up", labels, if *is_up { 1.0 } else { 0.0 });
        }
        for circuit in circuits {
            let labels = vec![Label::new("api", circuit.api.clone()), Label::new("scope", circuit.scope.clone())];
            self.set("hooktable_circuit_open", labels, if circuit.open.is_some() { 1.0 } else { 0.0 });
        }
        for source in statuses {
            let ok = if source.status == Status::Active { 1.0 } else { 0.0 };
            self.set("hooktable_route_file_ok", vec![Label::new("source", source.name.clone())], ok);
            if let Some(attention) = attention {
                let waiting = attention.iter().filter(|pool| pool.source == source.name).count();
                self.set("hooktable_needs_attention", vec![Label::new("source", source.name.clone())], waiting as f64);
            }
        }
        self.set("hooktable_state_up", Vec::new(), if attention.is_some() { 1.0 } else { 0.0 });
        if let Some(counts) = counts {
            self.set_records(statuses, counts);
        }
        self.recorder.handle().render()
    }

    /// A state that no record is in any more is zero, not what it was.
    fn set_records(&self, statuses: &[SourceStatus], counts: &[Count]) {
        let mut sources: Vec<&str> = statuses.iter().map(|source| source.name.as_str()).collect();
        sources.extend(counts.iter().map(|count| count.source.as_str()));
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            for state in RecordState::ALL.into_iter().filter(|state| state.is_open() || *state == RecordState::Dead) {
                let count = counts.iter().find(|count| count.source == source && count.state == state);
                let labels = vec![Label::new("source", source.to_owned()), Label::new("state", state.word())];
                self.set("hooktable_records", labels, count.map_or(0.0, |count| count.count as f64));
            }
        }
    }

    fn set(&self, name: &'static str, labels: Vec<Label>, value: f64) {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA).set(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::http_client::breaker::OpenCircuit;

    #[test]
    fn the_numbers_read_as_prometheus_expects() {
        let metrics = Metrics::default();
        metrics.count_answer(200);
        metrics.count_answer(200);
        let status = SourceStatus { name: "a".to_owned(), path: "a.yaml".to_owned(), status: Status::Active };
        let counts = [Count { source: "a".to_owned(), state: RecordState::Dead, count: 3 }];
        let open = OpenCircuit {
            since: Timestamp::from_micros(0),
            next_probe: Timestamp::from_micros(5_000_000),
            failures: 8,
            reason: "503".to_owned(),
        };
        let circuits = [CircuitStatus { api: "shop".to_owned(), scope: "a/acme/".to_owned(), open: Some(open) }];
        let attention = [Attention { source: "a".to_owned(), tenant_id: 1, reason: "401".to_owned() }];
        metrics.set_ended(&[("a".to_owned(), "done", 7)]);
        let text = metrics.text(&[status], &circuits, Some(&attention), &[("erp", false)], Some(&counts));
        for line in [
            "hooktable_requests_total{status=\"200\"} 2",
            "hooktable_route_file_ok{source=\"a\"} 1",
            "hooktable_circuit_open{api=\"shop\",scope=\"a/acme/\"} 1",
            "hooktable_needs_attention{source=\"a\"} 1",
            "hooktable_target_up{database=\"erp\"} 0",
            "hooktable_records{source=\"a\",state=\"dead\"} 3",
            "hooktable_records{source=\"a\",state=\"waiting\"} 0",
            "hooktable_ended_total{source=\"a\",state=\"done\"} 7",
            "hooktable_state_up 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
