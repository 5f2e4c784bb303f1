//! What is known of every template, what is to be judged, and what of it nobody has been told yet.
//!
//! No I/O and no clock: what comes in are templates and findings, what comes out is what to judge and what to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::cluster::workloads::{Template, TemplateEvent, TemplateName, WATCHED, api_version};
use crate::domain::workload::WorkloadKind;
use crate::gate::Found;
use crate::report::policy::{self, Entry};
use crate::report::scan::State;

/// Most templates that are watched, so that memory is bounded: some 2 KB each.
const MOST: usize = 20_000;

/// Everything that is known, by namespace.
#[derive(Default)]
pub(super) struct Ledger {
    namespaces: BTreeMap<String, BTreeMap<(WorkloadKind, String), Row>>,
    count: usize,
    listed: BTreeSet<WorkloadKind>,
    to_judge: BTreeSet<TemplateName>,
    /// Namespaces whose report says something else than before.
    changed: BTreeSet<String>,
    /// Workloads that have gone over to another standing since they were last told of: what they came from.
    news: BTreeMap<TemplateName, Option<Standing>>,
    /// The first pass only says how things stand.
    has_begun: bool,
}

struct Row {
    template: Arc<Template>,
    found: Option<Found>,
    /// The last that was known for sure.
    standing: Option<Standing>,
}

/// How a workload stands, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Right,
    MayLandWrong,
    Nowhere,
}

/// A workload that stands otherwise than before.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub(super) template: Arc<Template>,
    pub(super) standing: Standing,
    pub(super) message: String,
}

impl Standing {
    /// `None` where something is unknown, or where no node takes the pods at the moment.
    fn of(found: &Found) -> Option<Self> {
        match State::of(&found.outcome) {
            State::Runs => Some(Self::Right),
            State::MayLandWrong => Some(Self::MayLandWrong),
            State::CannotRun => Some(Self::Nowhere),
            State::Unknown | State::NoNode => None,
        }
    }
}

impl Ledger {
    /// Takes what happened to templates.
    pub(super) fn take(&mut self, event: TemplateEvent) {
        match event {
            TemplateEvent::Restarted(kind, templates) => self.restart(kind, templates),
            TemplateEvent::Applied(template) => self.apply(*template),
            TemplateEvent::Deleted(name) => self.remove(&name),
        }
    }

    /// Whether every kind has been listed.
    pub(super) fn is_complete(&self) -> bool {
        self.listed.len() == WATCHED.len()
    }

    /// Whether something is to be judged.
    pub(super) fn has_work(&self) -> bool {
        !self.to_judge.is_empty()
    }

    /// Everything is to be judged anew.
    pub(super) fn mark_all(&mut self) {
        let names = self.rows().map(|row| row.template.name.clone());
        self.to_judge = names.collect();
    }

    /// Some of what is to be judged, which is then no longer to be.
    pub(super) fn next(&mut self, most: usize) -> Vec<Arc<Template>> {
        let mut next = Vec::new();
        while next.len() < most
            && let Some(name) = self.to_judge.pop_first()
        {
            next.extend(self.row(&name).map(|row| Arc::clone(&row.template)));
        }
        next
    }

    /// Takes what was found of a template; `None` where nobody wants to know. A template that has changed meanwhile is
    /// to be judged again anyway.
    pub(super) fn judged(&mut self, template: &Arc<Template>, found: Option<Found>) {
        let has_begun = self.has_begun;
        let name = template.name.clone();
        let Some(row) = self.row_mut(&name) else {
            return;
        };
        if !Arc::ptr_eq(&row.template, template) {
            return;
        }
        let says = |found: &Option<Found>| {
            let said = found.as_ref();
            said.map(|found| (found.outcome.clone(), found.message.clone()))
        };
        let is_same = says(&row.found) == says(&found);
        let before = row.standing;
        row.standing = found.as_ref().and_then(Standing::of).or(before);
        let now = row.standing;
        row.found = found;
        if !is_same {
            self.changed.insert(name.1.clone());
        }
        if has_begun && now != before {
            let from = *self.news.entry(name.clone()).or_insert(before);
            // Gone and come back, or right from the first: no news.
            if from == now || (from.is_none() && now == Some(Standing::Right)) {
                self.news.remove(&name);
            }
        }
    }

    /// Everything has been judged: from now on changes are news. Gives the number of workloads by code.
    pub(super) fn finish_pass(&mut self) -> BTreeMap<&'static str, i64> {
        self.has_begun = true;
        let mut counts = BTreeMap::new();
        for found in self.rows().filter_map(|row| row.found.as_ref()) {
            *counts.entry(found.outcome.code()).or_insert(0) += 1;
        }
        counts
    }

    /// Whether reports can be made: before the first pass has ended they would be incomplete.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The namespaces with workloads.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &String> {
        self.namespaces.keys()
    }

    /// The namespaces whose report is to be written again.
    pub(super) fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// What there is to say of a namespace; `None` where there is nothing.
    pub(super) fn report(&self, namespace: &str) -> Option<Value> {
        let rows = self.namespaces.get(namespace)?.values();
        let entries: Vec<Entry<'_>> = rows.filter_map(entry).collect();
        (!entries.is_empty()).then(|| policy::report(namespace, entries.into_iter()))
    }

    /// Some of the news, which is then told.
    pub(super) fn take_news(&mut self, most: usize) -> Vec<News> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((name, _)) = self.news.pop_first()
        {
            let news = self.row(&name).and_then(|row| {
                Some(News {
                    template: Arc::clone(&row.template),
                    standing: row.standing?,
                    message: row.found.as_ref()?.message.clone(),
                })
            });
            taken.extend(news);
        }
        taken
    }

    fn restart(&mut self, kind: WorkloadKind, templates: Vec<Template>) {
        self.listed.insert(kind);
        let there: BTreeSet<&TemplateName> = templates.iter().map(|it| &it.name).collect();
        let gone = self.rows().map(|row| &row.template.name);
        let gone = gone.filter(|name| name.0 == kind && !there.contains(name));
        let gone: Vec<TemplateName> = gone.cloned().collect();
        gone.iter().for_each(|name| self.remove(name));
        templates.into_iter().for_each(|it| self.apply(it));
    }

    /// Objects change all the time, templates seldom.
    fn apply(&mut self, template: Template) {
        let name = template.name.clone();
        let has_room = self.count < MOST;
        match self.row_mut(&name) {
            Some(row) if *row.template == template => return,
            Some(row) => row.template = Arc::new(template),
            None if !has_room => {
                tracing::debug!(?name, MOST, "too many workloads: this one is not watched");
                return;
            }
            None => {
                self.count += 1;
                if self.count == MOST {
                    tracing::warn!(MOST, "so many workloads are watched, and no more");
                }
                let row = Row {
                    template: Arc::new(template),
                    found: None,
                    standing: None,
                };
                let (kind, namespace, name) = name.clone();
                let rows = self.namespaces.entry(namespace).or_default();
                rows.insert((kind, name), row);
            }
        }
        self.to_judge.insert(name);
    }

    fn remove(&mut self, name: &TemplateName) {
        let (kind, namespace, own) = name;
        self.to_judge.remove(name);
        self.news.remove(name);
        let Some(rows) = self.namespaces.get_mut(namespace) else {
            return;
        };
        if rows.remove(&(*kind, own.clone())).is_some() {
            self.count -= 1;
            self.changed.insert(namespace.clone());
        }
        if rows.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.namespaces.values().flat_map(BTreeMap::values)
    }

    fn row(&self, (kind, namespace, name): &TemplateName) -> Option<&Row> {
        self.namespaces.get(namespace)?.get(&(*kind, name.clone()))
    }

    fn row_mut(&mut self, (kind, namespace, name): &TemplateName) -> Option<&mut Row> {
        let rows = self.namespaces.get_mut(namespace)?;
        rows.get_mut(&(*kind, name.clone()))
    }
}

fn entry(row: &Row) -> Option<Entry<'_>> {
    let found = row.found.as_ref()?;
    let (kind, _, name) = &row.template.name;
    Some(Entry {
        api_version: api_version(*kind),
        kind: kind.name(),
        name,
        uid: &row.template.uid,
        state: State::of(&found.outcome),
        code: found.outcome.code(),
        message: &found.message,
    })
}

#[cfg(test)]
mod tests;
