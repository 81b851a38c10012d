//! A TCP proxy that can hold back what comes from the server, so that a reader behind it is there and
//! hears nothing, that can cut all connections, with what was held back, and that can lead the next ones
//! to another server.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Bytes that are passed on at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A proxy in front of one server. Dropping it ends it and what goes through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    servers: watch::Sender<SocketAddr>,
    held: watch::Sender<bool>,
    cuts: watch::Sender<()>,
    /// Bytes that came from clients.
    heard: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on a free port and passes everything on to `server`.
    pub async fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (servers, server) = watch::channel(server);
        let (held, is_held) = watch::channel(false);
        let (cuts, cut) = watch::channel(());
        let (count, heard) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let count = count.clone();
                let (is_held, mut cut) = (is_held.clone(), cut.clone());
                cut.mark_unchanged();
                let server = *server.borrow();
                // Ends with either side.
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let _ = client.set_nodelay(true);
                    let _ = server.set_nodelay(true);
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass(from_client, to_server, None, Some(count)) => {}
                        () = pass(from_server, to_client, Some(is_held), None) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Proxy {
            address,
            servers,
            held,
            cuts,
            heard,
            task,
        }
    }

    /// Waits until a client has said something.
    pub async fn has_heard(&self) {
        let mut heard = self.heard.clone();
        heard
            .wait_for(|bytes| *bytes > 0)
            .await
            .expect("it goes on");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds back what comes from the server, from now on.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Ends all connections, and what was held back in them; new ones are taken.
    pub fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// Ends all connections; new ones go to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.servers.send_replace(server);
        self.cut();
    }

    /// Lets everything through again, what was held back first.
    pub fn release(&self) {
        self.held.send_replace(false);
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    held: Option<watch::Receiver<bool>>,
    count: Option<watch::Sender<usize>>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(length) = from.read(&mut chunk).await {
        if length == 0 {
            return;
        }
        if let Some(mut held) = held.clone()
            && held.wait_for(|held| !held).await.is_err()
        {
            return;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
        if let Some(count) = &count {
            count.send_modify(|bytes| *bytes += length);
        }
    }
}
