//! What the program keeps: idle, and with 15,000 nodes and 10,000 images. The floor's memory is that of the libraries.

use anyhow::{Result, ensure};

use super::client::{Client, Protocol};
use super::spread::Spread;
use super::{Bench, world};
use crate::support::registry::FakeRegistry;

const NODES: usize = 15_000;
const IMAGES: usize = 10_000;
const IMAGES_OF_A_POD: usize = 20;

pub(crate) async fn run(bench: &mut Bench) -> Result<()> {
    let (mut floors, mut idle, mut full, mut peaks) = (vec![], vec![], vec![], vec![]);
    for _ in 0..bench.rounds {
        floors.push(bench.floor("bare")?.memory()?.now);
        idle.push(bench.server(15)?.memory()?.now);
        let site = world::images(IMAGES);
        let registry = FakeRegistry::start(move |request| site.answer(request)).await;
        let host = registry.host();
        let pods = (0..IMAGES).step_by(IMAGES_OF_A_POD);
        let bodies: Vec<_> = pods
            .map(|from| world::review_of(&host, from..from + IMAGES_OF_A_POD))
            .collect();
        let server = bench.server(NODES)?;
        let mut client = Client::connect(&server.address, Protocol::Http1).await?;
        client.run(&bodies, bodies.len(), None).await?;
        let asked = registry.lines().len();
        ensure!(asked >= IMAGES, "{asked} of {IMAGES} images were asked for");
        let memory = server.memory()?;
        full.push(memory.now);
        peaks.push(memory.peak);
    }
    let ratio = Spread::of(full.iter().zip(&floors).map(|(full, floor)| full / floor));
    let [floors, idle, full, peaks] = [floors, idle, full, peaks].map(Spread::of);
    let compared = bench.recorded.compare("load/memory", ratio.median);
    bench.say(&format!(
        "\nmemory: {} servers each, MiB\n  floor {floors:.1}, platform-gate idle {idle:.1}\n  \
         with {NODES} nodes and {IMAGES} images {full:.1}, at most so far {peaks:.1}, in floors: {ratio} {compared}",
        bench.rounds
    ));
    Ok(())
}
