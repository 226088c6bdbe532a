//! `make load`, `make chaos`, `make soak`, `make bench`: the whole product under load and under fire, with tables for people and JSON
//! for programs. Needs the release binary.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test kit says that something is wrong by panicking, and prints for people"
)]

mod chaos;
mod figures;
mod fuzz;
mod sbom;
mod soak;

use clap::{Parser, Subcommand};
use serde_json::json;
use std::time::Duration;
use wardroom_load::bench::served;
use wardroom_load::house::House;
use wardroom_load::referee::judge;
use wardroom_load::report::{latency, progress, table};
use wardroom_load::scenarios::link;
use wardroom_load::traffic::{Plan, Traffic};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Messages at a fixed rate through real browsers.
    Load {
        /// Linked sessions.
        #[arg(long, default_value_t = 5)]
        sessions: usize,
        /// Messages per second in each direction.
        #[arg(long, default_value_t = 50.0)]
        rate: f64,
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Every fault and every kill, in full.
    Chaos {
        /// Draws the moments.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// One part only: faults (or the name of one), kills, moments, store, starvation, cycles, flood, failures, sockets, webhooks, mutations.
        #[arg(long)]
        only: Option<String>,
    },
    /// Half load for a long time: does anything grow?
    Soak {
        /// How long.
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// The figures of the kernel, each beside a baseline.
    Bench {
        /// One figure only: routing, idle, restart, pipeline, boot, webhooks, texts, statuses, sockets, guard, rows, sign-ins, keys, file.
        #[arg(long)]
        only: Option<String>,
    },
    /// Calls that a machine makes up from the API's document.
    FuzzApi {
        /// Calls of each kind and route.
        #[arg(long, default_value_t = 20)]
        examples: u32,
        /// Draws the calls.
        #[arg(long, default_value_t = 1)]
        seed: u32,
    },
    /// Prints what the product is made of, as CycloneDX.
    Sbom,
    /// The server with an engine that has no browsers; for `bench`.
    #[command(hide = true)]
    Serve,
    /// Prints bytes per idle chat of this process; for `bench`, which needs a fresh process for each kind.
    #[command(hide = true)]
    Idle {
        /// `kernel` or `plain`.
        kind: String,
    },
}

fn main() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match Arguments::parse().what {
        What::Load { sessions, rate, seconds } => runtime().block_on(load(sessions, rate, seconds)),
        What::Chaos { seed, only } => chaos::run(&runtime(), seed, only.as_deref()),
        What::Soak { minutes } => runtime().block_on(soak::run(minutes)),
        What::Bench { only } => figures::run(&runtime(), only.as_deref()),
        What::FuzzApi { examples, seed } => {
            assert!(runtime().block_on(fuzz::run(examples, seed)), "some calls were not answered as the document says");
        }
        What::Sbom => println!("{:#}", sbom::document()),
        What::Serve => served::serve(),
        What::Idle { kind } => println!("{}", figures::idle(&kind)),
    }
}

async fn load(sessions: usize, rate: f64, seconds: u64) {
    let settings = [("WARDROOM__QUOTAS__USER__SESSIONS", "1000"), ("WARDROOM__POOL__WARM_SPARES", "0")];
    let mut house = House::with(&settings, &[]).await;
    house.listen().await;
    progress(&format!("linking {sessions} sessions"));
    let players = link(&house, sessions).await;
    let traffic = Traffic::start(&house, Plan { players: players.clone(), per_second: rate, name: "load".to_owned() });
    for second in 1..=seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if second % 10 == 0 {
            progress(&format!("{second} of {seconds} s"));
        }
    }
    let outcome = traffic.stop().await;
    let verdict = judge(&house, &players, &outcome.sent, Duration::from_secs(60)).await;
    let (inbound, outbound) = (latency(&outcome.all_inbound()), latency(outcome.outbound.as_ref().unwrap()));
    let row = |name: &str, of: &serde_json::Value| {
        let mut cells = vec![name.to_owned()];
        cells.extend(["count", "p50", "p95", "p99", "max"].map(|key| of[key].to_string()));
        cells
    };
    let rows = [row("phone → event on the socket", &inbound), row("request → committed", &outbound)];
    table(&["ms", "count", "p50", "p95", "p99", "max"], &rows);
    println!("{verdict}; {} refused", outcome.refused);
    println!(
        "{}",
        json!({"inbound": inbound, "outbound": outbound, "refused": outcome.refused, "clean": verdict.is_clean()})
    );
    verdict.assert_clean();
}
