//! [`Door`]: an address that leads to a server, and later to another, as a virtual address or a load balancer
//! does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Door {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    /// Whether the connections that were open at the last change fell silent, or were cut.
    is_silent: watch::Sender<bool>,
}

impl Door {
    /// A door that leads to this port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(at(port)));
        let is_silent = watch::Sender::new(false);
        tokio::spawn({
            let (target, is_silent) = (Arc::clone(&target), is_silent.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let target = *target.lock().unwrap();
                    tokio::spawn(carry(client, target, is_silent.subscribe()));
                }
            }
        });
        Self { address, target, is_silent }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Leads new connections to this port.
    pub(crate) fn lead_to(&self, port: u16) {
        *self.target.lock().unwrap() = at(port);
    }

    /// Cuts all connections that are open.
    pub(crate) fn cut(&self) {
        self.is_silent.send_replace(false);
    }

    /// Lets nothing more through the connections that are open, and does not close them.
    pub(crate) fn silence(&self) {
        self.is_silent.send_replace(true);
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, mut is_silent: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = is_silent.changed() => {
            if *is_silent.borrow() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
