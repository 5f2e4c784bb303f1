//! Reviews of pods whose images are known: what they cost beside the floor, as fast as they are answered, and how long
//! they take at half of that.

use anyhow::Result;

use super::client::{Client, MUTATE, Protocol, Sample, VALIDATE};
use super::process::Process;
use super::spread::Spread;
use super::{Bench, Mode, world};
use crate::support::registry::FakeRegistry;

/// A server and the connections to it, which stay open and idle while the other one is measured.
struct Side {
    process: Process,
    client: Client,
    /// Of each run: CPU in µs a review, reviews a second, and the latencies.
    runs: Vec<(f64, f64, Sample)>,
}

impl Side {
    async fn new(process: Process, protocol: Protocol, path: &'static str) -> Result<Self> {
        Ok(Self {
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

    fn row(&self, name: &str) -> Result<String> {
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
    let mut floor = Side::new(bench.floor()?, protocol, path).await?;
    let mut ours = Side::new(bench.server(15)?, protocol, path).await?;
    // The first run fills caches, ours of images and the machine's.
    floor.run(bench, &body, None).await?;
    ours.run(bench, &body, None).await?;

    bench.say(&format!(
        "\n{name}: {} runs of {} reviews of {} bytes each, the two in turn; median (least-most)\n{HEAD}",
        bench.rounds,
        bench.reviews,
        body.len()
    ));
    in_turn(bench, &mut floor, &mut ours, &body, None).await?;
    bench.say(&floor.row("floor")?);
    bench.say(&ours.row("platform-gate")?);
    let pairs = || floor.runs.iter().zip(&ours.runs);
    let cost = Spread::of(pairs().map(|(floor, ours)| ours.0 / floor.0));
    let of_rate = Spread::of(pairs().map(|(floor, ours)| ours.1 / floor.1));
    let of_cpu = Spread::of(pairs().map(|(floor, ours)| floor.0 / ours.0));
    let compared = bench.recorded.compare(&format!("load/{name}"), cost.median);
    bench.say(&format!(
        "  of the floor's reviews per second: {of_rate}, per second of CPU: {of_cpu}\n  CPU a review, in floors: {cost} {compared}"
    ));

    let rate = ours.per_second().median / 2.0;
    in_turn(bench, &mut floor, &mut ours, &body, Some(rate)).await?;
    bench.say(&format!(
        "  at {rate:.0} reviews a second, half of platform-gate's own:"
    ));
    bench.say(&floor.row("floor")?);
    bench.say(&ours.row("platform-gate")?);
    Ok(())
}

/// Each round begins with the other one.
async fn in_turn(
    bench: &Bench,
    floor: &mut Side,
    ours: &mut Side,
    body: &bytes::Bytes,
    rate: Option<f64>,
) -> Result<()> {
    floor.runs.clear();
    ours.runs.clear();
    for round in 0..bench.rounds {
        let (first, second) = if round % 2 == 0 {
            (&mut *floor, &mut *ours)
        } else {
            (&mut *ours, &mut *floor)
        };
        first.run(bench, body, rate).await?;
        second.run(bench, body, rate).await?;
    }
    Ok(())
}
