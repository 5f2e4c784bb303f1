//! What has to happen to the certificate: nothing, or a new pair from the same CA, or all anew.

use std::time::SystemTime;

use crate::certificate::{
    CertificateError, Issued, Validity, certified_key, check_serves, issue, issue_leaf,
};

/// What is to be done with the Secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is good as it is.
    Keep(Issued),
    /// This is to be written into it, for the reason given.
    Write(Issued, &'static str),
}

/// Decides by what the Secret holds, and by what this replica holds in case the Secret was emptied.
pub(super) fn plan(
    stored: Option<Issued>,
    held: Option<&Issued>,
    names: &[String],
    now: SystemTime,
) -> Result<Plan, CertificateError> {
    let is_good = |issued: &Issued| !ca_is_due(issued, now) && !leaf_is_due(issued, names, now);
    let Some(stored) = stored else {
        return Ok(match held.filter(|held| is_good(held)) {
            Some(held) => Plan::Write(held.clone(), "the Secret was emptied"),
            None => Plan::Write(issue(names, now)?, "there was none"),
        });
    };
    if is_good(&stored) {
        return Ok(Plan::Keep(stored));
    }
    if !ca_is_due(&stored, now) {
        let leaf = issue_leaf(&stored.ca, names, now)?;
        let renewed = Issued {
            leaf,
            ca: stored.ca,
        };
        // A CA whose key is of another certificate signs what nobody trusts.
        if !leaf_is_due(&renewed, names, now) {
            return Ok(Plan::Write(renewed, "the serving certificate was due"));
        }
    }
    Ok(Plan::Write(issue(names, now)?, "the CA was due"))
}

fn ca_is_due(issued: &Issued, now: SystemTime) -> bool {
    match certified_key(&issued.ca, now) {
        Ok((_, validity)) => validity.needs_renewal(now),
        Err(_) => true,
    }
}

fn leaf_is_due(issued: &Issued, names: &[String], now: SystemTime) -> bool {
    let due = Validity::of_pem(&issued.leaf.certificate).map(|life| life.needs_renewal(now));
    let serves = check_serves(&issued.leaf, &issued.ca.certificate, names, now);
    due.unwrap_or(true) || serves.is_err()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::certificate::Pair;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    fn names() -> Vec<String> {
        vec!["gate.shop.svc".into(), "gate".into()]
    }

    fn written(plan: Plan) -> (Issued, &'static str) {
        match plan {
            Plan::Write(issued, why) => (issued, why),
            Plan::Keep(_) => panic!("kept"),
        }
    }

    #[test]
    fn what_is_good_is_kept() {
        let issued = issue(&names(), now()).unwrap();
        let stored = plan(Some(issued.clone()), None, &names(), now() + 200 * DAY).unwrap();
        assert_eq!(stored, Plan::Keep(issued));
    }

    #[test]
    fn an_empty_secret_is_filled_with_what_is_held_or_anew() {
        let (first, why) = written(plan(None, None, &names(), now()).unwrap());
        assert_eq!(why, "there was none");
        let (again, why) = written(plan(None, Some(&first), &names(), now()).unwrap());
        assert_eq!((again, why), (first.clone(), "the Secret was emptied"));
        let much_later = now() + 20 * 365 * DAY;
        let (anew, _) = written(plan(None, Some(&first), &names(), much_later).unwrap());
        assert_ne!(anew, first);
    }

    #[test]
    fn a_serving_certificate_is_renewed_by_the_same_ca() {
        let issued = issue(&names(), now()).unwrap();
        let other_names = vec!["renamed.shop.svc".to_owned()];
        let stranger = issue(&names(), now()).unwrap();
        let mismatched = Issued {
            leaf: Pair {
                key: stranger.leaf.key.clone(),
                ..issued.leaf.clone()
            },
            ..issued.clone()
        };
        let garbage = Issued {
            leaf: Pair {
                certificate: "x".into(),
                key: "y".into(),
            },
            ..issued.clone()
        };
        let foreign = Issued {
            leaf: stranger.leaf,
            ..issued.clone()
        };
        for (case, stored, names, at) in [
            ("third of life left", &issued, names(), now() + 245 * DAY),
            ("expired", &issued, names(), now() + 400 * DAY),
            ("other service", &issued, other_names, now()),
            ("mismatched key", &mismatched, names(), now()),
            ("garbage", &garbage, names(), now()),
            ("of another CA", &foreign, names(), now()),
        ] {
            let (next, why) = written(plan(Some(stored.clone()), None, &names, at).unwrap());
            assert_eq!(why, "the serving certificate was due", "{case}");
            assert_eq!(next.ca, issued.ca, "{case}");
            assert_eq!(
                plan(Some(next.clone()), None, &names, at).unwrap(),
                Plan::Keep(next)
            );
        }
    }

    #[test]
    fn a_ca_that_is_due_or_broken_is_replaced() {
        let issued = issue(&names(), now()).unwrap();
        let stranger = issue(&names(), now()).unwrap();
        let broken = Issued {
            ca: Pair {
                key: stranger.ca.key,
                ..issued.ca.clone()
            },
            ..issued.clone()
        };
        for (case, stored, at) in [
            ("third of life left", &issued, now() + 7 * 365 * DAY),
            ("mismatched key", &broken, now()),
        ] {
            let (next, why) = written(plan(Some(stored.clone()), None, &names(), at).unwrap());
            assert_eq!(why, "the CA was due", "{case}");
            assert_ne!(next.ca.certificate, issued.ca.certificate, "{case}");
        }
    }
}
