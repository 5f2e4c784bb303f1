//! Issuing, checking and renewing, at times of the tests' choosing.

use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_issued_serves_its_names_and_no_other() {
    let all = names(&["gate.shop.svc", "gate", "127.0.0.1"]);
    let issued = issue(&all, now()).unwrap();
    check_serves(&issued.leaf, &issued.ca.certificate, &all, now()).unwrap();
    let other = names(&["gate.other.svc"]);
    let error = check_serves(&issued.leaf, &issued.ca.certificate, &other, now()).unwrap_err();
    assert!(error.to_string().contains("for gate.other.svc"), "{error}");
}

#[test]
fn a_bundle_of_two_cas_serves_leaves_of_both() {
    let all = names(&["gate.shop.svc"]);
    let (old, new) = (issue(&all, now()).unwrap(), issue(&all, now()).unwrap());
    let bundle = format!("{}{}", new.ca.certificate, old.ca.certificate);
    for leaf in [&old.leaf, &new.leaf] {
        check_serves(leaf, &bundle, &all, now()).unwrap();
    }
    let stranger = check_serves(&old.leaf, &new.ca.certificate, &all, now());
    assert!(matches!(stranger, Err(CertificateError::Untrusted { .. })));
}

#[test]
fn a_bundle_splits_into_its_certificates() {
    let all = names(&["gate"]);
    let cas: Vec<_> = (0..3)
        .map(|_| issue(&all, now()).unwrap().ca.certificate)
        .collect();
    assert_eq!(split(&cas.concat()).unwrap(), cas);
    assert_eq!(split(&format!("# ours\n{}\n", cas[0])).unwrap(), cas[..1]);
    assert!(split("none").is_err());
}

#[test]
fn the_long_names_of_a_service_fit() {
    let long = format!("{}.{}.svc.cluster.local", "s".repeat(63), "n".repeat(63));
    let issued = issue(std::slice::from_ref(&long), now()).unwrap();
    check_serves(&issued.leaf, &issued.ca.certificate, &[long], now()).unwrap();
}

#[test]
fn lives_are_a_year_and_ten_and_a_leaf_does_not_outlive_its_ca() {
    let issued = issue(&names(&["gate"]), now()).unwrap();
    let ca = Validity::of_pem(&issued.ca.certificate).unwrap();
    let leaf = Validity::of_pem(&issued.leaf.certificate).unwrap();
    assert_eq!(ca.not_after, now() + CA_LIFE);
    assert_eq!(leaf.not_after, now() + LEAF_LIFE);
    let late = now() + CA_LIFE - 30 * DAY;
    let last = issue_leaf(&issued.ca, &names(&["gate"]), late).unwrap();
    assert_eq!(
        Validity::of_pem(&last.certificate).unwrap().not_after,
        ca.not_after
    );
}

#[test]
fn renewal_is_due_with_a_third_of_the_life_left() {
    let validity = Validity {
        not_before: now(),
        not_after: now() + 300 * DAY,
    };
    let cases = [
        (now() - DAY, true),
        (now(), false),
        (now() + 199 * DAY, false),
        (now() + 200 * DAY, true),
        (now() + 301 * DAY, true),
    ];
    for (at, due) in cases {
        assert_eq!(validity.needs_renewal(at), due, "{at:?}");
    }
}

#[test]
fn bad_pairs_are_refused_with_what_is_wrong() {
    let (one, two) = (
        issue(&names(&["a"]), now()).unwrap().leaf,
        issue(&names(&["a"]), now()).unwrap().leaf,
    );
    let pair = |certificate: &str, key: &str| Pair {
        certificate: certificate.into(),
        key: key.into(),
    };
    let wrapped = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (pair("", &one.key), "no PEM certificate"),
        (pair("garbage", &one.key), "no PEM certificate"),
        (pair(&one.certificate, ""), "no PEM private key"),
        (pair(&one.certificate, &two.key), "does not go with"),
        (pair(wrapped, &one.key), "does not parse"),
    ];
    for (pair, want) in cases {
        let error = certified_key(&pair, now()).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let late = certified_key(&one, now() + 366 * DAY);
    assert!(matches!(late, Err(CertificateError::Expired)));
    assert!(certified_key(&one, now()).is_ok());
}

#[test]
fn keys_are_not_shown() {
    let issued = issue(&names(&["a"]), now()).unwrap();
    let shown = format!("{issued:?}");
    assert!(!shown.contains("PRIVATE KEY"));
    assert!(shown.contains("CERTIFICATE"));
}

#[test]
fn a_certificate_is_for_its_common_and_alternative_names() {
    let pem = issue_leaf(
        &issue_ca(now()).unwrap(),
        &names(&["gate.shop.svc", "127.0.0.1"]),
        now(),
    );
    let der = first_certificate(&pem.unwrap().certificate).unwrap();
    assert_eq!(
        super::names(&der).unwrap(),
        ["platform-gate", "gate.shop.svc"]
    );
    assert!(super::names(&CertificateDer::from_slice(b"none")).is_err());
}
