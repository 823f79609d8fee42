//! `peek`, `for_each`, `print` see every record; `with_headers` changes headers.

use std::fmt::Debug;
use std::sync::Arc;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::headers::Headers;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;

type Look<K, V> = Arc<dyn for<'a> Fn(Record<'a, K, V>) + Send + Sync>;

struct Peek<K: ?Sized, V: ?Sized> {
    look: Look<K, V>,
    next: Edge<K, V>,
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for Peek<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        (self.look)(record);
        self.next.process(record, ctx)
    }
}

type SetHeaders<K, V> = Arc<dyn for<'a> Fn(Record<'a, K, V>, &mut Headers) + Send + Sync>;

struct WithHeaders<K: ?Sized, V: ?Sized> {
    set: SetHeaders<K, V>,
    headers: Headers,
    next: Edge<K, V>,
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for WithHeaders<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.headers.copy_from(record.headers);
        (self.set)(record, &mut self.headers);
        self.next.process(record.with_headers(&self.headers), ctx)
    }
}

fn shown<T: Debug + ?Sized>(value: Option<&T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"))
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Shows each record to `look`, unchanged. Seen again when a transaction is repeated.
    pub fn peek(&self, look: impl for<'a> Fn(Record<'a, K, V>) + Send + Sync + 'static) -> Self {
        let look: Look<K, V> = Arc::new(look);
        self.at(self.then("peek", None, move |_, next| Peek { look: Arc::clone(&look), next }))
    }

    /// Shows each record to `act`, and ends there. Seen again when a transaction is repeated.
    pub fn for_each(&self, act: impl for<'a> Fn(Record<'a, K, V>) + Send + Sync + 'static) {
        let look: Look<K, V> = Arc::new(act);
        self.then("for-each", None, move |_, next: Edge<K, V>| Peek {
            look: Arc::clone(&look),
            next,
        });
    }

    /// Hands each record to `write` as the line `[label]: key, value` (e.g. `|line| println!("{line}")`), and ends
    /// there. Written again when a transaction is repeated.
    pub fn print(&self, label: &str, write: impl Fn(&str) + Send + Sync + 'static)
    where
        K: Debug,
        V: Debug,
    {
        let label = label.to_owned();
        self.for_each(move |record| {
            let (key, value) = (shown(record.key), shown(record.value));
            write(&format!("[{label}]: {key}, {value}"));
        });
    }

    /// Changes the headers of each record, which begin as those it came with.
    pub fn with_headers(
        &self,
        set: impl for<'a> Fn(Record<'a, K, V>, &mut Headers) + Send + Sync + 'static,
    ) -> Self {
        let set: SetHeaders<K, V> = Arc::new(set);
        let make =
            move |_, next| WithHeaders { set: Arc::clone(&set), headers: Headers::new(), next };
        self.at(self.then("with-headers", None, make))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::{SAMPLE, numbers, through};
    use crate::{StreamsBuilder, TopologyTestDriver};

    #[test]
    fn peek_sees_all_and_changes_nothing() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let look = move |_: Record<'_, str, i64>| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let (out, _) = through(|stream| stream.peek(look), &SAMPLE);
        assert_eq!((out.len(), seen.load(Ordering::Relaxed)), (5, 5));
    }

    #[test]
    fn what_is_printed_ends_there() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        let builder = StreamsBuilder::new("test");
        let write = move |line: &str| written.lock().unwrap().push(line.to_owned());
        builder.stream(&numbers("in")).print("in", write);
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        driver.input(&numbers("in")).pipe("k", &7);
        driver.input(&numbers("in")).try_pipe(None, None, 0, &Headers::new()).unwrap();
        assert_eq!(*lines.lock().unwrap(), [r#"[in]: "k", 7"#, "[in]: null, null"]);
        assert_eq!(driver.topics().len(), 1);
    }

    #[test]
    fn headers_begin_as_they_came() {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream(&numbers("in"));
        stream
            .with_headers(|record, headers| {
                headers.set("n", &record.value.copied().unwrap_or(0).to_be_bytes())
            })
            .to(&numbers("out"));
        stream.to(&numbers("plain"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        let headers = [("traceparent", &b"00"[..])].into_iter().collect();
        driver.input(&numbers("in")).try_pipe(Some("a"), Some(&7), 0, &headers).unwrap();
        let record = driver.output(&numbers("out")).read_record().unwrap();
        assert_eq!(record.headers.get("traceparent"), Some(&b"00"[..]));
        assert_eq!(record.headers.get("n"), Some(&7i64.to_be_bytes()[..]));
        assert_eq!(driver.output(&numbers("plain")).read_record().unwrap().headers, headers);
    }
}
