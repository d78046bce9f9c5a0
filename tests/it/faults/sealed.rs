//! Sealed secrets are opened only for an attempt. A secret that does not open costs only its own deliveries.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookwire::dispatch::{FaultEvent, FaultKind, FaultScope, Observer};
use hookwire::keyring::{Key, KeyRing};
use hookwire::signature::{SecretUse, StoredSecret};
use hookwire::sqlx::{self, AssertSqlSafe, Connection as _, PgConnection, Row as _};
use hookwire::store::implement::Share;
use hookwire::subscription::{Authentication, Health, Options};
use hookwire::{
    DeliveryId, DeliveryState, EventFilter, EventId, Records, Secret, Store as _, Subscription, Subscriptions,
};

use super::{Database, Opens, Site, accounted_for, on_both_databases};
use crate::endpoint::{Answer, Endpoint};
use crate::engine::{DAY, HOUR, MINUTE, NOON, call};
use crate::stores::claim_of;

on_both_databases! {
    what_is_sealed_signs_and_is_shown_to_the_endpoint
    a_secret_that_does_not_open_costs_its_own_deliveries_and_no_others
    a_wrong_key_ring_kills_nothing_however_long_it_is_there
    a_check_counts_what_the_ring_opens_and_what_it_does_not_by_key
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
    site.plain().put(&subscription).await.unwrap();
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

/// A change of a subscription's sealed secret, and a word of the attempt's error.
type Spoil = (fn(&Spoilt) -> Vec<String>, &'static str);

/// Without two characters the rest is not base64. Without three it is.
const SPOILS: [Spoil; 10] = [
    (|it| vec![it.own[..it.own.len() - 2].to_owned()], "damaged"),
    (|it| vec![it.own[..it.own.len() - 3].to_owned()], "does not open"),
    (|it| vec![it.own[..it.own.len() / 4].to_owned()], "damaged"),
    (|_| vec![String::new()], "damaged"),
    (|it| vec![flipped(&it.own)], "does not open"),
    (|it| vec![it.neighbours.clone()], "does not open"),
    (|it| vec![it.sealed(&ring(), SecretUse::Credential)], "does not open"),
    (
        |it| vec![it.sealed(&another_ring(), SecretUse::Signing)],
        "key elsewhere, which is not in the key ring",
    ),
    (|it| vec![it.own.replacen("v1.", "v9.", 1)], "damaged"),
    // The newest secret opens, but a request without the older secret's signature would look forged.
    (|it| vec![it.own.clone(), it.sealed(&another_ring(), SecretUse::Signing)], "key elsewhere"),
];

/// A subscription with an organization and an event of its own.
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
        site.plain().put(&subscription).await.unwrap();
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
    let faults = Faults::default();
    let observed = site.dispatcher().with_key_ring(ring()).with_observer(faults.clone());
    let step = site.drain(&observed, NOON).await;
    assert_eq!((step.delivered, step.kept_back, step.dead), (1, SPOILS.len(), 0), "in the first turn");
    accounted_for(&site, &healthy.subscription, &healthy.endpoint, std::slice::from_ref(&healthy.event))
        .await;
    for (number, (spoilt, (_, word))) in all.iter().zip(SPOILS).enumerate() {
        assert!(spoilt.endpoint.requests().is_empty(), "{number} was sent");
        let organization = &spoilt.subscription.organization;
        let delivery = site.plain().find_delivery(organization, spoilt.delivery).await.unwrap().unwrap();
        assert_eq!(delivery.state, DeliveryState::Pending, "{number}");
        assert_eq!(delivery.attempts, 0, "{number}: no attempt is spent");
        assert!(site.plain().list_attempts(spoilt.delivery).await.unwrap().is_empty(), "{number}");
        let told = faults.0.lock().unwrap()[&spoilt.delivery].clone();
        assert!(told.contains(word), "{number}: {told}");
        assert_eq!(
            site.read(&spoilt.subscription).await.health,
            Health::default(),
            "{number}: our own fault"
        );
        // A secret that does not open stops no emit, not even of its own organization.
        site.outbox().emit(&spoilt.subscription.organization, &call()).await.unwrap();
        // Restore the secret, as from a backup.
        site.plain().put(&spoilt.subscription).await.unwrap();
    }
    assert_eq!(site.drain(&dispatcher, NOON + MINUTE).await.delivered, 2 * SPOILS.len());
    for spoilt in all {
        let requests = spoilt.endpoint.requests().clone();
        assert_eq!(requests.len(), 2);
        let verifier = site.contract.verifier(&spoilt.secret).unwrap();
        verifier.verify_at(&requests[0].0, &requests[0].1, NOON + MINUTE).unwrap();
    }
}

async fn a_wrong_key_ring_kills_nothing_however_long_it_is_there<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = plain(&endpoint, "org_1").with_secret(Secret::generate());
    let subscription = ring().seal_subscription(subscription).unwrap();
    site.plain().put(&subscription).await.unwrap();
    let event = site.emit().await;
    let wrong = site.dispatcher().with_key_ring(another_ring());
    let (mut waits, mut now) = (Vec::new(), NOON);
    // Allison's schedule would be over after 32 hours, and its first four attempts after 8.
    while now < NOON + 8 * HOUR {
        let step = site.drain(&wrong, now).await;
        assert_eq!((step.kept_back, step.retried, step.dead), (1, 0, 0));
        let wait = step.next_due.unwrap();
        waits.push(wait.as_secs());
        now += wait;
    }
    assert_eq!(waits[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert!(waits[10..].iter().all(|wait| *wait == 300));
    // The right ring, as after a restart.
    assert_eq!(site.drain(&site.dispatcher().with_key_ring(ring()), now).await.delivered, 1);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
    assert_eq!(site.deliveries(&subscription).await[0].attempts, 1);
}

async fn a_check_counts_what_the_ring_opens_and_what_it_does_not_by_key<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let store = site.plain();
    assert!(!ring().check(store).await.unwrap().is_wrong_ring(), "there is nothing to open");
    let basic = || credential(Authentication::basic("Aladdin", "open sesame".parse().unwrap()));
    let mut all = Vec::new();
    for number in 0..6 {
        let subscription =
            plain(&endpoint, &format!("org_{number}")).with_secret(Secret::generate()).with_options(basic());
        let subscription = match number {
            0 => subscription,
            1..=3 => ring().seal_subscription(subscription).unwrap(),
            _ => another_ring().seal_subscription(subscription).unwrap(),
        };
        store.put(&subscription).await.unwrap();
        all.push(subscription);
    }
    let unreadable = site.database.id(all[5].id.as_u128());
    site.database
        .tamper(&format!("UPDATE {{p}}subscriptions SET options = 'x' WHERE id = {unreadable}"))
        .await;
    let report = ring().check(store).await.unwrap();
    assert_eq!((report.opened, report.plain, report.unreadable), (6, 2, 1));
    assert_eq!(report.unopened, [("elsewhere".to_owned(), 2)].into());
    assert!(!report.is_wrong_ring());
    let none = KeyRing::new("nobodys", Key::generate()).unwrap().check(store).await.unwrap();
    assert!(none.is_wrong_ring() && none.opened == 0, "{none:?}");
    assert_eq!(none.unopened.values().sum::<u64>(), 8);
}

/// The reasons of the faults on this side, by delivery.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<BTreeMap<DeliveryId, String>>>);

impl Observer for Faults {
    fn own_fault(&self, fault: &FaultEvent<'_>) {
        assert_eq!((fault.scope, fault.kind), (FaultScope::Subscription, FaultKind::Key));
        self.0.lock().unwrap().insert(fault.delivery, fault.reason.to_owned());
    }
}

async fn a_credential_that_does_not_open_is_not_sent_nor_anything_with_it<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let secret = Secret::generate();
    let subscription = plain(&endpoint, "org_1")
        .with_secret(secret.clone())
        .with_options(credential(Authentication::api_key("x-api-key", "open sesame".parse().unwrap())));
    let subscription = ring().seal_subscription(subscription).unwrap();
    // The signing secret stands in the place of the API key. An endpoint that received it would know the
    // secret.
    let signing = subscription.secrets[0].clone();
    let swapped = subscription.clone().try_map_secrets(|_, _| Ok(signing.clone())).unwrap();
    site.plain().put(&swapped).await.unwrap();
    site.emit().await;
    let faults = Faults::default();
    let dispatcher = site.dispatcher().with_key_ring(ring()).with_observer(faults.clone());
    assert_eq!(site.drain(&dispatcher, NOON).await.kept_back, 1);
    assert!(endpoint.requests().is_empty());
    let [delivery] = site.deliveries(&subscription).await.try_into().unwrap();
    let told = faults.0.lock().unwrap()[&delivery.id].clone();
    assert!(told.contains("does not open"), "{told}");
    site.plain().put(&subscription).await.unwrap();
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
    site.plain().put(&sealed).await.unwrap();
    let event = site.emit().await;
    let faults = Faults::default();
    let step = site.drain(&site.dispatcher().with_observer(faults.clone()), NOON).await;
    assert_eq!((step.delivered, step.kept_back), (1, 1));
    let [delivery] = site.deliveries(&sealed).await.try_into().unwrap();
    assert_eq!(delivery.attempts, 0, "no attempt is spent");
    assert_eq!(
        faults.0.lock().unwrap()[&delivery.id],
        "secret is sealed with key 2026-11 and the dispatcher has no key ring, expected a ring with that key; see \
         `Dispatcher::with_key_ring`"
    );
    assert!(endpoints[1].requests().is_empty());
    // With the key ring, both are delivered.
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
            // Without a secret to seal.
            0 => {
                let mut bare = plain(&endpoint, &organization);
                // The id of a contract that was read from a text does not tell whether the contract signs.
                bare.contract = "allison/v1".parse().unwrap();
                bare
            }
            1..=3 => subscription,
            4 | 5 => old.seal_subscription(subscription).unwrap(),
            6 => newer_ring().seal_subscription(subscription).unwrap(),
            7 => another_ring().seal_subscription(subscription).unwrap(),
            _ => subscription,
        };
        site.plain().put(&subscription).await.unwrap();
        all.push(subscription);
    }
    let unreadable = site.database.id(all[8].id.as_u128());
    site.database
        .tamper(&format!("UPDATE {{p}}subscriptions SET secrets = 'x' WHERE id = {unreadable}"))
        .await;
    let mut failed = Vec::new();
    let batch = NonZeroU32::new(2).unwrap();
    let told = newer_ring()
        .reseal_all(site.plain(), batch, |id, error| failed.push((id, error.to_string())))
        .await
        .unwrap();
    assert_eq!((told.sealed, told.unchanged, told.failed), (5, 2, 2));
    // Sort by creation: two ids of the same millisecond may be in either order.
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
    let again = newer_ring().reseal_all(site.plain(), batch, |_, _| {}).await.unwrap();
    assert_eq!((again.sealed, again.unchanged, again.failed), (0, 7, 2));
}

async fn a_rotation_while_secrets_are_sealed_anew_is_not_lost<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = plain(&endpoint, "org_1").with_secret(Secret::generate());
    site.plain().put(&subscription).await.unwrap();
    let mut newest = None;
    let rotating = async {
        for _ in 0..100 {
            let secret = Secret::generate();
            loop {
                let seen = site.read(&subscription).await;
                let mut rotated = seen.clone().with_secret(secret.clone());
                rotated.secrets.truncate(2);
                if site.plain().replace(&seen, &rotated).await.unwrap() {
                    break;
                }
            }
            newest = Some(secret);
            // The newest secret is now one of the two that sign, whichever write was the last.
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
        // Alternates between two keys, so that there is always work.
        let older = KeyRing::new("2026-11", Key::from_bytes([7; 32]))
            .and_then(|ring| ring.with_key("2027-01", Key::from_bytes([9; 32])))
            .unwrap();
        let batch = NonZeroU32::new(1).unwrap();
        while !stopped.get() {
            for ring in [&older, &newer_ring()] {
                let told = ring.reseal_all(site.plain(), batch, |_, _| {}).await.unwrap();
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
    // This shows that the search works: it finds data that is stored in clear text.
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
    /// Every `Debug` output and every error text.
    told: String,
}

/// Creates, fails, retries, rotates, delivers, meets a secret that does not open, and reads everything.
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
    site.plain().put(&subscription).await.unwrap();
    let dispatcher = site.dispatcher().with_key_ring(ring());
    let event = site.emit().await;
    assert_eq!(site.drain(&dispatcher, NOON).await.retried, 1);
    let seen = site.read(&subscription).await;
    let rotated = seal(seen.clone().with_secret(secrets[1].clone()));
    assert!(site.plain().replace(&seen, &rotated).await.unwrap());
    assert_eq!(site.drain(&dispatcher, NOON + MINUTE).await.delivered, 1);
    accounted_for(site, &subscription, &endpoint, &[event]).await;
    let (headers, body) = endpoint.requests()[1].clone();
    site.contract.verifier(&secrets[1]).unwrap().verify_at(&headers, &body, NOON + MINUTE).unwrap();
    assert_eq!(headers["authorization"], format!("Basic {}", STANDARD.encode("Aladdin:rosebud-xanadu-1941")));

    let mut told =
        format!("{subscription:?} {rotated:?} {:?} {:?} {:?}", ring(), dispatcher, site.read(&rotated).await);
    site.emit_at(NOON + MINUTE).await;
    if is_sealed {
        // Two dispatchers try: one without a key ring, one with another key.
        let faults = Faults::default();
        site.drain(&site.dispatcher().with_observer(faults.clone()), NOON + MINUTE).await;
        let other = site.dispatcher().with_key_ring(another_ring()).with_observer(faults.clone());
        site.drain(&other, NOON + 2 * MINUTE).await;
        told.push_str(&format!("{:?}", faults.0.lock().unwrap()));
        let error = another_ring().open_subscription(rotated.clone()).unwrap_err();
        told.push_str(&format!("{error} {error:?}"));
    }
    let share = Share::new(subscription.id, 10);
    let claims = site.store.claim(&claim_of(Duration::from_secs(60), vec![share], NOON + DAY)).await.unwrap();
    assert_eq!(claims.deliveries.len(), 1);
    told.push_str(&format!("{claims:?}"));
    for delivery in site.deliveries(&subscription).await {
        let attempts = site.plain().list_attempts(delivery.id).await.unwrap();
        told.push_str(&format!("{delivery:?} {attempts:?}"));
    }
    let database = site.database.everything().await;
    let needles = secrets.iter().chain([&password]).flat_map(needles).collect();
    Run { needles, database, told }
}

impl Database {
    /// Every byte of the database's files, or the text of every row of every table.
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

/// The forms in which a secret could be found: its text, its key, and both encoded.
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
    Subscription::new(organization, &hookwire::Contract::allison(), endpoint.url(), EventFilter::all())
}

fn credential(authentication: Result<Authentication, hookwire::Error>) -> Options {
    Options::new().with_authentication(authentication.unwrap()).unwrap()
}

fn text(secret: &StoredSecret) -> String {
    let StoredSecret::Sealed(sealed) = secret else { panic!("it is not sealed") };
    sealed.as_str().to_owned()
}

/// The text with one changed bit in the ciphertext.
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
