//! Waits for the signal that ends a program.

use std::io;

use tokio::signal;

/// Completes when the program should end: on ctrl-c, or on SIGTERM from a service manager.
///
/// As soon as this function returns, neither signal kills the program any more, even if the future is not yet
/// awaited.
///
/// # Errors
///
/// If the operating system refuses to register the signals.
pub(crate) fn ending() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    #[cfg(unix)]
    let ended = {
        use signal::unix::{SignalKind, signal};

        let (mut interrupted, mut terminated) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        async move {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        }
    };
    #[cfg(not(unix))]
    let ended = async { drop(signal::ctrl_c().await) };
    Ok(ended)
}
