//! Reviews of pods whose images are known: what they cost beside the floors, as fast as they are answered, and how long
//! they take at half of that.

use anyhow::Result;

use super::client::{Client, MUTATE, Protocol, Sample, VALIDATE};
use super::process::Process;
use super::spread::Spread;
use super::{Bench, Mode, world};
use crate::support::registry::FakeRegistry;

/// A server and the connections to it, which stay open and idle while another one is measured.
struct Side {
    name: &'static str,
    process: Process,
    client: Client,
    /// Of each run: CPU in µs a review, reviews a second, and the latencies.
    runs: Vec<(f64, f64, Sample)>,
}

impl Side {
    async fn new(
        name: &'static str,
        process: Process,
        protocol: Protocol,
        path: &'static str,
    ) -> Result<Self> {
        Ok(Self {
            name,
            client: Client::connect(&process.address, protocol).await?.at(path),
            process,
            runs: Vec::new(),
        })
    }

    async fn run(&mut self, bench: &Bench, body: &bytes::Bytes, rate: Option<f64>) -> Result<()> {
        let before = self.process.cpu()?;
        let bodies = std::slice::from_ref(body);
        let sample = self.client.run(bodies, bench.reviews, rate).await?;
        let spent = self.process.cpu()?.saturating_sub(before);
        let each = spent.as_secs_f64() * 1e6 / bench.reviews as f64;
        self.runs.push((each, sample.per_second(), sample));
        Ok(())
    }

    fn cpu(&self) -> Spread {
        Spread::of(self.runs.iter().map(|(cpu, ..)| *cpu))
    }

    fn per_second(&self) -> Spread {
        Spread::of(self.runs.iter().map(|(_, rate, _)| *rate))
    }

    fn within(&self, part: f64) -> Spread {
        Spread::of(self.runs.iter().map(|(.., sample)| sample.within(part)))
    }

    fn row(&self) -> Result<String> {
        let name = self.name;
        let [half, most, nearly] = [0.5, 0.99, 0.999].map(|part| self.within(part));
        let (rate, cpu, memory) = (self.per_second(), self.cpu(), self.process.memory()?.now);
        Ok(format!(
            "  {name:<13} {rate:<22.0} {cpu:<18.1} {half:<18.2} {most:<18.2} {nearly:<18.2} {memory:.1}"
        ))
    }
}

const HEAD: &str = "                reviews/s              CPU µs/review      p50 ms             p99 ms             p99.9 ms           MiB";

pub(crate) async fn run(bench: &mut Bench, mode: Mode) -> Result<()> {
    let (name, protocol, path) = match mode {
        Mode::Mutate => ("mutate", Protocol::Http1, MUTATE),
        Mode::Http2 => ("http2", Protocol::Http2, VALIDATE),
        _ => ("http1", Protocol::Http1, VALIDATE),
    };
    let site = world::images(4);
    let registry = FakeRegistry::start(move |request| site.answer(request)).await;
    let body = world::review_of_four(&registry.host())?;
    let mut sides = [
        Side::new("lean floor", bench.floor("lean")?, protocol, path).await?,
        Side::new("bare floor", bench.floor("bare")?, protocol, path).await?,
        Side::new("platform-gate", bench.server(15)?, protocol, path).await?,
    ];
    // The first run fills caches, ours of images and the machine's.
    for side in &mut sides {
        side.run(bench, &body, None).await?;
    }

    bench.say(&format!(
        "\n{name}: {} runs of {} reviews of {} bytes each, in turn; median (least-most)\n{HEAD}",
        bench.rounds,
        bench.reviews,
        body.len()
    ));
    in_turn(bench, &mut sides, &body, None).await?;
    let [lean, bare, ours] = &sides;
    for (key, floor) in [("lean", lean), ("bare", bare)] {
        let told = compared(bench, &format!("load/{name}, {key}"), floor, ours);
        bench.say(&told);
    }

    let rate = ours.per_second().median / 2.0;
    bench.say(&format!(
        "  at {rate:.0} reviews a second, half of platform-gate's own:"
    ));
    in_turn(bench, &mut sides, &body, Some(rate)).await
}

fn compared(bench: &mut Bench, key: &str, floor: &Side, ours: &Side) -> String {
    let pairs = || floor.runs.iter().zip(&ours.runs);
    let cost = Spread::of(pairs().map(|(floor, ours)| ours.0 / floor.0));
    let of_rate = Spread::of(pairs().map(|(floor, ours)| ours.1 / floor.1));
    let of_cpu = Spread::of(pairs().map(|(floor, ours)| floor.0 / ours.0));
    let compared = bench.recorded.compare(key, cost.median);
    format!(
        "  of the {}'s reviews per second: {of_rate}, per second of CPU: {of_cpu}; CPU a review, in such floors: {cost} {compared}",
        floor.name
    )
}

/// Each round begins with the next one.
async fn in_turn(
    bench: &Bench,
    sides: &mut [Side; 3],
    body: &bytes::Bytes,
    rate: Option<f64>,
) -> Result<()> {
    for side in sides.iter_mut() {
        side.runs.clear();
    }
    for round in 0..bench.rounds {
        for turn in 0..sides.len() {
            let side = &mut sides[(round + turn) % 3];
            side.run(bench, body, rate).await?;
        }
    }
    for side in sides.iter() {
        bench.say(&side.row()?);
    }
    Ok(())
}
