//! Judging by answers that the caller already has: for a scan, which asks for each image once and judges it on many
//! nodes, as they are and as they would be.

use std::sync::Arc;

use super::resolve::to_look_up;
use super::{Gate, Judgement, conclude, exemptions};
use crate::domain::decision::{Assessment, ResolvedImage};
use crate::domain::image::Image;
use crate::domain::lookup::LookupFailure;
use crate::domain::pod::{PodImage, PodSpec};
use crate::domain::reference::Reference;
use crate::domain::verdict::Doubt;
use crate::domain::workload::WorkloadKind;

impl Gate {
    /// As [`Gate::judge_template`], with `known` in place of the registries. Images are judged on every group of nodes,
    /// even where the pod may land on none.
    pub fn judge_known<'a>(
        &self,
        spec: &'a PodSpec<'a>,
        kind: WorkloadKind,
        known: impl Fn(&Reference) -> Result<Arc<Image>, LookupFailure>,
    ) -> Judgement<'a> {
        let answer = |image: &PodImage<'_>| known(&to_look_up(image)?).map_err(Doubt::Lookup);
        let resolve = |image: PodImage<'a>| ResolvedImage {
            answer: answer(&image),
            image,
        };
        let rules = self.rules.load_full();
        let (images, exemptions) = exemptions::part(&rules.exempt, spec.images());
        let images = images.into_iter().map(resolve).collect();
        self.settle();
        let admitted = self.admitted(spec);
        let groups = self.inventory().groups(&admitted);
        let handler = self.handler(&rules, spec);
        let mut assessment = Assessment::new(images, groups, handler);
        self.explain(&admitted, &mut assessment);
        let spared = self.spared_template(spec, kind, &assessment);
        conclude((&rules, None), assessment, exemptions, spared)
    }
}
