//! [`Asked`]: whether the store was asked to settle a row; [`settle`]: settles rows that may be written
//! already.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::{Settled, StoreError};

/// Whether the store was asked to settle a row, without saying whether it did.
#[derive(Debug, Default)]
pub(crate) struct Asked(AtomicBool);

/// Carries out `call`, which settles these rows.
///
/// The answer to an earlier call may have been lost after the row was written. Such a row is stale now and is
/// reported as settled. This may be wrong if its lease ended in between, but otherwise nobody would hear of
/// it.
pub(crate) async fn settle<'a>(
    rows: impl Iterator<Item = &'a Asked>,
    call: impl Future<Output = Result<Vec<Settled>, StoreError>>,
) -> Result<Vec<Settled>, StoreError> {
    // Set before the call, as the caller may drop it.
    let rows: Vec<_> = rows.map(|row| (row, row.0.swap(true, Ordering::Relaxed))).collect();
    match call.await {
        Ok(settled) => {
            let settled = settled.into_iter().zip(&rows);
            Ok(settled.map(|(settled, (_, again))| if *again { Settled::Done } else { settled }).collect())
        }
        Err(error) => {
            if !error.is_retryable() {
                // Nothing was written.
                rows.iter().for_each(|(row, before)| row.0.store(*before, Ordering::Relaxed));
            }
            Err(error)
        }
    }
}
