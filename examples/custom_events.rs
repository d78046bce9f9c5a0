//! Events of your own: a catalogue, a contract for it, and one event on its way from the sender's struct to
//! the receiver's.
//!
//! ```text
//! cargo run --example custom_events
//! ```
//!
//! There is no server and no runtime: the request is a header map and bytes. The program prints each step.

use std::error::Error;
use std::time::Duration;

use hookwire::event::{EnvelopeFormat, Field, TimePrecision};
use hookwire::{Contract, Envelope, RawEvent, RetryPolicy, Secret};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The data of an event is any struct that serde can read and write.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct OrderPaid {
    order_id: String,
    cents: u64,
    /// A field that was added later has a default, so that older events can still be read.
    #[serde(default)]
    coupons: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Parcel {
    parcel_id: String,
    carrier: Option<String>,
}

hookwire::catalogue! {
    /// The events of our shop. The comments become the descriptions in `CATALOGUE` at run time.
    enum ShopEvent {
        /// An order was paid in full.
        OrderPaid = "order.paid", sample: OrderPaid { order_id: "o-1".into(), cents: 1999, coupons: vec![] };
        /// A parcel left the warehouse.
        Shipped(Parcel) = "parcel.shipped", sample: parcel();
        /// A parcel came back.
        Returned(Parcel) = "parcel.returned", sample: parcel();
    }
}

/// Our contract: Standard Webhooks, with its signature, headers and tolerance, and changes of our own.
fn shop() -> Result<Contract, hookwire::Error> {
    let waits = [10, 60, 600, 3600].map(Duration::from_secs);
    Ok(Contract::standard_webhooks()
        .with_name("shop")?
        .with_catalogue(ShopEvent::CATALOGUE)
        .with_format(FORMAT)
        .with_timeout(Duration::from_secs(5))
        .with_retry(RetryPolicy::delays(waits)?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let contract = shop()?;
    println!(
        "1. A contract of our own, `{}`: {} event types",
        contract.name(),
        ShopEvent::CATALOGUE.iter().len()
    );
    for kind in contract.catalogue().iter() {
        println!("   {:<15}  {:<29}  {}", kind.name(), kind.description(), kind.sample());
    }
    println!("   of these, `parcel.*` matches:");
    for kind in contract.catalogue().matching(&"parcel.*".parse()?) {
        println!("   {}", kind.name());
    }

    let paid = OrderPaid { order_id: "o-7".into(), cents: 4250, coupons: vec!["SPRING".into()] };
    let envelope = Envelope::new(paid);
    let body = contract.encode(&envelope)?;
    println!("\n2. Encoded once; these bytes are stored, signed and sent:\n   {}", text(&body));

    let secret = Secret::generate();
    let now = OffsetDateTime::now_utc();
    let headers = contract.signer(&secret)?.sign(envelope.id.as_str(), now, &body)?;
    println!("\n3. Signed with {}:", secret.preview());
    for (name, value) in &headers {
        println!("   {name}: {}", text(value.as_bytes()));
    }

    let verifier = contract.verifier(&secret)?;
    let verified = verifier.verify_at(&headers, &body, now)?;
    println!("\n4. Verified at the receiver: id {}", verified.id().unwrap_or("none"));
    let mut forged = body.to_vec();
    forged.push(b' ');
    if let Err(refused) = verifier.verify_at(&headers, &forged, now) {
        println!("   the same with one more space: {refused}");
    }

    println!("\n5. Decoded into our own enum:");
    handle(contract.decode(&verified)?);

    // A newer sender has a type that this receiver was built without.
    let newer = Envelope::new(RawEvent::new("order.refunded", serde_json::json!({"order_id": "o-7"}))?);
    let body = contract.encode(&newer)?;
    let headers = contract.signer(&secret)?.sign(newer.id.as_str(), now, &body)?;
    println!("\n6. A type that the catalogue does not know is kept, not refused:");
    handle(contract.decode(&verifier.verify_at(&headers, &body, now)?)?);

    let wrong = RawEvent::new("order.paid", serde_json::json!({"order_id": "o-8", "cents": "12.50"}))?;
    println!("\n7. Data of a known type that does not fit it is named, field by field:");
    match contract.catalogue().check(wrong.event_type(), wrong.data()) {
        Ok(()) => println!("   it fits"),
        Err(problem) => println!("   {problem}"),
    }
    Ok(())
}

fn handle(envelope: Envelope<ShopEvent>) {
    match envelope.data {
        ShopEvent::OrderPaid(paid) => {
            println!("   order {} paid: {} cents, coupons {:?}", paid.order_id, paid.cents, paid.coupons);
        }
        ShopEvent::Shipped(parcel) | ShopEvent::Returned(parcel) => {
            println!("   parcel {}", parcel.parcel_id)
        }
        ShopEvent::Other(other) => println!("   {} with {}", other.event_type(), other.data()),
    }
}

fn parcel() -> Parcel {
    Parcel { parcel_id: "p-1".into(), carrier: Some("bicycle".into()) }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The envelope `{"id","event","at","payload"}`. With the id in the body, receivers need no header to
/// recognize a duplicate.
const FORMAT: EnvelopeFormat = EnvelopeFormat::new(&[
    Field::Id("id"),
    Field::Type("event"),
    Field::CreatedAt("at", TimePrecision::Milliseconds),
    Field::Data("payload"),
]);
