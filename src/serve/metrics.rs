//! Counts of what the service did, as Prometheus reads them (text format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram of durations, in seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// How long requests to one address took.
#[derive(Debug, Default, Clone)]
struct Durations {
    /// Requests within each bound, not cumulated.
    within: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

/// Runs of one network.
#[derive(Debug, Default, Clone)]
struct NetworkRuns {
    runs: u64,
    slices: u64,
}

#[derive(Debug, Default)]
struct Counts {
    /// By address as the router knows it, method and status.
    requests: BTreeMap<(String, String, u16), u64>,
    durations: BTreeMap<String, Durations>,
    networks: BTreeMap<String, NetworkRuns>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
    /// Requests that are being answered or wait for it.
    admitted: AtomicUsize,
}

/// One request among those admitted, until it is dropped.
pub struct Admitted<'a>(&'a Metrics);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    fn with(&self, change: impl FnOnce(&mut Counts)) {
        // A thread that panicked while it counted spoils no number.
        change(&mut self.counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// Counts an answered request. `route` is the pattern of the address, never the address itself.
    pub fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.with(|counts| {
            *counts.requests.entry((route.into(), method.into(), status)).or_default() += 1;
            let durations = counts.durations.entry(route.into()).or_default();
            let seconds = took.as_secs_f64();
            if let Some(bound) = BOUNDS.iter().position(|bound| seconds <= *bound) {
                durations.within[bound] += 1;
            }
            durations.count += 1;
            durations.seconds += seconds;
        });
    }

    /// Counts a run of a network on `slices` slices together.
    pub fn network_run(&self, model: &str, slices: usize) {
        self.with(|counts| {
            let network = counts.networks.entry(model.into()).or_default();
            network.runs += 1;
            network.slices += slices as u64;
        });
    }

    /// Counts a request as admitted until the result is dropped.
    pub fn admit(&self) -> Admitted<'_> {
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Admitted(self)
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.with(|counts| {
            // Writing to a string cannot fail.
            let _ = write(&mut out, counts, self.admitted.load(Ordering::Relaxed));
        });
        out
    }
}

fn write(out: &mut String, counts: &Counts, admitted: usize) -> std::fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "# HELP lesionlens_build_info The program that answers.\n# TYPE lesionlens_build_info gauge")?;
    writeln!(out, "lesionlens_build_info{{version=\"{version}\"}} 1")?;
    writeln!(out, "# HELP lesionlens_requests_total Answered requests.\n# TYPE lesionlens_requests_total counter")?;
    for ((route, method, status), count) in &counts.requests {
        writeln!(
            out,
            "lesionlens_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} {count}"
        )?;
    }
    let name = "lesionlens_request_duration_seconds";
    writeln!(out, "# HELP {name} Time from a request's head to its answer's.\n# TYPE {name} histogram")?;
    for (route, durations) in &counts.durations {
        let mut below = 0;
        for (bound, within) in BOUNDS.iter().zip(durations.within) {
            below += within;
            writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}")?;
        }
        writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {}", durations.count)?;
        writeln!(out, "{name}_sum{{route=\"{route}\"}} {}", durations.seconds)?;
        writeln!(out, "{name}_count{{route=\"{route}\"}} {}", durations.count)?;
    }
    let name = "lesionlens_requests_admitted";
    writeln!(out, "# HELP {name} Requests that are being answered or wait for it.\n# TYPE {name} gauge")?;
    writeln!(out, "{name} {admitted}")?;
    let name = "lesionlens_network_runs_total";
    writeln!(out, "# HELP {name} Runs of a network; several requests can share one.\n# TYPE {name} counter")?;
    for (model, network) in &counts.networks {
        writeln!(out, "{name}{{model=\"{model}\"}} {}", network.runs)?;
    }
    let name = "lesionlens_network_slices_total";
    writeln!(out, "# HELP {name} Slices that a network looked at.\n# TYPE {name} counter")?;
    for (model, network) in &counts.networks {
        writeln!(out, "{name}{{model=\"{model}\"}} {}", network.slices)?;
    }
    if let Some(bytes) = resident_bytes() {
        let name = "process_resident_memory_bytes";
        writeln!(out, "# HELP {name} Resident memory size in bytes.\n# TYPE {name} gauge\n{name} {bytes}")?;
    }
    Ok(())
}

/// Resident memory of this process, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_admission_ends_with_its_guard() {
        let metrics = Metrics::default();
        metrics.request("/x", "GET", 200, Duration::from_millis(7));
        metrics.request("/x", "GET", 200, Duration::from_secs(100));
        metrics.network_run("m", 5);
        let guard = metrics.admit();
        let text = metrics.text();
        for line in [
            "lesionlens_requests_total{route=\"/x\",method=\"GET\",status=\"200\"} 2",
            "lesionlens_request_duration_seconds_bucket{route=\"/x\",le=\"0.005\"} 0",
            "lesionlens_request_duration_seconds_bucket{route=\"/x\",le=\"0.01\"} 1",
            "lesionlens_request_duration_seconds_bucket{route=\"/x\",le=\"60\"} 1",
            "lesionlens_request_duration_seconds_bucket{route=\"/x\",le=\"+Inf\"} 2",
            "lesionlens_requests_admitted 1",
            "lesionlens_network_slices_total{model=\"m\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        drop(guard);
        assert!(metrics.text().contains("lesionlens_requests_admitted 0"));
    }
}
