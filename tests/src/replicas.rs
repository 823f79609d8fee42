//! Which replicas are in sync, as a broker tells it: a metadata request by hand, because our clients have no use for the
//! answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A broker that comes back reads what it has missed first.
const PATIENCE: Duration = Duration::from_secs(180);
const ASK_AGAIN: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_secs(10);
/// Metadata, version 0, correlation id 1, no client id, all topics.
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];

/// Waits until this broker says that every replica of every partition is in sync, and knows these topics.
///
/// # Errors
/// Names what it lacks, after three minutes.
pub fn until_in_sync(server: &str, topics: &[String]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lagging = match lagging(server, topics) {
            Ok(None) => return Ok(()),
            Ok(Some(partition)) => format!("{partition} isn't there or not in sync"),
            // Just started.
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("{server}: {lagging}");
        }
        std::thread::park_timeout(ASK_AGAIN);
    }
}

/// A topic that isn't known, or a partition that lacks a replica.
fn lagging(server: &str, topics: &[String]) -> Result<Option<String>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(&REQUEST)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stream.read_exact(&mut answer)?;
    // Behind the correlation id.
    find_lagging(&mut Fields(answer.get(4..).context("no answer")?), topics)
}

fn find_lagging(fields: &mut Fields<'_>, topics: &[String]) -> Result<Option<String>> {
    for _broker in 0..fields.number()? {
        fields.number()?;
        fields.text()?;
        fields.number()?;
    }
    let mut lagging = None;
    let mut unknown: Vec<&String> = topics.iter().collect();
    for _topic in 0..fields.number()? {
        fields.take(2)?;
        let topic = fields.text()?;
        unknown.retain(|wanted| **wanted != topic);
        for _partition in 0..fields.number()? {
            fields.take(2)?;
            let (partition, _leader) = (fields.number()?, fields.number()?);
            let (replicas, in_sync) = (fields.numbers()?, fields.numbers()?);
            if in_sync < replicas {
                lagging = Some(format!("{topic}[{partition}]"));
            }
        }
    }
    Ok(lagging.or(unknown.first().map(ToString::to_string)))
}

/// What is left of an answer.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).context("the answer ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = u16::from_be_bytes(self.take(2)?.try_into()?);
        Ok(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    /// How many numbers a list has.
    fn numbers(&mut self) -> Result<u32> {
        let count = self.number()?;
        self.take(4 * usize::try_from(count)?)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_lacks_a_replica_is_found() {
        let answer = |in_sync: &[u32]| {
            let mut bytes = Vec::new();
            // A broker, a topic, a partition.
            for part in [
                &[0, 0, 0, 1, 0, 0, 0, 1, 0, 1, b'h', 0, 0, 0x23, 0x84][..],
                &[0, 0, 0, 1, 0, 0, 0, 1, b't'],
            ] {
                bytes.extend_from_slice(part);
            }
            bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1]);
            for list in [&[1, 2, 3][..], in_sync] {
                bytes.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
                list.iter().for_each(|node| bytes.extend(node.to_be_bytes()));
            }
            bytes
        };
        let found = |in_sync: &[u32]| {
            find_lagging(&mut Fields(&answer(in_sync)), &["t".to_owned()]).unwrap()
        };
        assert_eq!(found(&[3, 1, 2]), None);
        assert_eq!(found(&[3, 1]).as_deref(), Some("t[7]"));
        let of =
            |answer: &[u8], topic: &str| find_lagging(&mut Fields(answer), &[topic.to_owned()]);
        assert_eq!(of(&answer(&[1, 2, 3]), "u").unwrap().as_deref(), Some("u"));
        assert!(of(&answer(&[1])[..20], "t").is_err());
    }
}
