//! Tables of hostile requests and the answer to each, for a receiver of every sender, over real HTTP and
//! without.
//!
//! A stranger's request is never answered 500. It gets only a status, leaves no trace in the inbox, and
//! reaches no handler.

mod bodies;
mod headers;
mod replays;
mod request;
mod requests;
mod sender;
mod site;
mod times;
mod watch;
mod wire;

use std::collections::BTreeSet;

use self::request::Request;
use self::sender::Sender;
use self::site::Site;
use self::watch::Seen;

/// A request's name, its alleged sender, a function that makes it, and the expected result.
type Row = (&'static str, Sender, fn(Sender) -> Request, Told);

/// The result of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    /// 200: a handler gets the event.
    Taken,
    /// 200: the handler gets data that does not fit its type, passes the error on, and the event is shelved.
    /// A repetition would not fit either.
    Misfit,
    /// This status, and no handler call.
    Refused(u16),
}

#[tokio::test]
async fn every_hostile_request_gets_its_answer_without_a_wire() {
    let site = Site::open().await;
    let mut faults = Vec::new();
    let untrimmed = headers::UNTRIMMED.iter().map(|row| ("untrimmed", row));
    for (table, (name, sender, make, told)) in rows().chain(untrimmed) {
        let name = format!("{table}: {sender:?}, {name}");
        let response = site.answer(*sender, &make(*sender)).await;
        let headers = response.headers().iter().map(|(name, _)| name.as_str().to_owned()).collect();
        let answer = (response.status().as_u16(), headers, response.body().is_empty());
        faults.extend(judge(&site, *told, answer).map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for sender in Sender::ALL {
        let response = site.answer(sender, &sender.genuine()).await;
        assert_eq!(response.status(), 200, "after all of them {sender:?} is still heard");
    }
}

#[tokio::test]
async fn every_hostile_request_gets_its_answer_over_http() {
    let site = Site::open().await;
    let mut faults = Vec::new();
    for (table, (name, sender, make, told)) in rows() {
        let name = format!("{table}: {sender:?}, {name}");
        let mut responses = wire::send(site.address, wire::all(make(*sender).bytes())).await;
        let response = responses.pop().unwrap_or_else(|| panic!("{name}: no answer"));
        assert!(responses.is_empty(), "{name}: more than one answer");
        let headers = response.headers.into_iter().map(|(name, _)| name).collect();
        let answer = (response.status, headers, response.body.is_empty());
        faults.extend(judge(&site, *told, answer).map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    still_heard(&site).await;
}

#[tokio::test]
async fn every_hostile_connection_gets_its_answers() {
    let site = Site::open().await;
    let mut faults = Vec::new();
    for (name, make, statuses) in wire::ROWS {
        let responses = wire::send(site.address, make()).await;
        let told: Vec<u16> = responses.iter().map(|response| response.status).collect();
        if told != *statuses {
            faults.push(format!("{name}: {told:?}, expected {statuses:?}"));
        }
        let taken = statuses.iter().filter(|status| **status == 200).count() as u32;
        let seen = site.watch.take();
        if told == *statuses && seen != (Seen { reserved: taken, events: taken, misfits: 0 }) {
            faults.push(format!("{name}: {seen:?}"));
        }
        for response in &responses {
            let names = response.headers.iter().map(|(name, _)| name.clone()).collect();
            if !response.body.is_empty() || !is_silent(&names) {
                faults.push(format!("{name}: {response:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    still_heard(&site).await;
}

#[test]
fn there_are_many_rows_and_no_two_of_a_name() {
    let mut names = BTreeSet::new();
    let of = |sender: &Sender| rows().filter(|(_, row)| row.1 == *sender).count();
    for (table, (name, sender, ..)) in rows() {
        assert!(names.insert((table, format!("{sender:?}"), name)), "{table}: {sender:?} has {name} twice");
    }
    let refused = rows().filter(|(_, row)| matches!(row.3, Told::Refused(_))).count();
    assert!(refused >= 150, "{refused} of {}", names.len());
    for sender in Sender::ALL {
        assert!(of(&sender) > 0, "{sender:?} meets nothing");
    }
}

fn rows() -> impl Iterator<Item = (&'static str, &'static Row)> {
    let tables = [
        ("headers", headers::ROWS),
        ("times", times::ROWS),
        ("requests", requests::ROWS),
        ("bodies", bodies::ROWS),
    ];
    tables.into_iter().flat_map(|(table, rows)| rows.iter().map(move |row| (table, row)))
}

/// The difference between the expected and the actual answer, and between their effects.
fn judge(
    site: &Site,
    told: Told,
    (status, headers, is_empty): (u16, BTreeSet<String>, bool),
) -> Option<String> {
    let (expected, seen) = match told {
        Told::Taken => (200, Seen { reserved: 1, events: 1, misfits: 0 }),
        Told::Misfit => (200, Seen { reserved: 1, events: 0, misfits: 1 }),
        Told::Refused(status) => (status, Seen::default()),
    };
    let has_seen = site.watch.take();
    let is_right = status == expected
        && has_seen == seen
        && is_empty
        && is_silent(&headers)
        && headers.contains("retry-after") == (status == 503)
        && headers.contains("allow") == (status == 405)
        && headers.contains("www-authenticate") == (status == 401);
    (!is_right).then(|| format!("{status} with {headers:?} and {has_seen:?}, expected {told:?}"))
}

/// Whether the headers are only those that every response of a status has.
fn is_silent(headers: &BTreeSet<String>) -> bool {
    let told = [
        "accept-encoding",
        "allow",
        "connection",
        "content-length",
        "date",
        "retry-after",
        "www-authenticate",
    ];
    headers.iter().all(|header| told.contains(&header.as_str()))
}

/// The same receivers still accept genuine events.
async fn still_heard(site: &Site) {
    for sender in Sender::ALL {
        let responses = wire::send(site.address, wire::all(sender.genuine().bytes())).await;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
        assert_eq!(statuses, [200], "after all of them {sender:?} is still heard");
        assert_eq!(site.watch.take().events, 1);
    }
}
