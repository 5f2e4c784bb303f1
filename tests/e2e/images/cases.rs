//! Every kind of image, what the real node (linux/amd64, containerd 2.2) makes of it, and the verdict that foretells it.
//! One row is one case; the image is made from the row.

mod indexes;
mod nested;
mod pinned;
mod singles;

use super::made::Image;

/// What becomes of a container on the real node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its program runs and ends with 0. Of a volume: it is mounted.
    Runs,
    /// The pull fails, with these words.
    NotPulled(&'static str),
    /// It is pulled, but does not start, with these words: of a single manifest, containerd does not look at the config.
    NotStarted(&'static str),
}

/// How a pod names the image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pin {
    Tag,
    /// By the digest of the image itself.
    Digest,
    /// By the digest of an entry.
    Entry(usize),
    /// By the tag of the image and the digest of an entry.
    TagAndEntry(usize),
}

/// A row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// The image is `test/<name>:1`, or the name itself for a real one.
    pub(crate) name: &'static str,
    pub(crate) image: Image,
    pub(crate) pin: Pin,
    /// Mounted as a volume instead of being run.
    pub(crate) volume: bool,
    pub(crate) outcome: Outcome,
    /// `runs [chosen entry]`, `cannot-run CODE` or `unknown CODE`.
    pub(crate) verdict: &'static str,
    /// Why the verdict did not come true. Only an image whose documents lie about what they lead to, or lack what the OCI
    /// demands, may have a reason.
    pub(crate) flaw: Option<&'static str>,
}

impl Case {
    const fn pinned(mut self, pin: Pin) -> Self {
        self.pin = pin;
        self
    }

    const fn as_volume(mut self) -> Self {
        self.volume = true;
        self
    }

    const fn flawed(mut self, flaw: &'static str) -> Self {
        self.flaw = Some(flaw);
        self
    }

    /// The image's name with its tag, as a pod has it.
    pub(crate) fn tagged(&self) -> String {
        match self.image {
            Image::Real => self.name.to_owned(),
            _ => format!("{}:1", self.repository()),
        }
    }

    pub(super) fn repository(&self) -> String {
        format!("test/{}", self.name)
    }

    /// `runs`, `cannot-run` or `unknown`.
    pub(crate) fn kind(&self) -> &'static str {
        self.verdict.split(' ').next().unwrap_or_default()
    }

    /// Whether the verdict came true; one that says nothing cannot fail to.
    pub(crate) fn came_true(&self) -> bool {
        match self.kind() {
            "runs" => self.outcome == Outcome::Runs,
            "cannot-run" => self.outcome != Outcome::Runs,
            _ => true,
        }
    }
}

const fn case(name: &'static str, image: Image, outcome: Outcome, verdict: &'static str) -> Case {
    Case {
        name,
        image,
        pin: Pin::Tag,
        volume: false,
        outcome,
        verdict,
        flaw: None,
    }
}

const AMD64: &str = "linux/amd64";
const ARM64: &str = "linux/arm64";
const X86: &str = "linux/386";
const WINDOWS_2019: &str = "windows/amd64:10.0.17763.5458";
const WINDOWS_2022: &str = "windows/amd64:10.0.20348.2402";
const ATTESTATION: &str = "unknown/unknown";

const LYING_CONFIG: &str = "the config names another platform than the program is for";
const LYING_ENTRY: &str = "the entry points to something else than it names";

/// containerd's words for an image that has nothing for the node.
const NO_MATCH: Outcome = Outcome::NotPulled("no match for platform in manifest");
/// containerd's words for an entry that its transfer service did not download, and that is chosen all the same.
const NOT_DOWNLOADED: Outcome = Outcome::NotPulled("get image config descriptor: content digest");
/// containerd's words where it looks for the size of an entry that it has not downloaded.
const NOT_SIZED: Outcome = Outcome::NotPulled("get image compressed resource size: content digest");
/// The kernel's words for a program that is for another platform.
const EXEC_FORMAT: Outcome = Outcome::NotStarted("exec format error");

/// runc's words where there is no program at all.
const NOTHING_TO_START: Outcome = Outcome::NotStarted("executable file not found");

/// All rows.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [indexes::ALL, nested::ALL, singles::ALL, pinned::ALL]
        .into_iter()
        .flatten()
}
