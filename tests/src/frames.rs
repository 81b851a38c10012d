//! The protocol of NATS as far as a proxy needs it: where a frame begins and ends, and what it is about.
//! Both directions are lines; some of them announce bytes that follow.

/// The end of a line, and of a payload.
const END: &[u8] = b"\r\n";

/// One line of the protocol with the payload that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Everything, as it came.
    pub bytes: Vec<u8>,
    /// What a message is about; `None` for every other line.
    pub subject: Option<String>,
    /// Where in `bytes` the payload is, without headers.
    payload: std::ops::Range<usize>,
}

impl Frame {
    /// The message itself, without headers.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }
}

/// Takes bytes as they come and gives whole frames.
#[derive(Debug, Default)]
pub struct Frames {
    waiting: Vec<u8>,
}

impl Frames {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next frame, once it is whole.
    pub fn take(&mut self) -> Option<Frame> {
        let line = self.waiting.windows(END.len()).position(|at| at == END)?;
        let text = String::from_utf8_lossy(&self.waiting[..line]);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let number = |from_end: usize| -> Option<usize> {
            words.get(words.len().checked_sub(from_end)?)?.parse().ok()
        };
        let body = line + END.len();
        // Headers are part of the size that ends the line, and their own size stands before it.
        let (header, size) = match words.first().copied() {
            Some("MSG" | "PUB") => (0, number(1)?),
            Some("HMSG" | "HPUB") => (number(2)?, number(1)?),
            _ => {
                let bytes = self.waiting.drain(..body).collect();
                return Some(Frame {
                    bytes,
                    subject: None,
                    payload: body..body,
                });
            }
        };
        let subject = words.get(1).map(|word| (*word).to_owned());
        let end = body + size;
        if self.waiting.len() < end + END.len() {
            return None;
        }
        let bytes = self.waiting.drain(..end + END.len()).collect();
        Some(Frame {
            bytes,
            subject,
            payload: body + header..end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {\"a\":1}\r\nMSG writ.live.beat 3 4\r\nb\r\nt\r\nPING\r\n\
        HMSG writ.live.policy.eu.prod.p 1 12 16\r\nNATS/1.0\r\n\r\nbody\r\nMSG a 1 reply.to 0\r\n\r\n";

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_cut() {
        for cut in 1..=STREAM.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for part in STREAM.chunks(cut) {
                frames.push(part);
                found.extend(std::iter::from_fn(|| frames.take()));
            }
            let subjects: Vec<_> = found.iter().map(|frame| frame.subject.as_deref()).collect();
            let policy = "writ.live.policy.eu.prod.p";
            let expected = [None, Some("writ.live.beat"), None, Some(policy), Some("a")];
            assert_eq!(subjects, expected, "{cut}");
            assert_eq!(found[1].payload(), b"b\r\nt");
            assert_eq!(found[3].payload(), b"body");
            assert_eq!(found[4].payload(), b"");
            let bytes: Vec<u8> = found.into_iter().flat_map(|frame| frame.bytes).collect();
            assert_eq!(bytes, STREAM);
        }
    }
}
