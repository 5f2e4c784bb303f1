//! The oracle's answers to one index on containerd, and whether they bear our verdict out.

use platform_gate::domain::platform::Platform;
use platform_gate::domain::runtime::{Containerd, Runtime};
use platform_gate::domain::verdict::{Doubt, Isolation};
use platform_gate::domain::windows::WindowsVersion;

use super::containerd::{Asked, NEW, OLD, OnContainerd, Picked, is_some_arm, is_unversioned};
use super::images::{Content, Entry, at};

/// The oracle's answers to one case.
pub(super) struct Said<'a> {
    pub(super) case: &'a OnContainerd,
    pub(super) asked: Vec<Asked>,
    pub(super) answers: &'a [Picked],
}

impl Said<'_> {
    fn all(&self) -> impl Iterator<Item = (&Asked, &Picked)> {
        self.asked.iter().zip(self.answers)
    }

    /// The answers by one set of rules, one for each host that the node may be.
    fn by(&self, rules: Containerd) -> Vec<&Picked> {
        self.all()
            .filter(|(asked, _)| asked.rules == rules)
            .map(|(_, answer)| answer)
            .collect()
    }

    /// By every set of rules that the runtime may have.
    fn by_each(&self) -> Vec<Vec<&Picked>> {
        self.case
            .rules()
            .into_iter()
            .map(|rules| self.by(rules))
            .collect()
    }

    /// The newest rules decide what is chosen. Whatever version a Windows node has, the image must run.
    pub(super) fn runs(&self, chosen: Option<usize>) -> bool {
        let answers = self.by_each();
        if is_unversioned(&self.case.node()) {
            return chosen.is_some() && answers.iter().flatten().all(|answer| answer.matches);
        }
        let first = |answers: &Vec<&Picked>| answers[0].matches;
        let newest = answers.last().unwrap()[0];
        answers.iter().all(first) && newest.chosen.first().copied() == chosen
    }

    pub(super) fn cannot_run(&self) -> bool {
        self.by_each()
            .iter()
            .flatten()
            .all(|answer| !answer.matches)
    }

    pub(super) fn justifies(&self, doubt: Doubt) -> bool {
        let node = self.case.node();
        let rules = self.case.rules();
        let any = |fits: &dyn Fn(Containerd) -> bool| rules.iter().any(|rules| fits(*rules));
        match doubt {
            Doubt::FallbackOnly => any(&|rules| self.only_transfer_fails(rules)),
            Doubt::Aarch32 => {
                node.architecture == "arm64" && any(&|rules| self.picks_arm(self.by(rules)[0]))
            }
            Doubt::ArmVariant => {
                let local = |rules| Containerd {
                    transfer: false,
                    ..rules
                };
                let differ = |rules| !self.by(rules)[0].matches && self.by(local(rules))[1].matches;
                is_some_arm(&node) && any(&differ)
            }
            // Docker alone asks for a level.
            Doubt::CpuLevel => {
                let level = |rules| {
                    let answers = self.by(rules);
                    !answers[0].matches && answers.len() == 2 && answers[1].matches
                };
                self.case.runtime == Runtime::Docker && any(&level)
            }
            Doubt::NodeVersion => {
                is_unversioned(&node) && any(&|rules| self.depends_on_version(rules))
            }
            Doubt::Revision => {
                let differ = |rules| self.picks_other_revision(self.by(rules)[0], node.windows);
                self.case.isolation == Isolation::Process && any(&differ)
            }
            Doubt::PlatformlessEntry => any(&|rules| self.is_sized_elsewhere(rules)),
            Doubt::RuntimeVersion => {
                rules.len() == 2 && self.by(OLD)[0].matches != self.by(NEW)[0].matches
            }
            _ => false,
        }
    }

    /// Whether the client's pull works and the transfer service's does not, for lack of what it did not download.
    fn only_transfer_fails(&self, rules: Containerd) -> bool {
        let transfer = self.by(rules)[0];
        let local = self.by(Containerd {
            transfer: false,
            ..rules
        })[0];
        let lacks =
            transfer.error.starts_with("content digest ") && transfer.error.ends_with("not found");
        rules.transfer && local.matches && !transfer.matches && lacks
    }

    /// Whether the image runs on some versions of the node only, by either way to pull. Where entries lead further, one
    /// that states a version is enough.
    fn depends_on_version(&self, rules: Containerd) -> bool {
        let differs = |rules| {
            let answers = self.by(rules);
            answers
                .iter()
                .any(|answer| answer.matches != answers[0].matches)
        };
        let leads_further =
            |entry: &Entry| entry.platform.is_none() || matches!(entry.content, Content::Index(_));
        let may_be_arm = |rules| self.by(rules).iter().any(|answer| self.picks_arm(answer));
        differs(rules)
            || differs(Containerd {
                transfer: false,
                ..rules
            })
            || self.case.index.iter().any(leads_further)
            || (self.case.node().architecture == "arm64" && may_be_arm(rules))
    }

    /// Whether an entry without a platform is picked beside entries with one. The oracle asks the code that picks; the
    /// CRI then fails over what it did not pull, as the cluster tests show.
    fn is_sized_elsewhere(&self, rules: Containerd) -> bool {
        let mut picked = self.by(rules).into_iter().filter(|answer| answer.matches);
        self.case.runtime != Runtime::Docker
            && picked.any(|answer| is_beside_others(&self.case.index, &answer.chosen))
    }

    fn leaf(&self, picked: &Picked) -> Option<Platform> {
        at(&self.case.index, &picked.chosen).map(Entry::says)
    }

    fn picks_arm(&self, picked: &Picked) -> bool {
        let leaf = self
            .leaf(picked)
            .map(|leaf| leaf.architecture.to_lowercase());
        picked.matches
            && leaf.is_some_and(|leaf| matches!(leaf.as_str(), "arm" | "armhf" | "armel"))
    }

    fn picks_other_revision(&self, picked: &Picked, host: Option<WindowsVersion>) -> bool {
        let read = |leaf: Platform| WindowsVersion::parse(&leaf.os_version?);
        let (Some(host), Some(image)) = (host, self.leaf(picked).and_then(read)) else {
            return false;
        };
        let both_2016 = host.build == 14393 && image.build == 14393;
        both_2016
            && host
                .revision
                .zip(image.revision)
                .is_some_and(|(a, b)| a != b)
    }
}

/// Whether a step of the path takes an entry without a platform from an index that has others.
fn is_beside_others(entries: &[Entry], path: &[usize]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return false;
    };
    let others = entries.iter().any(|entry| entry.platform.is_some());
    match entries.get(*first) {
        Some(entry) if entry.platform.is_none() && others => true,
        Some(Entry {
            content: Content::Index(nested),
            ..
        }) => is_beside_others(nested, rest),
        _ => false,
    }
}
