//! Free TCP ports on the loopback address. A port is free when it is handed out and nothing
//! reserves it: whoever uses one starts its process again on another port when it was taken.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Mutex;

/// Ports that this process gave out, so that two starts side by side never get the same.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// How often the system is asked before a port that was given out is given again.
const ASKS_MAX: usize = 64;

/// A port that nobody listens on at this moment.
pub fn free() -> std::io::Result<u16> {
    let mut port = 0;
    for _ in 0..ASKS_MAX {
        port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut given = GIVEN
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if given.insert(port) {
            break;
        }
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: Vec<_> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
    }
}
