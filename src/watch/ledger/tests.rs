//! What is news, and what is not.

use serde_json::json;

use super::*;
use crate::domain::decision::Outcome;
use crate::domain::lookup::LookupFailure;
use crate::domain::pin::Axis;
use crate::domain::verdict::Doubt;

fn template(name: &str, image: &str) -> Template {
    let object =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}}});
    let kind = WorkloadKind::Deployment;
    Template {
        name: (kind, "shop".to_owned(), name.to_owned()),
        uid: "u".to_owned(),
        spec: kind.read(object).unwrap().pod.spec,
    }
}

fn found(outcome: Outcome) -> Option<Found> {
    Some(Found {
        message: outcome.code().to_owned(),
        outcome,
        asked: false,
    })
}

fn wrong() -> Option<Found> {
    found(Outcome::MayLandWrong(vec![Axis::Os]))
}

fn unknown() -> Option<Found> {
    found(Outcome::Unknown(Doubt::Lookup(LookupFailure::Timeout)))
}

/// A ledger of one Deployment, which the first pass has found to be this.
fn begun(first: Option<&Found>) -> Ledger {
    let mut ledger = Ledger::default();
    for (kind, ..) in WATCHED {
        let all = match kind {
            WorkloadKind::Deployment => vec![template("web", "a")],
            _ => Vec::new(),
        };
        assert!(!ledger.is_complete());
        ledger.take(TemplateEvent::Restarted(kind, all));
    }
    assert!(ledger.is_complete());
    judge(&mut ledger, first);
    ledger.finish_pass();
    ledger
}

fn judge(ledger: &mut Ledger, found: Option<&Found>) {
    for template in ledger.next(9) {
        ledger.judged(&template, found.cloned());
    }
}

fn told(ledger: &mut Ledger) -> Vec<Standing> {
    let news = ledger.take_news(9).into_iter();
    news.map(|news| news.standing).collect()
}

#[test]
fn only_a_known_change_of_standing_is_news_and_the_start_is_none() {
    let none = || found(Outcome::NoCandidate);
    let runs = || found(Outcome::Runs);
    let (right, may, nowhere) = (Standing::Right, Standing::MayLandWrong, Standing::Nowhere);
    for (first, then, want) in [
        (wrong(), vec![wrong()], vec![]),
        (runs(), vec![wrong()], vec![may]),
        (runs(), vec![unknown(), wrong()], vec![may]),
        (wrong(), vec![unknown(), none(), wrong()], vec![]),
        (wrong(), vec![runs()], vec![right]),
        (wrong(), vec![found(Outcome::Nowhere)], vec![nowhere]),
        (wrong(), vec![runs(), wrong()], vec![]),
        (unknown(), vec![runs()], vec![]),
        (unknown(), vec![wrong()], vec![may]),
    ] {
        let mut ledger = begun(first.as_ref());
        assert_eq!(told(&mut ledger), [], "{first:?}");
        for found in then.clone() {
            ledger.mark_all();
            judge(&mut ledger, found.as_ref());
        }
        assert_eq!(told(&mut ledger), want, "{first:?} {then:?}");
        assert_eq!(told(&mut ledger), [], "told once");
    }
}

#[test]
fn a_new_template_is_judged_and_an_old_one_is_not() {
    let mut ledger = begun(found(Outcome::Runs).as_ref());
    ledger.take(TemplateEvent::Applied(Box::new(template("web", "a"))));
    assert!(!ledger.has_work(), "nothing has changed");
    ledger.take(TemplateEvent::Applied(Box::new(template("web", "b"))));
    let taken = ledger.next(9);
    ledger.take(TemplateEvent::Applied(Box::new(template("web", "c"))));
    taken.iter().for_each(|it| ledger.judged(it, wrong()));
    assert_eq!(told(&mut ledger), [], "it is not what it was");
    judge(&mut ledger, wrong().as_ref());
    assert_eq!(told(&mut ledger), [Standing::MayLandWrong]);
    let name = template("web", "c").name;
    ledger.take(TemplateEvent::Deleted(name));
    assert_eq!(ledger.report("shop"), None);
    assert_eq!(ledger.finish_pass(), BTreeMap::new());
    assert_eq!(ledger.take_changed(), BTreeSet::from(["shop".to_owned()]));
}

#[test]
fn a_report_changes_with_what_it_says() {
    let mut ledger = begun(wrong().as_ref());
    assert_eq!(ledger.take_changed().len(), 1);
    ledger.mark_all();
    judge(&mut ledger, wrong().as_ref());
    assert!(ledger.take_changed().is_empty());
    assert_eq!(ledger.report("shop").unwrap()["summary"]["warn"], 1);
    ledger.mark_all();
    judge(&mut ledger, unknown().as_ref());
    assert_eq!(ledger.take_changed().len(), 1);
    let report = ledger.report("shop").unwrap();
    assert_eq!(
        (&report["summary"]["skip"], &report["summary"]["fail"]),
        (&json!(1), &json!(0))
    );
    // A list that was made anew, without it.
    ledger.take(TemplateEvent::Restarted(
        WorkloadKind::Deployment,
        Vec::new(),
    ));
    assert_eq!(ledger.report("shop"), None);
}

#[test]
fn memory_is_bounded() {
    let mut ledger = begun(found(Outcome::Runs).as_ref());
    for number in 0..MOST + 10 {
        let template = template(&number.to_string(), "a");
        ledger.take(TemplateEvent::Applied(Box::new(template)));
    }
    assert_eq!(ledger.rows().count(), MOST);
}
