//! Providers: every vector of `tests/data/provider_vectors.json`, of `provider_vectors_made.json`, whose
//! requests another program signed, and of `provider_vectors_sdk.json`, whose requests the providers' own
//! packages signed (`tests/data/sdk/` records them); and the rules behind them.

mod apart;
mod distinct;
#[cfg(all(feature = "asymmetric", feature = "jwt"))]
mod hostile;
mod receiving;
mod recognizing;
#[cfg(feature = "testing")]
mod signing;
#[cfg(feature = "testing")]
mod strangers;
mod table;
pub(crate) mod vectors;
mod verifying;
