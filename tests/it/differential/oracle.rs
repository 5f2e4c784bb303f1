//! The oracle's process: questions go in and answers come out, one JSON document a line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use serde_json::Value;

/// Answers until it is dropped.
pub(super) struct Oracle {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub(super) fn start(mode: &str) -> Self {
        let program = std::env::var_os("PLATFORM_GATE_ORACLE")
            .expect("PLATFORM_GATE_ORACLE must be the path that tests/differential/build prints");
        let mut child = Command::new(&program)
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
        Self {
            questions: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Asks everything at once. A thread of its own writes, so that neither side waits for a full pipe.
    pub(super) fn ask(&mut self, questions: &[Value]) -> Vec<Value> {
        let mut input = self.questions.take().unwrap();
        let answers = &mut self.answers;
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut text = Vec::new();
                for question in questions {
                    serde_json::to_writer(&mut text, question).unwrap();
                    text.push(b'\n');
                }
                input.write_all(&text).expect("the oracle reads");
                input
            });
            let mut line = String::new();
            let read = questions.iter().map(|question| {
                line.clear();
                let length = answers.read_line(&mut line).unwrap();
                assert!(length > 0, "the oracle ended at {question}");
                serde_json::from_str(&line).unwrap()
            });
            let read = read.collect();
            self.questions = Some(writer.join().unwrap());
            read
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}
