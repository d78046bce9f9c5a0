//! Decodes any bytes as every contract's envelope. Decoding never panics, and a decoded envelope survives
//! another round trip.
#![no_main]

use hookwire::event::{DecodeError, Field};
use hookwire::{
    Contract, Envelope, EventData, RawEvent, Verified, allison, allo, allo_v1, nectar_desk, recept_ai,
};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;

fuzz_target!(|body: &[u8]| {
    reads_alike::<allison::Event>(&Contract::allison(), body);
    reads_alike::<allison::CallEnded>(&Contract::allison(), body);
    reads_alike::<allo::Event>(&Contract::allo(), body);
    reads_alike::<allo_v1::Event>(&Contract::allo_v1(), body);
    reads_alike::<nectar_desk::Event>(&Contract::nectar_desk(), body);
    reads_alike::<recept_ai::Event>(&Contract::recept_ai(), body);
    for name in Contract::NAMES {
        reads_raw(&name.parse().unwrap(), body);
    }
});

/// Decodes the body with a catalogue. Encoding and decoding again gives the same event and the same bytes.
fn reads_alike<T: EventData + PartialEq + std::fmt::Debug>(contract: &Contract, body: &[u8]) {
    let read = match decode::<T>(contract, body) {
        Ok(read) => read,
        Err(error) => {
            let _ = format!("{error} {error:?}");
            if let DecodeError::Data(error) = error {
                let (event_type, data) = (error.event_type().as_str(), error.data());
                assert!(contract.catalogue().check(event_type, data).is_err(), "both readers agree");
            }
            return;
        }
    };
    // Some decoded events cannot be encoded: an offset can move a time in a field out of RFC 3339's years.
    let Ok(written) = contract.encode(&read) else { return };
    let again = decode::<T>(contract, &written).expect("what was written can be read");
    assert_eq!(again.data, read.data);
    assert_eq!(contract.encode(&again).expect("and written again"), written);
    same_head(contract, &read, &again);
}

/// Decodes without looking into the data. Every decoded envelope can be encoded, and its data stays the same
/// bytes.
fn reads_raw(contract: &Contract, body: &[u8]) {
    let Ok(read) = decode::<RawEvent>(contract, body) else { return };
    let written = contract.encode(&read).expect("what was read can be written");
    let again = decode::<RawEvent>(contract, &written).expect("what was written can be read");
    assert_eq!(again.data, read.data);
    same_head(contract, &read, &again);
    let _ = contract.ordering_key(read.event_type(), read.data.data());
    let _ = contract.catalogue().check(read.event_type(), read.data.data());
}

fn same_head<T>(contract: &Contract, read: &Envelope<T>, again: &Envelope<T>) {
    if contract.format().carries_id() {
        assert_eq!(again.id, read.id);
    }
    if contract.format().fields().iter().any(|field| matches!(field, Field::CreatedAt(..))) {
        // The format writes fewer digits of a second.
        let cut = read.created_at - again.created_at;
        assert!(!cut.is_negative() && cut.whole_milliseconds() == 0, "{cut}");
    }
}

fn decode<T: EventData>(contract: &Contract, body: &[u8]) -> Result<Envelope<T>, DecodeError> {
    contract.decode(&Verified::dangerous_unsigned_at(&HeaderMap::new(), body, NOW))
}

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
