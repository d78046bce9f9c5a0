//! Published and shared signature vectors: `tests/data/signatures.json` and RFC 4231.

use std::time::Duration;

use hookwire::{Scheme, Secret, Signer, Verifier};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use time::OffsetDateTime;

#[test]
fn every_shared_vector_is_judged_as_it_says() {
    let mut judged = 0;
    for vector in vectors().iter().filter(|vector| vector.scheme != "standard_webhooks_ed25519") {
        let secret: Secret = vector.json["secret"].as_str().unwrap().parse().unwrap();
        let verifier = Verifier::new(vector.hmac_scheme(), &secret).unwrap();
        vector.judge(&verifier);
        judged += 1;
    }
    assert_eq!(judged, 15);
}

#[test]
fn every_valid_vector_is_what_the_signer_writes() {
    let valid = |vector: &&Vector| vector.is_valid() && vector.scheme != "standard_webhooks_ed25519";
    for vector in vectors().iter().filter(valid) {
        let secret: Secret = vector.json["secret"].as_str().unwrap().parse().unwrap();
        let signer = Signer::new(vector.hmac_scheme(), &secret).unwrap();
        let written = signer.signature(vector.id(), vector.now(), &vector.body()).unwrap();
        let expected = vector.json["signature"].as_str().unwrap();
        assert!(expected.split(' ').any(|entry| entry == written), "{}: {written}", vector.name);

        let headers = signer.sign(vector.id(), vector.now(), &vector.body()).unwrap();
        let verifier = Verifier::new(vector.hmac_scheme(), &secret).unwrap();
        verifier.verify_at(&headers, &vector.body(), vector.now()).unwrap();
    }
}

/// RFC 4231 section 4: all seven cases for HMAC-SHA-256, through a scheme that signs only the body.
#[test]
fn the_cases_of_rfc_4231_hold() {
    let cases: [(&[u8], &[u8], &str); 6] = [
        (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25],
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &[0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. The key \
              needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (key, data, tag) in cases {
        let signer = Signer::new(Scheme::GITHUB, &Secret::from_bytes(key)).unwrap();
        assert_eq!(signer.signature("", OffsetDateTime::UNIX_EPOCH, data).unwrap(), format!("sha256={tag}"));
    }
    // Case 5 truncates the tag to 128 bits, which is never accepted.
    let mut headers = HeaderMap::new();
    headers
        .insert("x-hub-signature-256", HeaderValue::from_static("sha256=a3b6167473100ee06e0c796c2955552b"));
    let verifier = Verifier::new(Scheme::GITHUB, &Secret::from_bytes([0x0c; 20])).unwrap();
    verifier.verify_at(&headers, b"Test With Truncation", OffsetDateTime::UNIX_EPOCH).unwrap_err();
}

/// An entry of `tests/data/signatures.json`.
pub(crate) struct Vector {
    name: String,
    pub(crate) scheme: String,
    pub(crate) json: Value,
}

impl Vector {
    pub(crate) fn judge(&self, verifier: &Verifier) {
        let verifier = verifier.clone().with_tolerance(Duration::from_secs(0));
        let mut headers = HeaderMap::new();
        let scheme = verifier.scheme();
        headers.insert(scheme.signature_header(), self.json["signature"].as_str().unwrap().parse().unwrap());
        if let Some(name) = scheme.id_header() {
            headers.insert(name, self.id().parse().unwrap());
        }
        if let Some(name) = scheme.timestamp_header() {
            headers.insert(name, self.json["timestamp"].to_string().parse().unwrap());
        }
        let body = self.body();
        let judged = verifier.verify_at(&headers, &body, self.now());
        assert_eq!(judged.is_ok(), self.is_valid(), "{}: {judged:?}", self.name);
    }

    pub(crate) fn id(&self) -> &str {
        self.json["id"].as_str().unwrap_or_default()
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.json["timestamp"].as_i64().unwrap_or_default()).unwrap()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        hex::decode(self.json["body_hex"].as_str().unwrap()).unwrap()
    }

    fn is_valid(&self) -> bool {
        self.json["valid"].as_bool().unwrap()
    }

    fn hmac_scheme(&self) -> Scheme {
        super::signature::SCHEMES
            .into_iter()
            .find(|scheme| scheme.name() == self.scheme)
            .unwrap_or_else(|| panic!("no scheme {}", self.scheme))
    }
}

pub(crate) fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(include_str!("../data/signatures.json")).unwrap();
    let vector = |json: &Value| Vector {
        name: json["name"].as_str().unwrap().to_owned(),
        scheme: json["scheme"].as_str().unwrap().to_owned(),
        json: json.clone(),
    };
    file["vectors"].as_array().unwrap().iter().map(vector).collect()
}
