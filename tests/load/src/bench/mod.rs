//! The figures of the kernel, each beside a baseline of the same run.

pub mod boot;
pub mod failures;
pub mod flood;
pub mod guard;
pub mod handover;
pub mod idle;
pub mod kernel;
pub mod pipeline;
pub mod rates;
pub mod restart;
pub mod routing;
pub mod row_security;
pub mod served;
pub mod sign_ins;

/// The middle one.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> u64 {
    resident_and_mapped(pid).0
}

/// Resident memory of a process, in bytes, and how much of it is pages of files, the program's own code above all.
pub fn resident_and_mapped(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: Vec<u64> = text.split_whitespace().map(|pages| pages.parse().unwrap()).collect();
    (pages[1] * 4096, pages[2] * 4096)
}
