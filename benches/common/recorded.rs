//! The ratios to the floor that `benches/recorded.json` holds, and how far a new one is from its own.
//!
//! A ratio is what something costs as a multiple of its floor in the same run: machines differ in the cost, and hardly
//! in the ratio. `--record` writes those of a run; nothing fails because of one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A ratio this much greater than the recorded one is told of as slower, and a smaller one as faster.
const NOTABLE: f64 = 0.10;

pub(crate) struct Recorded {
    ratios: BTreeMap<String, f64>,
    records: bool,
    compared: usize,
    slower: Vec<String>,
}

impl Recorded {
    pub(crate) fn read(records: bool) -> Result<Self> {
        let text = std::fs::read_to_string(file()).context("benches/recorded.json")?;
        Ok(Self {
            ratios: serde_json::from_str(&text).context("benches/recorded.json")?,
            records,
            compared: 0,
            slower: Vec::new(),
        })
    }

    /// What to say of a ratio beside the recorded one.
    pub(crate) fn compare(&mut self, name: &str, ratio: f64) -> String {
        let before = self.ratios.get(name).copied();
        if self.records {
            let rounded = (ratio * 1000.0).round() / 1000.0;
            self.ratios.insert(name.to_owned(), rounded);
        }
        let Some(before) = before else {
            return "not recorded yet".to_owned();
        };
        self.compared += 1;
        let more = ratio / before - 1.0;
        let percent = 100.0 * more.abs();
        if more > NOTABLE {
            let said = format!("SLOWER than recorded by {percent:.0} % ({before:.2})");
            self.slower.push(format!("{name}: {said}"));
            said
        } else if more < -NOTABLE {
            format!("faster than recorded by {percent:.0} % ({before:.2})")
        } else {
            format!("as recorded ({before:.2})")
        }
    }

    /// Writes the ratios where that was asked for. Returns what to say at the end of the output.
    pub(crate) fn conclude(self) -> Result<String> {
        if self.records {
            let text = serde_json::to_string_pretty(&self.ratios)?;
            std::fs::write(file(), text + "\n").context("benches/recorded.json")?;
            return Ok("recorded in benches/recorded.json".to_owned());
        }
        Ok(match (self.compared, self.slower.is_empty()) {
            (0, _) => "nothing is recorded to compare with: --record keeps these ratios".to_owned(),
            (compared, true) => {
                format!("of {compared} recorded ratios, none is slower by more than 10 %")
            }
            _ => self.slower.join("\n"),
        })
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/recorded.json")
}
