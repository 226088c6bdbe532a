//! The figures of the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::runtime::Runtime;
use wardroom_load::bench::rates::{self, Rate};
use wardroom_load::bench::routing::Layout;
use wardroom_load::bench::{boot, guard, handover, idle, pipeline, restart, routing, row_security, sign_ins};
use wardroom_load::report::{latency, progress, table};

/// Bytes per idle chat.
pub fn idle(kind: &str) -> f64 {
    if kind == "kernel" { idle::kernel() } else { idle::plain() }
}

/// A fresh process, because memory that is given back does not show.
fn idle_elsewhere(kind: &str) -> f64 {
    let program = std::env::current_exe().unwrap();
    let out = Command::new(program).args(["idle", kind]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
}

/// How long a rate is kept up.
const TIME: Duration = Duration::from_secs(10);

/// What the same messages would wait for the disk of this directory, and for nothing else.
fn plain(per_second: u32, place: &Path) -> String {
    let times = latency(&pipeline::plain(per_second, TIME, place));
    format!("one plain log, synced for each group: {} / {}", times["p50"], times["p99"])
}

pub fn run(runtime: &Runtime, only: Option<&str>) {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let disk = std::env::temp_dir();
    let (mut rows, mut alike, mut lost) = (vec![], true, 0);
    let mut row = |cells: [String; 4]| rows.push(cells.to_vec());
    if wanted("routing") {
        let layouts = [
            (Layout::OneThread, "one thread"),
            (Layout::Apart, "sender and chats on a thread each"),
            (Layout::Mixed, "two threads, half of the chats beside the sender"),
        ];
        for (layout, name) in layouts {
            progress(&format!("routing, {name}"));
            let (ours, plain) = routing::run(layout);
            row([
                format!("routed messages per second, 10,000 chats, {name}"),
                format!("{ours:.0}"),
                format!("plain tokio registry: {plain:.0}"),
                format!("{:.2} (goal ≥ 1.0)", ours / plain),
            ]);
        }
    }
    if wanted("idle") {
        progress("idle chats");
        let (ours, plain) = (idle_elsewhere("kernel"), idle_elsewhere("plain"));
        row([
            "bytes per idle chat, 100,000 chats".into(),
            format!("{ours:.0}"),
            format!("tokio task with a channel: {plain:.0}"),
            "goal ≤ 1,536".into(),
        ]);
    }
    if wanted("restart") {
        progress("restarts after a panic");
        let (ours, plain) = restart::run(2000);
        let micros = |nanos: u64| format!("{:.1}", nanos as f64 / 1000.0);
        row([
            "restart after a panic, µs, p50 / p99".into(),
            format!("{} / {}", micros(ours.value_at_quantile(0.5)), micros(ours.value_at_quantile(0.99))),
            format!(
                "task spawned again by its watcher: {} / {}",
                micros(plain.value_at_quantile(0.5)),
                micros(plain.value_at_quantile(0.99))
            ),
            "goal ≤ 50".into(),
        ]);
    }
    if wanted("pipeline") {
        let memory = PathBuf::from("/dev/shm");
        let mut dirs = vec![];
        for (rate, place, name) in [
            (5_000, &memory, "file in memory"),
            (5_000, &disk, "file on disk"),
            (3_000, &disk, "file on disk"),
            (1_000, &disk, "file on disk"),
        ] {
            progress(&format!("inbound to outbox at {rate} per second, {name}"));
            let result = pipeline::run(rate, TIME, tempfile::tempdir_in(place).unwrap());
            let (times, plain) = (latency(&result.latency), plain(rate, place));
            dirs.push(result.dir);
            row([
                format!("inbound → journal → agent → outbox, {rate}/s, {name}: done per second, p50 / p99 ms"),
                format!("{:.0}, {} / {}", result.per_second, times["p50"], times["p99"]),
                plain,
                "goal 5,000/s, p99 ≤ 40 ms".into(),
            ]);
        }
    }
    if wanted("boot") {
        let (stopped, killed) = runtime.block_on(boot::again(5));
        row([
            "start with five linked sessions: all WORKING".into(),
            format!("after a stop {:.1?}", stopped.working),
            format!("after kill -9 {:.1?}", killed.working),
            "goal ≤ 10 s".into(),
        ]);
        let (few, many) = runtime.block_on(boot::run(20, 10_000));
        row([
            "start with 10,000 registered sessions of which 20 linked: ready, all WORKING".into(),
            format!("{:.2?}, {:.1?}", many.ready, many.working),
            format!("with the 20 alone: {:.2?}, {:.1?}", few.ready, few.working),
            "goal ≤ 1 s, ≤ 12 s".into(),
        ]);
    }
    let mut at_rate = |what: String, rate: Rate, baseline: String, goal: &str| {
        let times = latency(&rate.latency);
        let failed = if rate.failed > 0 { format!(", {} failed", rate.failed) } else { String::new() };
        row([
            format!("{what}: done per second, p50 / p99 ms"),
            format!("{:.0}, {} / {}{failed}", rate.per_second, times["p50"], times["p99"]),
            baseline,
            goal.to_owned(),
        ]);
    };
    if wanted("webhooks") {
        for (rate, postgres, name) in [(2_000, false, "SQLite"), (3_000, true, "PostgreSQL")] {
            progress(&format!("messages to webhooks at {rate} per second, {name}"));
            let result = runtime.block_on(rates::webhooks(rate, postgres));
            at_rate(
                format!("inbound → journal → webhook's receiver, {name}, 20 sessions, offered {rate}/s"),
                result,
                plain(rate, &disk),
                "p99 ≤ 60 ms",
            );
        }
    }
    if wanted("texts") {
        progress("texts at 3,000 per second");
        let result = runtime.block_on(rates::texts(3_000, false));
        at_rate(
            "sendText, respond-async, 100 sessions, offered 3,000/s".into(),
            result,
            plain(3_000, &disk),
            "p99 ≤ 25 ms",
        );
        for rate in [1_000, 3_000] {
            let result = runtime.block_on(rates::texts(rate, true));
            at_rate(
                format!("the same with an engine that sends them, offered {rate}/s"),
                result,
                plain(rate, &disk),
                "",
            );
        }
    }
    if wanted("statuses") {
        progress("statuses at 2,000 per second");
        let result = runtime.block_on(rates::statuses(2_000));
        at_rate("GET a session, 100 sessions, offered 2,000/s".into(), result, String::new(), "p99 ≤ 5 ms");
    }
    if wanted("sockets") {
        progress("ten messages per second to a thousand sockets");
        let result = runtime.block_on(rates::sockets(1_000, 10));
        at_rate("message → each of 1,000 sockets, offered 10/s".into(), result, String::new(), "p99 ≤ 100 ms");
    }
    if wanted("guard") {
        progress("requests with and without the guard, a million addresses");
        let (open, guarded) = runtime.block_on(guard::requests());
        row([
            "the guard, µs of a request, SQLite, p50".into(),
            format!("{:.0}", guarded - open),
            format!("a route without it: {open:.0}, with it: {guarded:.0}"),
            "goal ≤ 150".into(),
        ]);
        let [failures, calls] = guard::watch();
        for (what, watched) in [("whether an address is shut out", failures), ("an address's calls, counted", calls)] {
            row([
                format!("{what}, of a million, ns; what they take"),
                format!("{:.0}; {:.0} MB", watched.check_ns, watched.bytes as f64 / f64::from(1 << 20)),
                String::new(),
                "goal ≤ 1,000; ≤ 64 MB".into(),
            ]);
        }
    }
    if wanted("rows") {
        progress("pages of a tenant's rows, with row-level security and without");
        let cost = runtime.block_on(row_security::run());
        let pages = |pages: row_security::Pages| format!("{:.0}/s, {:.0} µs", pages.per_second, pages.us);
        row([
            "a page of 20 rows of one of 50 tenants, PostgreSQL, 8 at once".into(),
            pages(cost.with),
            format!("without policies: {}; one statement: {}", pages(cost.without), pages(cost.plain)),
            format!("{:.2} of without", cost.with.per_second / cost.without.per_second),
        ]);
    }
    if wanted("sign-ins") {
        progress("2,000 unknown addresses and 2,000 wrong passwords in turns");
        let (unknown, wrong) = runtime.block_on(sign_ins::timing(2000));
        alike = (unknown - wrong).abs() < 1.0 && (unknown / wrong - 1.0).abs() < 0.05;
        row([
            "an unknown address, ms, p50".into(),
            format!("{unknown:.2}"),
            format!("a wrong password: {wrong:.2}"),
            format!("{:+.2} ms, {:+.1} % (goal < 1 ms, < 5 %)", unknown - wrong, (unknown / wrong - 1.0) * 100.0),
        ]);
        progress("twenty sign-ins per second");
        let crowd = runtime.block_on(sign_ins::crowd(Duration::from_secs(20)));
        let (calm, meanwhile) = (latency(&crowd.others.0), latency(&crowd.others.1));
        row([
            "sign-ins per second, offered 20/s; p99 of another route, ms".into(),
            format!("{:.1} (p99 {} ms); {}", crowd.per_second, latency(&crowd.sign_ins)["p99"], meanwhile["p99"]),
            format!("nobody signs in: {}", calm["p99"]),
            "goal 20/s, others unhurt".into(),
        ]);
    }
    if wanted("keys") {
        progress("another master key, 10,000 people, killed in the middle");
        let done = runtime.block_on(handover::run(100));
        row([
            format!("another master key for {} data keys ({} sealed items), s", done.keys, done.sealed),
            format!("{:.1}; {} reads, {} failed", done.took.as_secs_f64(), done.read, done.failed),
            format!("the one before: server killed when {} were done, gone on at the next start", done.killed_at),
            "no failed read".into(),
        ]);
        lost = done.failed;
    }
    if wanted("file") {
        let (out, inwards) = runtime.block_on(rates::file(100 << 20));
        row([
            "a file of 100 MiB through a browser: growth of the server's memory".into(),
            format!("sent {:.1} MB, received and downloaded {:.1} MB", out as f64 / 1e6, inwards as f64 / 1e6),
            String::new(),
            "goal < 20 MB".into(),
        ]);
    }
    table(&["figure", "Wardroom", "baseline of the same run", "goal"], &rows);
    assert_eq!(lost, 0, "reads failed while the master key was replaced");
    assert!(alike, "how long a sign-in takes tells whether its address is known");
}
