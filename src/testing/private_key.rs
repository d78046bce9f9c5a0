//! Private keys for tests, whose public halves everybody has: they prove nothing but that a test made a
//! request.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, rand_core};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use time::OffsetDateTime;

use super::p256;
use crate::error::{Error, ErrorKind};
use crate::signature::{PublicKey, Scheme, Secret, Signer, read_hex};

/// A kind of private key, with the form of its signatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PrivateKey {
    Ed25519,
    /// ECDSA on P-256, the signature in DER.
    EcdsaDer,
    /// ECDSA on P-256, the two numbers one after the other.
    EcdsaFixed,
    RsaSha1,
    RsaSha256,
    RsaPssSha512,
}

impl PrivateKey {
    /// The public half.
    pub(super) fn public(self) -> PublicKey {
        let text = match self {
            Self::Ed25519 => ED25519_PUBLIC,
            Self::EcdsaDer | Self::EcdsaFixed => P256_PUBLIC,
            Self::RsaSha1 | Self::RsaSha256 | Self::RsaPssSha512 => RSA_PUBLIC,
        };
        text.parse().expect("invariant: the key is well-formed")
    }

    /// The signature over `content`.
    pub(super) fn sign(self, content: &[u8]) -> Result<Vec<u8>, Error> {
        let ecdsa = |is_der| {
            let key = STANDARD.decode(P256_PRIVATE).expect("invariant: the key is base64");
            p256::sign(&key, content, is_der).ok_or_else(|| unavailable("asymmetric"))
        };
        match self {
            Self::Ed25519 => ed25519(content),
            Self::EcdsaDer => ecdsa(true),
            Self::EcdsaFixed => ecdsa(false),
            Self::RsaSha1 => rsa(|key| key.sign(Pkcs1v15Sign::new::<Sha1>(), &Sha1::digest(content))),
            Self::RsaSha256 => rsa(|key| key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(content))),
            Self::RsaPssSha512 => rsa(|key| {
                let padding = Pss::<Sha512>::new_with_salt(SALT_LEN);
                key.sign_with_rng(&mut Sevens, padding, &Sha512::digest(content))
            }),
        }
    }
}

/// The one signature of Ed25519 that a signer makes is an entry of a list.
fn ed25519(content: &[u8]) -> Result<Vec<u8>, Error> {
    const SCHEME: Scheme = Scheme::new("sample", "signature")
        .with_list("v1")
        .with_base64_signature()
        .with_base64_key()
        .with_ed25519_keys();
    let secret: Secret = ED25519_SECRET.parse()?;
    let text = Signer::new(SCHEME, &secret)?.signature("", OffsetDateTime::UNIX_EPOCH, content)?;
    let base64 = text.strip_prefix("v1a,").unwrap_or_default();
    STANDARD.decode(base64).map_err(|_| unavailable("ed25519"))
}

fn rsa(sign: impl FnOnce(&rsa::PrivateKey) -> rsa::Result<Vec<u8>>) -> Result<Vec<u8>, Error> {
    // The factors are found from the exponent, which takes a while.
    static KEY: LazyLock<rsa::PrivateKey> = LazyLock::new(|| {
        let number = |hex: &str| {
            let bytes = read_hex(hex.as_bytes()).expect("invariant: the number is hex");
            BoxedUint::from_be_slice_vartime(&bytes)
        };
        rsa::PrivateKey::from_components(
            number(RSA_MODULUS),
            BoxedUint::from(RSA_PUBLIC_EXPONENT),
            number(RSA_EXPONENT),
            Vec::new(),
        )
        .expect("invariant: the numbers are a key")
    });
    sign(&KEY)
        .map_err(|error| Error::new(ErrorKind::Sign, "private key for tests cannot sign").with_source(error))
}

/// The salt of PSS, which is fixed so that a test repeats itself.
struct Sevens;

impl rand_core::TryRng for Sevens {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0x0707_0707)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0x0707_0707_0707_0707)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(7);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Sevens {}

fn unavailable(feature: &str) -> Error {
    Error::new(ErrorKind::Sign, "private key for tests cannot sign")
        .with_expected(format!("hookwire with the feature `{feature}`"))
}

/// The length of the salt of PSS, which is that of the hash.
const SALT_LEN: usize = 64;
const RSA_PUBLIC_EXPONENT: u64 = 65_537;
const ED25519_SECRET: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const ED25519_PUBLIC: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
/// PKCS #8 in base64.
const P256_PRIVATE: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGSbV98yXpW7NwFW3+4LO/C/NcezOL7NplRHhTkuZKZOhRANC\
    AASWBUaFpjG2RiZW37hIovp81sECFXlWdAPu3mCRFV9vsCeLOjH4dvLeKEKtxcfUq7UWxwr4RpognksVXJdqAYv0";
const P256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElgVGhaYxtkYmVt+4SKL6fNbBAhV5\n\
    VnQD7t5gkRVfb7Anizox+Hby3ihCrcXH1Ku1FscK+EaaIJ5LFVyXagGL9A==\n\
    -----END PUBLIC KEY-----";
const RSA_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzsVuiHw5qIzZ/C49hJsm\n\
    kUOvApK9wsjRdb5GKn+V70+azwmpMiNL4wGKomAqDKnCymqFKw7nYSn+hn0nRJt8\n\
    6DQ639WlxwhWNnYsUpYLRScs5VmQJAGQMv0pKR3Uyuiw9IQ4hxpsCngh8SMOixBX\n\
    GKchAblGd/xKm0XK+yGNClmIFDZFJo83YQJszcRp5jSIxTkmzSCxdsp+0DoZqFfc\n\
    vgfrgCQiUyJa/RabyYbyg+C3KPBIR8UuV2MgJrhBe8ZlzzhE+EvJXbPbizuEzwMr\n\
    C4w7Wo3swUjvkkYwAzabOCed9V2dbrFFkGuFM6Q3I7fjxPJST6THpKcklkytgB5P\n\
    BQIDAQAB\n\
    -----END PUBLIC KEY-----";
const RSA_MODULUS: &str = "cec56e887c39a88cd9fc2e3d849b269143af0292bdc2c8d175be462a7f95ef4f9acf09a932234be3018aa2602a0ca9c2\
    ca6a852b0ee76129fe867d27449b7ce8343adfd5a5c7085636762c52960b45272ce5599024019032fd29291dd4cae8b0\
    f48438871a6c0a7821f1230e8b105718a72101b94677fc4a9b45cafb218d0a5988143645268f3761026ccdc469e63488\
    c53926cd20b176ca7ed03a19a857dcbe07eb80242253225afd169bc986f283e0b728f04847c52e57632026b8417bc665\
    cf3844f84bc95db3db8b3b84cf032b0b8c3b5a8decc148ef92463003369b38279df55d9d6eb145906b8533a43723b7e3\
    c4f2524fa4c7a4a724964cad801e4f05";
const RSA_EXPONENT: &str = "0811dd033f23e9efdb5713ffeb23ba00dbdd21f2d3ac9d354d8cd844b2d789703828c1e60452abd4c77bdf63f4e82b1c\
    f2d4eeef1405143df514cf201ff5988da07236c7aa116742241c7f14d70dc80c641c6c5f2b849319e656fba792253c29\
    21d5e235e5a257534271dc8e25ffc4826e0d63f994e63c66b602268ea00bd6de3f33afac0a2ca878f26dedc2b2e3e923\
    26eb066979e830734dea17306574349db82d6bc8a16524aa1c518978f54d504f13fcda4a0f8af18962ffb77fbc883633\
    58a0f6dd2767de9536c0ea6dc0dfd56ca97b4a9371dfb6764f153998740f71f69e4cefd3629866469c0c1a00dd85d0b7\
    335638c29262ef86a4849893cb5b3a99";

#[cfg(test)]
mod tests {
    use super::PrivateKey;
    use crate::signature::asymmetric::{Form, verifies};

    #[test]
    fn every_key_signs_what_its_public_half_proves() {
        let kinds = [
            (PrivateKey::Ed25519, Form::Ed25519),
            (PrivateKey::EcdsaDer, Form::EcdsaDer),
            (PrivateKey::EcdsaFixed, Form::EcdsaFixed),
            (PrivateKey::RsaSha1, Form::RsaSha1),
            (PrivateKey::RsaSha256, Form::RsaSha256),
            (PrivateKey::RsaPssSha512, Form::RsaPssSha512),
        ];
        for (key, form) in kinds.into_iter().filter(|(_, form)| form.is_available()) {
            let signature = key.sign(b"content").unwrap();
            let public = key.public();
            assert!(verifies(&public.material, form, b"content", &signature), "{key:?}");
            assert!(!verifies(&public.material, form, b"Content", &signature), "{key:?}");
        }
    }
}
