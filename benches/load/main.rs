//! The program under load as an API server makes it, over TLS, beside a floor in the same run:
//! `cargo bench --bench load [-- MODE...]`.
//!
//! A floor is a server of the same TLS and HTTP libraries that reads little and answers yes. What counts is the ratio
//! to it. Nothing fails because of a number; docs/performance.md has those of the last measurement.

mod client;
mod cold;
mod floor;
mod lean;
mod memory;
mod process;
#[path = "../common/recorded.rs"]
mod recorded;
#[path = "../common/spread.rs"]
mod spread;
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "as the tests have it"
)]
mod support;
mod warm;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use floor::Floor;
use process::{Pinned, Process};
use recorded::Recorded;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drives `platform-gate serve` as an API server does, beside a floor
#[derive(Parser)]
struct Args {
    /// What to measure; all of it unless named
    modes: Vec<Mode>,
    /// Runs of each, from which the median and the spread are told
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Reviews in a run of http1, http2 and mutate
    #[arg(long, default_value_t = 20_000)]
    reviews: usize,
    /// Another program to put under load, such as the one of the container image
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Keep the ratios of this run in benches/recorded.json
    #[arg(long)]
    record: bool,
    /// What `cargo bench` says
    #[arg(long, hide = true)]
    bench: bool,
    /// Be a floor
    #[arg(long, hide = true)]
    floor: Option<Floor>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Known images, HTTP/1.1 on 25 connections, as API servers speak it
    Http1,
    /// Known images, HTTP/2
    Http2,
    /// The same as http1, of the webhook that pins pods
    Mutate,
    /// Ten unknown images, a registry 100 ms away that wants tokens
    Cold,
    /// 15,000 nodes and 10,000 images
    Memory,
}

struct Bench {
    rounds: usize,
    reviews: usize,
    server: PathBuf,
    pinned: Pinned,
    recorded: Recorded,
    folder: tempfile::TempDir,
}

fn main() -> Result<()> {
    support::certificates::install_provider();
    let args = Args::parse();
    if let Some(floor) = args.floor {
        return floor::serve(floor);
    }
    let program = Path::new(env!("CARGO_BIN_EXE_platform-gate"));
    let mut bench = Bench {
        rounds: args.rounds.max(1),
        reviews: args.reviews.max(1),
        server: args.server.unwrap_or_else(|| program.to_owned()),
        pinned: Pinned::client(),
        recorded: Recorded::read(args.record)?,
        folder: tempfile::tempdir()?,
    };
    let modes = if args.modes.is_empty() {
        Mode::value_variants()
    } else {
        &args.modes
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    bench.say(&format!("load: {}", bench.pinned.told()));
    for mode in modes {
        runtime.block_on(async {
            match mode {
                Mode::Http1 | Mode::Http2 | Mode::Mutate => warm::run(&mut bench, *mode).await,
                Mode::Cold => cold::run(&mut bench).await,
                Mode::Memory => memory::run(&mut bench).await,
            }
        })?;
    }
    let last = std::mem::replace(&mut bench.recorded, Recorded::read(false)?).conclude()?;
    bench.say(&format!("\n{last}"));
    Ok(())
}

impl Bench {
    #[expect(clippy::print_stdout, reason = "a bench says what it measured")]
    fn say(&self, text: &str) {
        println!("{text}");
    }

    fn floor(&self, floor: &str) -> Result<Process> {
        let own = std::env::current_exe()?;
        Process::start(self.pinned, &own, &["--floor", floor])
    }

    /// The program, with so many nodes.
    fn server(&self, nodes: usize) -> Result<Process> {
        let file = self.folder.path().join(format!("{nodes}.json"));
        if !file.exists() {
            std::fs::write(&file, world::nodes(nodes))?;
        }
        let file = file.to_str().context("a path that is no text")?;
        let (listen, metrics) = (
            ["--listen", "127.0.0.1:0"],
            ["--metrics-listen", "127.0.0.1:0"],
        );
        let arguments = [&["serve", "--nodes", file][..], &listen, &metrics].concat();
        Process::start(self.pinned, &self.server, &arguments)
    }
}
