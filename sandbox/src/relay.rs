//! A TCP relay that can be cut and mended: stands for a link between two sites.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Stalled,
    Cut,
}

/// A relay to one address. Dropping it ends every connection.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: watch::Sender<State>,
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
        let (sender, state) = watch::channel(State::Open);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, far, state.clone()));
            }
        });
        Ok(Relay {
            address,
            state: sender,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, and every new one, until it is mended.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Passes nothing on, and ends nothing either: as a network that drops packets.
    pub fn stall(&self) {
        self.state.send_replace(State::Stalled);
    }

    /// Passes new connections on again. One that was stalled has lost what it was sent.
    pub fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn pass(mut near: TcpStream, far: SocketAddr, mut state: watch::Receiver<State>) {
    // While it is cut, a connection ends as soon as it was taken.
    let is = *state.borrow_and_update();
    if is == State::Open {
        let Ok(mut far) = TcpStream::connect(far).await else {
            return;
        };
        // A link of its own length adds nothing to what passes: small writes don't wait for each other.
        for side in [&near, &far] {
            let _ = side.set_nodelay(true);
        }
        let changed = tokio::select! {
            // Either side's end is the end; its error is that side's to tell.
            _ = copy_bidirectional(&mut near, &mut far) => return,
            changed = state.wait_for(|state| *state != State::Open) => changed.map(|state| *state),
        };
        if let Ok(State::Stalled) = changed {
            // Both connections stay as they are, and nobody reads them, until the near side gives up.
            let near_ended = async {
                let mut dropped = [0; 4096];
                while !matches!(near.read(&mut dropped).await, Ok(0) | Err(_)) {}
            };
            tokio::select! {
                () = near_ended => {}
                _ = state.wait_for(|state| *state == State::Cut) => {}
            }
        }
    } else if is == State::Stalled {
        let _ = state.changed().await;
    }
}
