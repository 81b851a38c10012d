//! A TCP relay that can be cut and mended: stands for a link between two sites.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A relay to one address. Dropping it ends every connection.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Relay {
    /// Listens on a port of its own and passes everything on to `far`.
    pub async fn to(far: SocketAddr) -> std::io::Result<Relay> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, is_open) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // While it is cut, a connection ends as soon as it was taken.
                if *is_open.borrow() {
                    tokio::spawn(pass(near, far, is_open.clone()));
                }
            }
        });
        Ok(Relay {
            address,
            open,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, and every new one, until it is mended.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Passes connections on again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(mut near: TcpStream, far: SocketAddr, mut is_open: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(far).await else {
        return;
    };
    tokio::select! {
        // Either side's end is the end; its error is that side's to tell.
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = is_open.wait_for(|open| !open) => {}
    }
}
