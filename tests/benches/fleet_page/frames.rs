//! The stream of one more tab, counted: how many frames, and how large.

use std::{net::SocketAddr, time::Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// The stream of one tab.
pub(crate) struct Frames(JoinHandle<Vec<(Instant, usize)>>, CancellationToken);

impl Frames {
    pub(crate) async fn follow(dashboard: SocketAddr) -> Frames {
        let mut stream = TcpStream::connect(dashboard).await.expect("it listens");
        let request = format!("GET /live/ HTTP/1.1\r\nHost: {dashboard}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let end = CancellationToken::new();
        let ended = end.clone();
        let read = async move {
            let (mut frames, mut bytes) = (Vec::new(), 0);
            let mut buffer = vec![0; 1 << 20];
            let mut tail = Vec::new();
            loop {
                let read = tokio::select! {
                    read = stream.read(&mut buffer) => read.expect("it goes on"),
                    () = ended.cancelled() => return frames,
                };
                bytes += read;
                tail.extend_from_slice(&buffer[..read]);
                // A frame ends with a beat.
                while let Some(at) = tail.windows(11).position(|of| of == b"event: beat") {
                    tail.drain(..at + 11);
                    frames.push((Instant::now(), bytes));
                    bytes = 0;
                }
                let keep = tail.len().min(10);
                tail.drain(..tail.len() - keep);
            }
        };
        Frames(tokio::spawn(read), end)
    }

    pub(crate) async fn tell(self, when: &str) {
        self.1.cancel();
        let frames = self.0.await.expect("it counts");
        let Some((first, rest)) = frames.split_first() else {
            return;
        };
        let Some((last, _)) = rest.last() else { return };
        let seconds = last.duration_since(first.0).as_secs_f64();
        let mut bytes: Vec<f64> = rest
            .iter()
            .map(|(_, bytes)| *bytes as f64 / 1024.0)
            .collect();
        bytes.sort_by(f64::total_cmp);
        let most = rest
            .windows(4)
            .map(|four| four[3].0.duration_since(four[0].0));
        let most = most.min().unwrap_or_default();
        println!(
            "  {:<72} {:.1} a second (never 4 within less than {most:.0?}); KiB each: p50 {:.1}, max {:.1}; the first {:.1}",
            format!("frames of a tab, {when}"),
            rest.len() as f64 / seconds,
            bytes[bytes.len() / 2],
            bytes[bytes.len() - 1],
            first.1 as f64 / 1024.0
        );
    }
}
