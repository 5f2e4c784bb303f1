//! Small pieces of work, each beside a floor in the same run: how long it takes, and how many floors that is.
//!
//! Floor and work take turns, so that what disturbs the machine disturbs both; of a few batches the fastest counts, since
//! nothing makes a program faster than it is.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::recorded::Recorded;
use super::spread::Spread;

const ROUNDS: usize = 7;
const BATCHES: usize = 4;
const BATCH: Duration = Duration::from_millis(4);

/// The rows of one bench.
pub(crate) struct Table {
    bench: &'static str,
    recorded: Recorded,
    only: Vec<String>,
}

impl Table {
    /// Arguments: parts of the names of rows to measure, and `--record` to keep their ratios.
    pub(crate) fn new(bench: &'static str) -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let (flags, only): (Vec<_>, Vec<_>) =
            arguments.into_iter().partition(|a| a.starts_with("--"));
        let table = Self {
            bench,
            recorded: Recorded::read(flags.iter().any(|flag| flag == "--record"))?,
            only,
        };
        table.say(&format!(
            "{bench}: median of {ROUNDS} runs (least-most)\n{:<40} {:>24}  {:<24}",
            "", "µs", "in floors"
        ));
        Ok(table)
    }

    /// Measures `work` beside `floor`.
    pub(crate) fn row<F, W>(
        &mut self,
        name: &str,
        mut floor: impl FnMut() -> F,
        mut work: impl FnMut() -> W,
    ) {
        if !(self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))) {
            return;
        }
        let (of_floor, of_work) = (often(&mut floor), often(&mut work));
        let (mut times, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (mut least_floor, mut least) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..BATCHES {
                least_floor = least_floor.min(each(of_floor, &mut floor));
                least = least.min(each(of_work, &mut work));
            }
            times.push(least * 1e6);
            ratios.push(least / least_floor);
        }
        let ratio = Spread::of(ratios);
        let compared = self
            .recorded
            .compare(&format!("{}/{name}", self.bench), ratio.median);
        let (time, ratio) = (format!("{:.2}", Spread::of(times)), format!("{ratio:.2}"));
        self.say(&format!("{name:<40} {time:>24}  {ratio:<24} {compared}"));
    }

    /// Ends the output.
    pub(crate) fn conclude(self) -> Result<()> {
        let Self { recorded, .. } = self;
        tell(&recorded.conclude()?);
        Ok(())
    }

    fn say(&self, text: &str) {
        tell(text);
    }
}

#[expect(clippy::print_stdout, reason = "a bench says what it measured")]
fn tell(text: &str) {
    println!("{text}");
}

/// How often something has to be done to fill a batch.
fn often<T>(work: &mut impl FnMut() -> T) -> u32 {
    let mut times = 1;
    loop {
        let spent = each(times, work) * f64::from(times);
        if spent >= BATCH.as_secs_f64() / 2.0 || times >= 1 << 20 {
            let of_batch = BATCH.as_secs_f64() / spent * f64::from(times);
            return (of_batch as u32).max(1);
        }
        times *= 2;
    }
}

/// Seconds that each of so many takes.
fn each<T>(times: u32, work: &mut impl FnMut() -> T) -> f64 {
    let began = Instant::now();
    for _ in 0..times {
        black_box(work());
    }
    began.elapsed().as_secs_f64() / f64::from(times)
}
