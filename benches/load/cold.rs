//! A review of a pod whose ten images nobody knows, from a registry that is 100 ms away and wants a token for each
//! repository: beside the three round trips that one image takes, made one after the other.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::client::{Client, Protocol};
use super::spread::Spread;
use super::{Bench, world};
use crate::support::registry::FakeRegistry;

const ROUND_TRIP: Duration = Duration::from_millis(100);
const IMAGES: usize = 10;

pub(crate) async fn run(bench: &mut Bench) -> Result<()> {
    let (mut floors, mut reviews) = (Vec::new(), Vec::new());
    let server = bench.server(15)?;
    for _ in 0..bench.rounds {
        // A registry that nobody has spoken to, so that connections and tokens are cold too.
        let registry = world::far_registry(world::images(1), ROUND_TRIP).await;
        floors.push(one_after_the_other(&registry).await?);
        let registry = world::far_registry(world::images(IMAGES), ROUND_TRIP).await;
        let body = world::review_of(&registry.host(), 0..IMAGES);
        let mut client = Client::connect(&server.address, Protocol::Http1).await?;
        let sample = client.run(&[body], 1, None).await?;
        reviews.push(sample.within(1.0) / 1e3);
        let manifests = registry.lines();
        let manifests = manifests.iter().filter(|line| line.contains("/manifests/"));
        ensure!(manifests.count() >= IMAGES, "not every image was asked for");
    }
    let ratio = Spread::of(
        reviews
            .iter()
            .zip(&floors)
            .map(|(review, floor)| review / floor),
    );
    let (review, floor) = (Spread::of(reviews), Spread::of(floors));
    let compared = bench.recorded.compare("load/cold", ratio.median);
    bench.say(&format!(
        "\ncold: {} reviews of {IMAGES} unknown images each, answers of the registry after {ROUND_TRIP:?}, tokens wanted\n  \
         review {review:.3} s, challenge, token and manifest alone {floor:.3} s, in floors: {ratio} {compared}",
        bench.rounds
    ));
    Ok(())
}

async fn one_after_the_other(registry: &FakeRegistry) -> Result<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let (url, began) = (registry.url(), Instant::now());
    let manifest = format!("{url}/v2/app-0/manifests/1");
    let refused = client.get(&manifest).send().await?;
    ensure!(refused.status() == 401, "{}", refused.status());
    client
        .get(format!("{url}/token"))
        .send()
        .await?
        .bytes()
        .await?;
    let found = client
        .get(&manifest)
        .bearer_auth("opensesame")
        .send()
        .await?;
    found.error_for_status()?.bytes().await?;
    Ok(began.elapsed().as_secs_f64())
}
