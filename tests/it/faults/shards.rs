//! Organizations that are split over two databases, with an outbox and a dispatcher for each of them in one
//! process, as `docs/scaling.md` shows.

use std::sync::Arc;

use hookwire::dispatch::{Dispatcher, Outbox, Wake};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{EventFilter, HyperClient, Secret, Subscription, Subscriptions as _};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{Database, Opens, Site, accounted_for, sqlx};
use crate::endpoint::{Endpoint, loopback};
use crate::engine::call;
use crate::engine::running::Running;
use crate::postgres_server::{self, prefix};

const DATABASES: usize = 2;

#[tokio::test]
async fn two_sqlite_files_share_a_process() {
    split([Site::<SqliteStore>::sqlite().await, Site::sqlite().await]).await;
}

#[tokio::test]
async fn two_postgres_databases_share_a_process() {
    let (server, name) = (postgres_server::url(), format!("second_{}", prefix()));
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let second = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let second = Database::Postgres { url: second, prefix: prefix() };
    split([Site::postgres().await, Site::on(second, ()).await]).await;
}

async fn split<S: Opens>(sites: [Site<S>; DATABASES]) {
    let wakes = [Wake::new(), Wake::new()];
    let client = HyperClient::new();
    let mut shards = sites.iter().zip(&wakes).map(|(site, wake)| {
        let outbox = Outbox::new(Arc::clone(&site.store), site.contract.clone()).with_wake(wake);
        let dispatcher = Dispatcher::new(Arc::clone(&site.store), client.clone(), site.contract.clone());
        let dispatcher = dispatcher.with_address_policy(loopback()).with_wake(wake).with_max_in_flight(64);
        (outbox, Running::start(dispatcher))
    });
    let shards = [shards.next().unwrap(), shards.next().unwrap()];
    let mut customers = Vec::new();
    for number in 0..8 {
        let (organization, endpoint) = (format!("org_{number}"), Endpoint::start([]).await);
        let site = &sites[number % DATABASES];
        let subscription =
            Subscription::new(&organization, &site.contract, endpoint.url(), EventFilter::all())
                .with_secret(Secret::from_random([number as u8; 32]));
        site.plain().put(&subscription).await.unwrap();
        customers.push((organization, endpoint, subscription, Vec::new()));
    }

    for (number, (organization, _, _, events)) in customers.iter_mut().enumerate() {
        for _ in 0..5 {
            let emitted = shards[number % DATABASES].0.emit(organization, &call()).await.unwrap();
            events.push(emitted.id);
        }
    }
    for (number, (organization, endpoint, ..)) in customers.iter().enumerate() {
        endpoint.arrived(5).await;
        let other = sites[(number + 1) % DATABASES].plain();
        assert_eq!(hookwire::Store::subscriptions(other, organization).await.unwrap().subscriptions.len(), 0);
    }

    // The first database falls silent: its dispatcher hears nothing more of it.
    sites[0].store.hangs();
    for (organization, endpoint, _, events) in customers.iter_mut().skip(1).step_by(DATABASES) {
        for _ in 0..5 {
            events.push(shards[1].0.emit(organization, &call()).await.unwrap().id);
        }
        endpoint.arrived(10).await;
    }
    let [_, (_, running)] = shards;
    running.stop().await;
    for (_, endpoint, subscription, events) in customers.iter().skip(1).step_by(DATABASES) {
        accounted_for(&sites[1], subscription, endpoint, events).await;
    }
}
