//! Secrets that a key ring sealed: opened for the endpoint and nowhere else; one that does not open costs its own deliveries.

use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookwire::keyring::{Key, KeyRing};
use hookwire::sqlx::{self, AssertSqlSafe, Connection as _, PgConnection, Row as _};
use hookwire::store::{Claim, Share};
use hookwire::{
    Authentication, DeliveryId, DeliveryState, ErrorClass, EventFilter, EventId, Health, Options, Outcome,
    Secret, SecretUse, Store as _, StoredSecret, Subscription,
};

use super::{Database, Opens, Site, accounted_for, on_both_databases};
use crate::endpoint::{Answer, Endpoint};
use crate::engine::{DAY, MINUTE, NOON, call};

on_both_databases! {
    what_is_sealed_signs_and_is_shown_to_the_endpoint
    a_secret_that_does_not_open_costs_its_own_deliveries_and_no_others
    a_credential_that_does_not_open_is_not_sent_nor_anything_with_it
    without_the_ring_what_is_sealed_fails_visibly_and_what_is_plain_is_delivered
    resealing_takes_what_is_plain_or_old_in_batches_and_tells_what_it_cannot
    a_rotation_while_secrets_are_sealed_anew_is_not_lost
    of_no_secret_anything_is_in_the_database_or_told
    without_a_ring_the_same_search_finds_them
}

async fn what_is_sealed_signs_and_is_shown_to_the_endpoint<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let secrets = [Secret::generate(), Secret::generate()];
    let subscription = plain(&endpoint, "org_1")
        .with_secret(secrets[1].clone())
        .with_secret(secrets[0].clone())
        .with_options(credential(Authentication::bearer("mF_9.B5f-4.1JqM".parse().unwrap())));
    let subscription = ring().seal_subscription(subscription).unwrap();
    site.store.put_subscription(&subscription).await.unwrap();
    let event = site.emit().await;
    assert_eq!(site.drain(&site.dispatcher().with_key_ring(ring()), NOON).await.delivered, 1);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
    let requests = endpoint.requests().clone();
    let (headers, body) = &requests[0];
    site.contract.verifier(&secrets[0]).unwrap().verify_at(headers, body, NOON).unwrap();
    assert_eq!(headers["authorization"], "Bearer mF_9.B5f-4.1JqM");
    let read = site.read(&subscription).await;
    assert_eq!(
        read.secrets.iter().map(StoredSecret::preview).collect::<Vec<_>>(),
        secrets.map(|s| s.preview())
    );
    assert!(read.secrets.iter().all(|secret| secret.plain().is_none()));
}

/// What becomes of a subscription's one sealed secret, and a word of what its attempt is told.
type Spoil = (fn(&Spoilt) -> Vec<String>, &'static str);

/// By two characters what is left is no base64, by three it is.
const SPOILS: [Spoil; 10] = [
    (|it| vec![it.own[..it.own.len() - 2].to_owned()], "cannot be read"),
    (|it| vec![it.own[..it.own.len() - 3].to_owned()], "does not open"),
    (|it| vec![it.own[..it.own.len() / 4].to_owned()], "cannot be read"),
    (|_| vec![String::new()], "cannot be read"),
    (|it| vec![flipped(&it.own)], "does not open"),
    (|it| vec![it.neighbours.clone()], "does not open"),
    (|it| vec![it.sealed(&ring(), SecretUse::Credential)], "does not open"),
    (
        |it| vec![it.sealed(&another_ring(), SecretUse::Signing)],
        "key elsewhere, which is not in the key ring",
    ),
    (|it| vec![it.own.replacen("v1.", "v9.", 1)], "cannot be read"),
    // The newest opens; requests without the older one's signature would be taken for forged.
    (|it| vec![it.own.clone(), it.sealed(&another_ring(), SecretUse::Signing)], "key elsewhere"),
];

/// A subscription with an event of its own.
struct Spoilt {
    endpoint: Endpoint,
    subscription: Subscription,
    secret: Secret,
    own: String,
    neighbours: String,
    event: EventId,
    delivery: DeliveryId,
}

impl Spoilt {
    async fn new<S: Opens>(site: &Site<S>, number: usize, neighbours: &str) -> Self {
        let endpoint = Endpoint::start([]).await;
        let organization = format!("org_{number}");
        let secret = Secret::generate();
        let subscription = plain(&endpoint, &organization).with_secret(secret.clone());
        let subscription = ring().seal_subscription(subscription).unwrap();
        site.store.put_subscription(&subscription).await.unwrap();
        let event = site.outbox().emit(&organization, &call()).await.unwrap().id;
        let [delivery] = site.deliveries(&subscription).await.try_into().unwrap();
        let own = text(&subscription.secrets[0]);
        Self {
            endpoint,
            subscription,
            secret,
            own,
            neighbours: neighbours.to_owned(),
            event,
            delivery: delivery.id,
        }
    }

    fn sealed(&self, ring: &KeyRing, used: SecretUse) -> String {
        ring.seal(&self.secret, self.subscription.id, used).unwrap().as_str().to_owned()
    }
}

async fn a_secret_that_does_not_open_costs_its_own_deliveries_and_no_others<S: Opens>(site: Site<S>) {
    let healthy = Spoilt::new(&site, 100, "").await;
    let mut all = Vec::new();
    for (number, (spoil, _)) in SPOILS.iter().enumerate() {
        let spoilt = Spoilt::new(&site, number, &healthy.own).await;
        let texts: Vec<_> = spoil(&spoilt).iter().map(|text| format!("sealed:{text}")).collect();
        let id = site.database.id(spoilt.subscription.id.as_u128());
        let column = serde_json::to_string(&texts).unwrap();
        let sql = format!("UPDATE {{p}}subscriptions SET secrets = '{column}' WHERE id = {id}");
        site.database.tamper(&sql).await;
        all.push(spoilt);
    }
    let dispatcher = site.dispatcher().with_key_ring(ring());
    let step = site.drain(&dispatcher, NOON).await;
    assert_eq!((step.delivered, step.retried, step.dead), (1, SPOILS.len(), 0), "in the first turn");
    accounted_for(&site, &healthy.subscription, &healthy.endpoint, std::slice::from_ref(&healthy.event))
        .await;
    for (number, (spoilt, (_, word))) in all.iter().zip(SPOILS).enumerate() {
        assert!(spoilt.endpoint.requests().is_empty(), "{number} was sent");
        let delivery = site.store.delivery(spoilt.delivery).await.unwrap().unwrap();
        assert_eq!(delivery.state, DeliveryState::Pending, "{number}");
        let [attempt] = site.store.attempts(spoilt.delivery).await.unwrap().try_into().unwrap();
        assert_eq!(attempt.outcome, Outcome::Failed(ErrorClass::Internal), "{number}");
        assert!(attempt.response_excerpt.contains(word), "{number}: {}", attempt.response_excerpt);
        assert_eq!(
            site.read(&spoilt.subscription).await.health,
            Health::default(),
            "{number}: our own fault"
        );
        // What does not open stops no event, also of its own organization.
        site.outbox().emit(&spoilt.subscription.organization, &call()).await.unwrap();
        // Mended, as from a backup.
        site.store.put_subscription(&spoilt.subscription).await.unwrap();
    }
    assert_eq!(site.drain(&dispatcher, NOON + MINUTE).await.delivered, 2 * SPOILS.len());
    for spoilt in all {
        let requests = spoilt.endpoint.requests().clone();
        assert_eq!(requests.len(), 2);
        let verifier = site.contract.verifier(&spoilt.secret).unwrap();
        verifier.verify_at(&requests[0].0, &requests[0].1, NOON + MINUTE).unwrap();
    }
}

async fn a_credential_that_does_not_open_is_not_sent_nor_anything_with_it<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let secret = Secret::generate();
    let subscription = plain(&endpoint, "org_1")
        .with_secret(secret.clone())
        .with_options(credential(Authentication::api_key("x-api-key", "open sesame".parse().unwrap())));
    let subscription = ring().seal_subscription(subscription).unwrap();
    // The signing secret where the key was: shown to an endpoint it would be nobody's secret any more.
    let signing = subscription.secrets[0].clone();
    let swapped = subscription.clone().try_map_secrets(|_, _| Ok(signing.clone())).unwrap();
    site.store.put_subscription(&swapped).await.unwrap();
    site.emit().await;
    let dispatcher = site.dispatcher().with_key_ring(ring());
    assert_eq!(site.drain(&dispatcher, NOON).await.retried, 1);
    assert!(endpoint.requests().is_empty());
    let [delivery] = site.deliveries(&subscription).await.try_into().unwrap();
    let attempts = site.store.attempts(delivery.id).await.unwrap();
    assert!(attempts[0].response_excerpt.contains("does not open"), "{attempts:?}");
    site.store.put_subscription(&subscription).await.unwrap();
    assert_eq!(site.drain(&dispatcher, NOON + MINUTE).await.delivered, 1);
    assert_eq!(endpoint.requests()[0].0["x-api-key"], "open sesame");
}

async fn without_the_ring_what_is_sealed_fails_visibly_and_what_is_plain_is_delivered<S: Opens>(
    site: Site<S>,
) {
    let endpoints = [Endpoint::start([]).await, Endpoint::start([]).await];
    let plain = site.subscribe(&endpoints[0]).await;
    let sealed = self::plain(&endpoints[1], "org_1").with_secret(Secret::generate());
    let sealed = ring().seal_subscription(sealed).unwrap();
    site.store.put_subscription(&sealed).await.unwrap();
    let event = site.emit().await;
    let step = site.drain(&site.dispatcher(), NOON).await;
    assert_eq!((step.delivered, step.retried), (1, 1));
    let [delivery] = site.deliveries(&sealed).await.try_into().unwrap();
    let [attempt] = site.store.attempts(delivery.id).await.unwrap().try_into().unwrap();
    assert_eq!(attempt.outcome, Outcome::Failed(ErrorClass::Internal));
    assert_eq!(
        attempt.response_excerpt,
        "secret is sealed with key 2026-11 and the dispatcher has no key ring, expected one with that key"
    );
    assert!(endpoints[1].requests().is_empty());
    // With the ring both go on.
    let second = site.emit().await;
    let dispatcher = site.dispatcher().with_key_ring(ring());
    assert_eq!(site.drain(&dispatcher, NOON + MINUTE).await.delivered, 3);
    for (subscription, endpoint) in [(&plain, &endpoints[0]), (&sealed, &endpoints[1])] {
        accounted_for(&site, subscription, endpoint, &[event.clone(), second.clone()]).await;
    }
    assert_eq!(site.read(&sealed).await.health, Health::default());
}

async fn resealing_takes_what_is_plain_or_old_in_batches_and_tells_what_it_cannot<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let basic = || credential(Authentication::basic("Aladdin", "open sesame".parse().unwrap()));
    let old = KeyRing::new("2026-11", Key::from_bytes([7; 32])).unwrap();
    let secret = Secret::generate();
    let mut all = Vec::new();
    for number in 0..9 {
        let organization = format!("org_{}", number % 2);
        let subscription = plain(&endpoint, &organization).with_secret(secret.clone()).with_options(basic());
        let subscription = match number {
            // Nothing to seal.
            0 => plain(&endpoint, &organization),
            1..=3 => subscription,
            4 | 5 => old.seal_subscription(subscription).unwrap(),
            6 => newer_ring().seal_subscription(subscription).unwrap(),
            7 => another_ring().seal_subscription(subscription).unwrap(),
            _ => subscription,
        };
        site.store.put_subscription(&subscription).await.unwrap();
        all.push(subscription);
    }
    let unreadable = site.database.id(all[8].id.as_u128());
    site.database
        .tamper(&format!("UPDATE {{p}}subscriptions SET secrets = 'x' WHERE id = {unreadable}"))
        .await;
    let mut failed = Vec::new();
    let batch = NonZeroU32::new(2).unwrap();
    let told = newer_ring()
        .reseal_all(&site.store, batch, |id, error| failed.push((id, error.to_string())))
        .await
        .unwrap();
    assert_eq!((told.sealed, told.unchanged, told.failed), (5, 2, 2));
    // As they were made: of two ids of one millisecond either may be the greater.
    failed.sort_by_key(|(id, _)| all.iter().position(|subscription| subscription.id == *id));
    assert_eq!(failed[0].0, all[7].id);
    assert!(failed[0].1.contains("key elsewhere, which is not in the key ring"), "{failed:?}");
    assert_eq!(failed[1], (all[8].id, "subscription cannot be read".to_owned()));
    let only_new = KeyRing::new("2027-01", Key::from_bytes([9; 32])).unwrap();
    for (number, subscription) in all.iter().enumerate().take(7).skip(1) {
        let read = site.read(subscription).await;
        let opened = only_new.open_subscription(read.clone()).unwrap();
        assert_eq!(opened.secrets, std::slice::from_ref(&secret), "{number}");
        assert_eq!(opened.options, basic(), "{number}");
        let sealed = [&read.secrets[0], read.options.authentication().secret().unwrap()];
        assert!(sealed.iter().all(|sealed| sealed.plain().is_none()), "{number}");
        assert_eq!((read.url, read.status), (subscription.url.clone(), subscription.status.clone()));
    }
    assert_eq!(site.read(&all[7]).await.secrets, all[7].secrets, "what does not open is left as it was");
    let again = newer_ring().reseal_all(&site.store, batch, |_, _| {}).await.unwrap();
    assert_eq!((again.sealed, again.unchanged, again.failed), (0, 7, 2));
}

async fn a_rotation_while_secrets_are_sealed_anew_is_not_lost<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = plain(&endpoint, "org_1").with_secret(Secret::generate());
    site.store.put_subscription(&subscription).await.unwrap();
    let mut newest = None;
    let rotating = async {
        for _ in 0..100 {
            let secret = Secret::generate();
            loop {
                let seen = site.read(&subscription).await;
                let mut rotated = seen.clone().with_secret(secret.clone());
                rotated.secrets.truncate(2);
                if site.store.replace_subscription(&seen, &rotated).await.unwrap() {
                    break;
                }
            }
            newest = Some(secret);
            // What was written last is now, whoever else writes, one of the two that sign.
            let read = newer_ring().open_subscription(site.read(&subscription).await).unwrap();
            assert_eq!(
                Some(&read.secrets[0]),
                newest.clone().map(StoredSecret::from).as_ref(),
                "a rotation was lost"
            );
        }
    };
    let stopped = std::cell::Cell::new(false);
    let mut sealed = 0;
    let sealing = async {
        // Between two keys, so that there is always something to do.
        let older = KeyRing::new("2026-11", Key::from_bytes([7; 32]))
            .and_then(|ring| ring.with_key("2027-01", Key::from_bytes([9; 32])))
            .unwrap();
        let batch = NonZeroU32::new(1).unwrap();
        while !stopped.get() {
            for ring in [&older, &newer_ring()] {
                let told = ring.reseal_all(&site.store, batch, |_, _| {}).await.unwrap();
                sealed += told.sealed;
            }
        }
    };
    let rotating = async {
        rotating.await;
        stopped.set(true);
    };
    futures_util::future::join(rotating, sealing).await;
    assert!(sealed > 0);
    assert!(newest.is_some());
}

async fn of_no_secret_anything_is_in_the_database_or_told<S: Opens>(site: Site<S>) {
    let run = full_run(&site, true).await;
    assert!(!run.database.is_empty() && !run.told.is_empty());
    // The search is over what it should be: what is stored in the clear is found.
    assert!(contains(&run.database, b"Aladdin"));
    for needle in &run.needles {
        let shown = String::from_utf8_lossy(needle);
        assert!(!contains(&run.database, needle), "{shown} is in the database");
        assert!(!contains(run.told.as_bytes(), needle), "{shown} is told");
    }
}

async fn without_a_ring_the_same_search_finds_them<S: Opens>(site: Site<S>) {
    let run = full_run(&site, false).await;
    let found = run.needles.iter().filter(|needle| contains(&run.database, needle)).count();
    assert!(found >= 3, "{found}: two secrets and a password are in the clear");
    assert!(
        run.needles.iter().all(|needle| !contains(run.told.as_bytes(), needle)),
        "in no text all the same"
    );
}

struct Run {
    needles: Vec<Vec<u8>>,
    /// Every byte of the file, or of every row.
    database: Vec<u8>,
    /// Every `Debug` and every error's text.
    told: String,
}

/// Create, fail, retry, rotate, deliver, a secret that does not open, a look at everything.
async fn full_run<S: Opens>(site: &Site<S>, is_sealed: bool) -> Run {
    let seal = |subscription: Subscription| match is_sealed {
        true => ring().seal_subscription(subscription).unwrap(),
        false => subscription,
    };
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    let secrets = [Secret::generate(), Secret::generate()];
    let password: Secret = "rosebud-xanadu-1941".parse().unwrap();
    let basic = credential(Authentication::basic("Aladdin", password.clone()));
    let subscription = plain(&endpoint, "org_1").with_secret(secrets[0].clone()).with_options(basic);
    let subscription = seal(subscription);
    site.store.put_subscription(&subscription).await.unwrap();
    let dispatcher = site.dispatcher().with_key_ring(ring());
    let event = site.emit().await;
    assert_eq!(site.drain(&dispatcher, NOON).await.retried, 1);
    let seen = site.read(&subscription).await;
    let rotated = seal(seen.clone().with_secret(secrets[1].clone()));
    assert!(site.store.replace_subscription(&seen, &rotated).await.unwrap());
    assert_eq!(site.drain(&dispatcher, NOON + MINUTE).await.delivered, 1);
    accounted_for(site, &subscription, &endpoint, &[event]).await;
    let (headers, body) = endpoint.requests()[1].clone();
    site.contract.verifier(&secrets[1]).unwrap().verify_at(&headers, &body, NOON + MINUTE).unwrap();
    assert_eq!(headers["authorization"], format!("Basic {}", STANDARD.encode("Aladdin:rosebud-xanadu-1941")));

    let mut told =
        format!("{subscription:?} {rotated:?} {:?} {:?} {:?}", ring(), dispatcher, site.read(&rotated).await);
    site.emit_at(NOON + MINUTE).await;
    if is_sealed {
        // By one who cannot open it, and by one whose key is another.
        site.drain(&site.dispatcher(), NOON + MINUTE).await;
        site.drain(&site.dispatcher().with_key_ring(another_ring()), NOON + 2 * MINUTE).await;
        let error = another_ring().open_subscription(rotated.clone()).unwrap_err();
        told.push_str(&format!("{error} {error:?}"));
    }
    let share = Share::new(subscription.id, 10);
    let claims =
        site.store.claim(&Claim::new(NOON + DAY, Duration::from_secs(60), vec![share])).await.unwrap();
    assert_eq!(claims.deliveries.len(), 1);
    told.push_str(&format!("{claims:?}"));
    for delivery in site.deliveries(&subscription).await {
        let attempts = site.store.attempts(delivery.id).await.unwrap();
        assert!(!attempts.is_empty() || !is_sealed);
        told.push_str(&format!("{delivery:?} {attempts:?}"));
    }
    let database = site.database.everything().await;
    let needles = secrets.iter().chain([&password]).flat_map(needles).collect();
    Run { needles, database, told }
}

impl Database {
    /// Every byte of the file and of what belongs to it, or the text of every row of every table.
    async fn everything(&self) -> Vec<u8> {
        match self {
            Self::Sqlite(path) => {
                let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
                let files: Vec<_> = folder.map(|file| file.unwrap().path()).collect();
                assert!(
                    files.iter().any(|file| file.extension().is_some_and(|end| end == "db-wal")),
                    "{files:?}"
                );
                files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
            }
            Self::Postgres { url, prefix } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let tables = sqlx::query("SELECT tablename FROM pg_tables WHERE starts_with(tablename, $1)")
                    .bind(prefix)
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
                assert!(tables.len() >= 5, "{} tables", tables.len());
                let mut everything = Vec::new();
                for table in tables {
                    let sql = format!("SELECT t::text FROM {} AS t", table.get::<String, _>(0));
                    for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap() {
                        everything.extend_from_slice(row.get::<String, _>(0).as_bytes());
                    }
                }
                connection.close().await.unwrap();
                everything
            }
        }
    }
}

/// In which forms a secret would be found: as it is, as the key that it holds, and either of them encoded.
fn needles(secret: &Secret) -> Vec<Vec<u8>> {
    let text = secret.expose();
    let rest = text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=');
    let mut raw = vec![text.as_bytes().to_vec(), rest.as_bytes().to_vec()];
    raw.extend(STANDARD.decode(text.strip_prefix("whsec_").unwrap_or("")).ok().filter(|key| !key.is_empty()));
    let encoded: Vec<_> = raw
        .iter()
        .flat_map(|raw| {
            [hex::encode(raw), STANDARD.encode(raw), URL_SAFE_NO_PAD.encode(raw), format!("{raw:?}")]
        })
        .map(|text| text.trim_end_matches('=').as_bytes().to_vec())
        .collect();
    raw.extend(encoded);
    raw
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn plain(endpoint: &Endpoint, organization: &str) -> Subscription {
    Subscription::new(organization, endpoint.url(), EventFilter::all())
}

fn credential(authentication: Result<Authentication, hookwire::Error>) -> Options {
    Options::new().with_authentication(authentication.unwrap()).unwrap()
}

fn text(secret: &StoredSecret) -> String {
    let StoredSecret::Sealed(sealed) = secret else { panic!("it is not sealed") };
    sealed.as_str().to_owned()
}

/// With a bit of the ciphertext turned.
fn flipped(text: &str) -> String {
    let at = text.len() - 20;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    [&text[..at], other, &text[at + 1..]].concat()
}

fn ring() -> KeyRing {
    KeyRing::new("2026-11", Key::from_bytes([7; 32])).unwrap()
}

fn newer_ring() -> KeyRing {
    let new = KeyRing::new("2027-01", Key::from_bytes([9; 32])).unwrap();
    new.with_key("2026-11", Key::from_bytes([7; 32])).unwrap()
}

fn another_ring() -> KeyRing {
    KeyRing::new("elsewhere", Key::from_bytes([8; 32])).unwrap()
}
