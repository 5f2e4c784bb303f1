//! Runs a list of cases against the oracle: counts agreements by kind, makes a disagreement as small as it gets.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use super::oracle::Oracle;
use super::random::Random;

/// One case of a differential test.
pub(super) trait Trial: Clone {
    /// The oracle's mode.
    const MODE: &'static str;

    /// What to ask the oracle.
    fn questions(&self) -> Vec<Value>;

    /// Puts our answer beside the oracle's: the kind of agreement, by which cases are counted, or what is wrong.
    fn compare(&self, answers: &[Value]) -> Result<String, String>;

    /// The case with one thing less, in every way.
    fn smaller(&self) -> Vec<Self>;

    /// The case as JSON.
    fn show(&self) -> Value;
}

/// How often each kind of agreement came out.
pub(super) struct Counts(BTreeMap<String, usize>);

impl Counts {
    /// Checks that the cases drawn are worth something: so many of each kind. Of fewer cases than usual, nothing can
    /// be said.
    pub(super) fn have(&self, kinds: &[(&str, usize)]) {
        let too_few = kinds
            .iter()
            .filter(|(kind, least)| self.0.get(*kind).is_none_or(|count| count < least));
        let too_few: Vec<_> = too_few.collect();
        let usual = number(CASES).is_none();
        assert!(!usual || too_few.is_empty(), "fewer cases than {too_few:?}");
    }
}

/// The environment variables that choose the cases.
const SEED: &str = "PLATFORM_GATE_SEED";
const CASES: &str = "PLATFORM_GATE_CASES";

/// Disagreements that are made small and shown.
const SHOWN: usize = 5;

/// Draws cases and compares them all. Panics if any disagrees.
#[expect(clippy::print_stdout, reason = "a test says what it compared")]
pub(super) fn run<T: Trial>(name: &str, count: usize, draw: impl Fn(&mut Random) -> T) -> Counts {
    let seed = number(SEED).unwrap_or(20_260_101);
    let count = number(CASES).map_or(count, |count| usize::try_from(count).unwrap());
    let began = Instant::now();
    let mut random = Random::new(seed);
    let cases: Vec<T> = (0..count).map(|_| draw(&mut random)).collect();
    let mut oracle = Oracle::start(T::MODE);
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for (case, said) in cases.iter().zip(ask(&mut oracle, &cases)) {
        match said {
            Ok(kind) => *counts.entry(kind).or_default() += 1,
            Err(_) => wrong.push(case),
        }
    }
    let seconds = began.elapsed().as_secs_f32();
    println!(
        "{name}: {count} cases of seed {seed} in {seconds:.1} s, {} differ",
        wrong.len()
    );
    for (kind, count) in &counts {
        println!("{count:8} {kind}");
    }
    let shown: Vec<String> = wrong
        .iter()
        .take(SHOWN)
        .map(|case| shrink(&mut oracle, (*case).clone()))
        .collect();
    assert!(
        wrong.is_empty(),
        "{name}: {} of {count} cases differ ({SEED}={seed}); the smallest of the first {}:\n{}",
        wrong.len(),
        shown.len(),
        shown.join("\n")
    );
    Counts(counts)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}

fn ask<T: Trial>(oracle: &mut Oracle, cases: &[T]) -> Vec<Result<String, String>> {
    let questions: Vec<Vec<Value>> = cases.iter().map(Trial::questions).collect();
    let answers = oracle.ask(&questions.concat());
    let mut answers = answers.as_slice();
    let compare = |(case, questions): (&T, &Vec<Value>)| {
        let own;
        (own, answers) = answers.split_at(questions.len());
        case.compare(own)
    };
    cases.iter().zip(&questions).map(compare).collect()
}

/// Takes things away for as long as the case still disagrees.
fn shrink<T: Trial>(oracle: &mut Oracle, mut case: T) -> String {
    loop {
        let smaller = case.smaller();
        let said = ask(oracle, &smaller);
        match smaller
            .into_iter()
            .zip(said)
            .find(|(_, said)| said.is_err())
        {
            Some((next, _)) => case = next,
            None => break,
        }
    }
    let said = ask(oracle, std::slice::from_ref(&case)).remove(0);
    format!("{}\n    {}", case.show(), said.unwrap_err())
}
