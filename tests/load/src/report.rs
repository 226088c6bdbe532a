//! Tables for people, JSON for programs.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// A histogram of microseconds as milliseconds.
pub fn latency(histogram: &Histogram<u64>) -> Value {
    let ms = |micros: u64| f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1000.0;
    let at = |quantile| ms(histogram.value_at_quantile(quantile));
    json!({
        "count": histogram.len(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "p999": at(0.999),
        "max": ms(histogram.max()),
    })
}

/// Prints a Markdown table whose rows have the columns' number of cells.
pub fn table(columns: &[&str], rows: &[Vec<String>]) {
    println!("| {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// A line that says where a run is.
pub fn progress(text: &str) {
    eprintln!("· {text}");
}
