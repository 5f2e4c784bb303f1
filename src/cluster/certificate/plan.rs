//! What has to happen to the certificate: nothing, a new serving certificate, or the next step from one CA to another.
//!
//! A CA is changed so that at every moment clients trust what every replica presents: the new CA is published beside the
//! old one, then signs the serving certificate, and only then does the old one go.

use std::time::{Duration, SystemTime};

use super::secret::Renew;
use crate::certificate::{
    CertificateError, Issued, Pair, Validity, certified_key, check_serves, issue, issue_ca,
    issue_leaf, split,
};

/// What is to be done with the Secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is good as it is.
    Keep(Issued),
    /// This is to be written into it, for the reason given.
    Write(Issued, &'static str),
}

/// What there is to decide by, besides what the Secret holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    /// What this replica holds, in case the Secret was emptied.
    pub(super) held: Option<&'a Issued>,
    /// The names to serve.
    pub(super) names: &'a [String],
    /// The time by the wall clock.
    pub(super) now: SystemTime,
    /// For how long API servers have been told to trust just what the Secret says; zero if they have not.
    pub(super) published_for: Duration,
    /// How long that takes to reach everybody.
    pub(super) overlap: Duration,
    /// What somebody asked for.
    pub(super) asked: Option<Renew>,
}

/// Decides by what the Secret holds, and by the situation.
pub(super) fn plan(
    stored: Option<Issued>,
    situation: &Situation<'_>,
) -> Result<Plan, CertificateError> {
    match stored {
        None => situation.restore(None, "there was none"),
        Some(stored) if situation.serves(&stored) => situation.next_step(stored),
        Some(stored) => situation.mend(&stored),
    }
}

impl Situation<'_> {
    /// Whether clients accept what is stored.
    fn serves(&self, issued: &Issued) -> bool {
        check_serves(&issued.leaf, &issued.ca.certificate, self.names, self.now).is_ok()
    }

    /// What is stored serves: whether it is time for something else.
    fn next_step(&self, stored: Issued) -> Result<Plan, CertificateError> {
        let settled = self.published_for >= self.overlap;
        let cas = split(&stored.ca.certificate)?;
        if let Some(next) = stored.next.as_ref().filter(|next| self.signs(next)) {
            return if settled {
                self.switch(next, &cas)
            } else {
                Ok(Plan::Keep(stored))
            };
        }
        if self.ca_is_due(&stored.ca) || self.asked == Some(Renew::Ca) {
            return self.stage(stored);
        }
        if self.leaf_is_due(&stored.leaf) || self.asked == Some(Renew::Leaf) {
            return self.renew(&stored);
        }
        if stored.next.is_none() && (cas.len() == 1 || !settled) {
            return Ok(Plan::Keep(stored));
        }
        // The first is the one that signs. A next one that is here still is broken.
        let certificate = cas.into_iter().next().unwrap_or_default();
        let ca = Pair {
            certificate,
            ..stored.ca
        };
        let alone = Issued {
            ca,
            next: None,
            ..stored
        };
        Ok(Plan::Write(alone, "the old CA is no longer used"))
    }

    /// The first step from one CA to another: trusted, not used yet.
    fn stage(&self, stored: Issued) -> Result<Plan, CertificateError> {
        let next = issue_ca(self.now)?;
        let certificate = format!("{}{}", stored.ca.certificate, next.certificate);
        let staged = Issued {
            ca: Pair {
                certificate,
                ..stored.ca
            },
            next: Some(next),
            ..stored
        };
        Ok(Plan::Write(staged, "the CA was due: publishing the next"))
    }

    /// The second step: used, with the old one still trusted.
    fn switch(&self, next: &Pair, cas: &[String]) -> Result<Plan, CertificateError> {
        let others = cas.iter().filter(|ca| **ca != next.certificate);
        let certificate = std::iter::once(&next.certificate).chain(others);
        let switched = Issued {
            leaf: issue_leaf(next, self.names, self.now)?,
            ca: Pair {
                certificate: certificate.map(String::as_str).collect(),
                key: next.key.clone(),
            },
            next: None,
        };
        Ok(Plan::Write(switched, "the next CA is trusted everywhere"))
    }

    fn renew(&self, stored: &Issued) -> Result<Plan, CertificateError> {
        let renewed = Issued {
            leaf: issue_leaf(&stored.ca, self.names, self.now)?,
            ..stored.clone()
        };
        Ok(Plan::Write(renewed, "the serving certificate was due"))
    }

    /// What is stored does not serve: sign anew if its CA can, else restore.
    fn mend(&self, stored: &Issued) -> Result<Plan, CertificateError> {
        // A CA whose key is of another certificate signs what nobody trusts.
        if self.signs(&stored.ca)
            && let Ok(Plan::Write(renewed, why)) = self.renew(stored)
            && self.serves(&renewed)
        {
            return Ok(Plan::Write(renewed, why));
        }
        self.restore(Some(stored), "its CA could not be used")
    }

    /// What this replica holds if that is good, else all anew; CAs that were trusted stay so for a while.
    fn restore(
        &self,
        stored: Option<&Issued>,
        why: &'static str,
    ) -> Result<Plan, CertificateError> {
        if let Some(held) = self.held.filter(|held| self.serves(held)) {
            return Ok(Plan::Write(held.clone(), "the Secret was emptied"));
        }
        let mut issued = issue(self.names, self.now)?;
        let old = stored.map(|stored| stored.ca.certificate.as_str());
        for ca in split(old.unwrap_or_default()).unwrap_or_default() {
            let life = Validity::of_pem(&ca);
            if life.is_ok_and(|life| life.not_after > self.now) {
                issued.ca.certificate.push_str(&ca);
            }
        }
        Ok(Plan::Write(issued, why))
    }

    fn signs(&self, ca: &Pair) -> bool {
        certified_key(ca, self.now).is_ok()
    }

    fn ca_is_due(&self, ca: &Pair) -> bool {
        match certified_key(ca, self.now) {
            Ok((_, validity)) => validity.needs_renewal(self.now),
            Err(_) => true,
        }
    }

    fn leaf_is_due(&self, leaf: &Pair) -> bool {
        let life = Validity::of_pem(&leaf.certificate);
        life.map_or(true, |life| life.needs_renewal(self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const OVERLAP: Duration = Duration::from_secs(300);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    fn names() -> Vec<String> {
        vec!["gate.shop.svc".into(), "gate".into()]
    }

    /// Nothing held, nothing asked, nothing published for long enough.
    fn at(names: &[String], now: SystemTime) -> Situation<'_> {
        Situation {
            held: None,
            names,
            now,
            published_for: Duration::ZERO,
            overlap: OVERLAP,
            asked: None,
        }
    }

    fn written(plan: Plan) -> (Issued, &'static str) {
        match plan {
            Plan::Write(issued, why) => (issued, why),
            Plan::Keep(_) => panic!("kept"),
        }
    }

    #[test]
    fn what_is_good_is_kept() {
        let names = names();
        let issued = issue(&names, now()).unwrap();
        for published_for in [Duration::ZERO, OVERLAP] {
            let situation = Situation {
                published_for,
                ..at(&names, now() + 200 * DAY)
            };
            let stored = plan(Some(issued.clone()), &situation).unwrap();
            assert_eq!(stored, Plan::Keep(issued.clone()));
        }
    }

    #[test]
    fn an_empty_secret_is_filled_with_what_is_held_or_anew() {
        let names = names();
        let (first, why) = written(plan(None, &at(&names, now())).unwrap());
        assert_eq!(why, "there was none");
        let holding = |now| Situation {
            held: Some(&first),
            ..at(&names, now)
        };
        let (again, why) = written(plan(None, &holding(now())).unwrap());
        assert_eq!((again, why), (first.clone(), "the Secret was emptied"));
        let much_later = now() + 20 * 365 * DAY;
        let (anew, _) = written(plan(None, &holding(much_later)).unwrap());
        assert_ne!(anew, first);
    }

    #[test]
    fn a_serving_certificate_is_renewed_by_the_same_ca() {
        let issued = issue(&names(), now()).unwrap();
        let other_names = vec!["renamed.shop.svc".to_owned()];
        let stranger = issue(&names(), now()).unwrap();
        let leaf = |certificate: &str, key: &str| Issued {
            leaf: Pair {
                certificate: certificate.into(),
                key: key.into(),
            },
            ..issued.clone()
        };
        let mismatched = leaf(&issued.leaf.certificate, &stranger.leaf.key);
        let garbage = leaf("x", "y");
        let foreign = leaf(&stranger.leaf.certificate, &stranger.leaf.key);
        for (case, stored, names, when) in [
            ("third of life left", &issued, names(), now() + 245 * DAY),
            ("expired", &issued, names(), now() + 400 * DAY),
            ("other service", &issued, other_names, now()),
            ("mismatched key", &mismatched, names(), now()),
            ("garbage", &garbage, names(), now()),
            ("of another CA", &foreign, names(), now()),
        ] {
            let situation = at(&names, when);
            let (next, why) = written(plan(Some(stored.clone()), &situation).unwrap());
            assert_eq!(why, "the serving certificate was due", "{case}");
            assert_eq!(next.ca, issued.ca, "{case}");
            let again = plan(Some(next.clone()), &situation).unwrap();
            assert_eq!(again, Plan::Keep(next), "{case}");
        }
    }

    #[test]
    fn a_serving_certificate_is_renewed_when_asked_for() {
        let names = names();
        let issued = issue(&names, now()).unwrap();
        let asked = Situation {
            asked: Some(Renew::Leaf),
            ..at(&names, now())
        };
        let (next, _) = written(plan(Some(issued.clone()), &asked).unwrap());
        assert_eq!(next.ca, issued.ca);
        assert_ne!(next.leaf, issued.leaf);
    }

    /// At every step what is presented before and after is trusted by what is published before and after.
    #[test]
    fn a_ca_is_changed_in_three_steps_each_of_which_overlaps() {
        let names = names();
        let first = issue(&names, now()).unwrap();
        let stranger = issue(&names, now()).unwrap();
        let mut broken = first.clone();
        broken.ca.key = stranger.ca.key;
        let later = now() + 7 * 365 * DAY;
        let mut old = first.clone();
        old.leaf = issue_leaf(&first.ca, &names, later).unwrap();
        for (case, stored, when, asked) in [
            ("third of life left", &old, later, None),
            ("mismatched key", &broken, now(), None),
            ("asked for", &first, now(), Some(Renew::Ca)),
        ] {
            let soon = at(&names, when);
            let settled = Situation {
                published_for: OVERLAP,
                ..soon
            };
            let trusts = |leaf: &Issued, ca: &Issued| {
                let checked = check_serves(&leaf.leaf, &ca.ca.certificate, &names, when);
                assert!(checked.is_ok(), "{case}");
            };
            let asked = Situation { asked, ..soon };
            let (staged, _) = written(plan(Some(stored.clone()), &asked).unwrap());
            assert_eq!(staged.leaf, stored.leaf, "{case}");
            trusts(stored, &staged);
            let waiting = plan(Some(staged.clone()), &soon).unwrap();
            assert_eq!(waiting, Plan::Keep(staged.clone()), "{case}");

            let (switched, _) = written(plan(Some(staged.clone()), &settled).unwrap());
            assert_ne!(switched.leaf, staged.leaf, "{case}");
            for leaf in [&staged, &switched] {
                trusts(leaf, &staged);
                trusts(leaf, &switched);
            }
            let waiting = plan(Some(switched.clone()), &soon).unwrap();
            assert_eq!(waiting, Plan::Keep(switched.clone()), "{case}");

            let (done, _) = written(plan(Some(switched.clone()), &settled).unwrap());
            assert_eq!(done.leaf, switched.leaf, "{case}");
            trusts(&switched, &done);
            assert_eq!(split(&done.ca.certificate).unwrap().len(), 1, "{case}");
            assert_ne!(done.ca.certificate, stored.ca.certificate, "{case}");
            assert!(done.next.is_none());
            assert_eq!(
                plan(Some(done.clone()), &settled).unwrap(),
                Plan::Keep(done)
            );
        }
    }

    #[test]
    fn a_next_ca_that_was_damaged_is_dropped() {
        let names = names();
        let issued = issue(&names, now()).unwrap();
        let asked = Situation {
            asked: Some(Renew::Ca),
            ..at(&names, now())
        };
        let (mut staged, _) = written(plan(Some(issued.clone()), &asked).unwrap());
        staged.next.as_mut().unwrap().key = "x".into();
        let (next, _) = written(plan(Some(staged), &at(&names, now())).unwrap());
        assert_eq!(next, issued);
    }

    #[test]
    fn what_cannot_be_mended_is_replaced_and_the_old_ca_stays_trusted_for_a_while() {
        let names = names();
        let issued = issue(&names, now()).unwrap();
        let mut broken = issued.clone();
        broken.ca.key = "x".into();
        broken.leaf.key = "y".into();
        let (anew, _) = written(plan(Some(broken.clone()), &at(&names, now())).unwrap());
        check_serves(&issued.leaf, &anew.ca.certificate, &names, now()).unwrap();
        check_serves(&anew.leaf, &anew.ca.certificate, &names, now()).unwrap();
        // What a replica still holds is better than that.
        let holding = Situation {
            held: Some(&issued),
            ..at(&names, now())
        };
        let (restored, _) = written(plan(Some(broken), &holding).unwrap());
        assert_eq!(restored, issued);
        // What has expired is trusted by nobody.
        let late = now() + 20 * 365 * DAY;
        let (anew, _) = written(plan(Some(issued), &at(&names, late)).unwrap());
        assert_eq!(split(&anew.ca.certificate).unwrap().len(), 1);
    }
}
