//! When a program is to end.

use std::io;

use tokio::signal;

/// Comes back when the program is told to end: by ctrl-c, or by SIGTERM as service managers send it.
///
/// From the call on, and not only once it is awaited, neither kills the program.
///
/// # Errors
///
/// When the operating system does not tell of them.
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
