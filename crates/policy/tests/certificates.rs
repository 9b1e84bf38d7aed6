//! `x509_decode` and `random`, through the public face of the crate.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has to end")]

use prograde_policy::jmespath::Expression;
use proptest::prelude::*;
use serde_json::{Value, json};

const CERTIFICATE: &str = include_str!("certificates/rsa.pem");
const REQUEST: &str = include_str!("certificates/request.pem");

fn decoded(pem: &str, path: &str) -> Result<Value, String> {
    let expression = Expression::parse(&format!("x509_decode(pem){path}"))?;
    expression.search_in(&json!({"pem": pem})).map_err(|error| error.to_string())
}

#[test]
fn a_certificate_as_fields() {
    let field = |path: &str| decoded(CERTIFICATE, path).unwrap();
    for (path, want) in [
        (".Subject.CommonName", json!("crane.harbour.example")),
        (".Subject.Organization", json!(["Harbour Works"])),
        (".Subject.Locality", Value::Null),
        (".Issuer.Country[0]", json!("AT")),
        (".Subject.Names[3]", json!({"Type": [2, 5, 4, 3], "Value": "crane.harbour.example"})),
        (".SerialNumber", json!(4711)),
        (".Version", json!(3)),
        (".SignatureAlgorithm", json!(4)),
        (".PublicKeyAlgorithm", json!(1)),
        (".PublicKey.E", json!(65537)),
        (".NotBefore", json!("2026-11-29T00:27:23Z")),
        (".NotAfter", json!("2036-11-26T00:27:23Z")),
        (".DNSNames", json!(["crane.harbour.example", "lift.harbour.example"])),
        (".IPAddresses", json!(["192.0.2.7"])),
        (".EmailAddresses", json!(["crew@harbour.example"])),
        (".URIs[0].Host", json!("harbour.example")),
        (".KeyUsage", json!(33)),
        (".ExtKeyUsage", json!([1, 2])),
        (".[IsCA, BasicConstraintsValid, MaxPathLen, MaxPathLenZero]", json!([true, true, 1, false])),
        (".OCSPServer", json!(["http://ocsp.harbour.example"])),
        (".CRLDistributionPoints", json!(["http://crl.harbour.example/all.crl"])),
        (".Extensions[0].Id", json!([2, 5, 29, 19])),
    ] {
        assert_eq!(field(path), want, "{path}");
    }
    let modulus = field(".PublicKey.N");
    let modulus = modulus.as_str().unwrap();
    assert!(
        modulus.starts_with("258929554496711477") && modulus.ends_with("244428118114078891") && modulus.len() == 617,
        "{modulus}"
    );
    assert!(decoded(CERTIFICATE, ".PolicyIdentifiers").is_err(), "what is not read is no empty list");
}

#[test]
fn a_request_as_fields() {
    let field = |path: &str| decoded(REQUEST, path).unwrap();
    assert_eq!(field(".Subject.OrganizationalUnit"), json!(["Cranes"]));
    assert_eq!(field(".DNSNames"), json!(["crane.harbour.example"]));
    assert_eq!(field(".[Version, SignatureAlgorithm, PublicKeyAlgorithm]"), json!([0, 10, 3]));
    assert!(field(".PublicKey.X").is_number());
}

#[test]
fn what_is_no_certificate() {
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    for text in ["", "text", junk, key, "-----BEGIN CERTIFICATE-----", "-----BEGIN -----END -----"] {
        assert!(decoded(text, "").is_err(), "{text}");
    }
    assert!(decoded(&"A".repeat(1_000_000), "").is_err());
    // Every prefix of a certificate, and every changed byte, is read or is an error.
    let body: String = CERTIFICATE.lines().filter(|line| !line.starts_with('-')).collect();
    for cut in (0..body.len()).step_by(4) {
        let part = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", &body[..cut]);
        assert!(decoded(&part, "").is_err(), "{cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn changed_certificates_end(place in 0_usize..1_200, character in "[A-Za-z0-9+/]") {
        let mut text = CERTIFICATE.to_owned();
        let place = 28 + place % (text.len() - 60);
        if text.as_bytes()[place] != b'\n' {
            text.replace_range(place..=place, &character);
        }
        let _ = decoded(&text, "");
    }
}

#[test]
fn without_a_seed_nothing_is_random() {
    let expression = Expression::parse("random('[0-9a-z]{8}')").unwrap();
    assert!(expression.search_in(&Value::Null).is_err());
}
