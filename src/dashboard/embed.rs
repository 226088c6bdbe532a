//! The build script: puts the script of the plots, which deploy/setup.sh has installed, where the dashboard embeds it from. A
//! build without it has a dashboard without plots.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a build script speaks to cargo so, and fails so")]

use std::path::Path;
use std::{env, fs};

fn main() {
    let out = env::var("OUT_DIR").expect("cargo says where");
    let kept = Path::new("deploy/wa-js/node_modules/uplot/dist");
    // Once it is installed, something in this directory changes.
    let watched = if kept.exists() { kept } else { Path::new("deploy/wa-js") };
    println!("cargo:rerun-if-changed={}", watched.display());
    for name in ["uPlot.iife.min.js", "uPlot.min.css"] {
        let text = fs::read(kept.join(name)).unwrap_or_default();
        fs::write(Path::new(&out).join(name), text).expect("a build can write where cargo says");
    }
}
