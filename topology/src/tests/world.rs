//! All applications on test drivers, and the topics between them.

use std::collections::{BTreeMap, BTreeSet};

use operators::{
    DriverOptions, Headers, RawBytes, TestOutputTopic, TestRecord, Topic, TopologyTestDriver,
};
use schemas::avro::{Decoder, Encoder, Local, Message};
use schemas::messages::{
    Actor, ActorKind, CancelOrder, CommandKind, CommandOutcome, Order, OrderCommand, OrderEvent,
    OrderStatus, ProductCommand, StockCommand, StockCommandKind, StockLevel, StockLine,
};
use schemas::{Currency, Money, OrderId, Sku, topics};

use crate::payment::ledger::Balances;
use crate::{Application, FlowSettings, applications, samples};

pub(super) type Raw = TestRecord<Vec<u8>, Vec<u8>>;

type RawOutput = TestOutputTopic<[u8], [u8]>;

/// One application and what of it was already passed on.
pub(super) struct Running {
    pub(super) id: &'static str,
    pub(super) driver: TopologyTestDriver,
    reads: BTreeSet<String>,
    writes: Vec<(String, RawOutput)>,
}

/// All applications and all records between them.
pub(super) struct World {
    pub(super) apps: Vec<Running>,
    pub(super) log: BTreeMap<String, Vec<Raw>>,
    next_command: u32,
}

/// Where the clock begins, ms.
const START: i64 = 1_000_000;

impl World {
    pub(super) fn new(settings: &FlowSettings) -> Self {
        let built = applications(settings, Local::source()).unwrap();
        let apps = built.into_iter().map(start).collect();
        let mut world = Self { apps, log: BTreeMap::new(), next_command: 0 };
        world.product("a", 1_000, 10);
        world.product("b", 2_500, 3);
        world
    }

    /// Writes a record from outside, at the present time.
    pub(super) fn write<V: Message>(&mut self, topic: &topics::Topic<V>, key: &str, value: &V) {
        let bytes = Encoder::for_topic(topic, Local::source().as_ref()).unwrap();
        let mut headers = Headers::new();
        headers.push("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let record = TestRecord {
            key: Some(key.as_bytes().to_vec()),
            value: Some(bytes.encode_to_vec(value).unwrap()),
            timestamp: self.now(),
            headers,
            partition: 0,
        };
        self.pass_on(topic.name(), record);
    }

    /// As [`Self::write`], then runs everything to quiet.
    pub(super) fn send<V: Message>(&mut self, topic: &topics::Topic<V>, key: &str, value: &V) {
        self.write(topic, key, value);
        self.run();
    }

    fn pass_on(&mut self, topic: &str, record: Raw) {
        for app in self.apps.iter().filter(|app| app.reads.contains(topic)) {
            let raw = Topic::<[u8], [u8]>::new(topic, RawBytes, RawBytes);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            app.driver.input(&raw).enqueue(key, value, record.timestamp, &record.headers);
        }
        self.log.entry(topic.to_owned()).or_default().push(record);
    }

    /// Carries records until nobody has anything more to say; `between` may
    /// disturb each application after each of its turns.
    pub(super) fn run_with(&mut self, between: &mut dyn FnMut(&Running)) {
        loop {
            let mut said = Vec::new();
            for app in &mut self.apps {
                app.driver.run().unwrap();
                between(app);
                for (topic, output) in &mut app.writes {
                    said.extend(output.read_records().into_iter().map(|r| (topic.clone(), r)));
                }
            }
            if said.is_empty() {
                return;
            }
            for (topic, record) in said {
                self.pass_on(&topic, record);
            }
        }
    }

    pub(super) fn run(&mut self) {
        self.run_with(&mut |_| ());
    }

    pub(super) fn now(&self) -> i64 {
        self.apps[0].driver.now()
    }

    /// Moves the clock by `ms`, stopping at every timer on the way.
    pub(super) fn wait(&mut self, ms: i64) {
        let end = self.now() + ms;
        while self.now() < end {
            let timers = self.apps.iter().filter_map(|app| app.driver.next_timer());
            let next = timers.filter(|due| *due > self.now()).min().unwrap_or(end).min(end);
            let step = next - self.now();
            for app in &self.apps {
                app.driver.advance_wall_clock(step);
            }
            self.run();
        }
    }

    pub(super) fn app(&self, id: &str) -> &Running {
        self.apps.iter().find(|app| app.id == id).unwrap()
    }

    /// The values of a topic, in order.
    pub(super) fn read<V: Message>(&self, topic: &topics::Topic<V>) -> Vec<V> {
        let decoder = Decoder::for_topic(topic, Local::source()).unwrap();
        let records = self.log.get(topic.name()).map_or(&[][..], Vec::as_slice);
        let values = records.iter().filter_map(|record| record.value.as_deref());
        values.map(|bytes| decoder.decode(bytes).unwrap()).collect()
    }

    pub(super) fn records(&self, topic: &str) -> &[Raw] {
        self.log.get(topic).map_or(&[], Vec::as_slice)
    }

    // What callers do.

    pub(super) fn product(&mut self, id: &str, minor: i64, on_hand: i64) {
        let command = ProductCommand {
            command_id: format!("product-{id}-{minor}"),
            product_id: Sku::new(id),
            name: id.to_owned(),
            price: Money { minor, currency: Currency::USD },
            on_hand,
        };
        self.write(&topics::PRODUCT_COMMANDS, id, &command);
        self.stock(StockCommandKind::SetOnHand, id, on_hand);
    }

    pub(super) fn stock(&mut self, kind: StockCommandKind, id: &str, quantity: i64) {
        self.next_command += 1;
        let command = StockCommand {
            request_id: format!("stock-{}", self.next_command),
            warehouse: "main".to_owned(),
            kind,
            order_id: None,
            lines: vec![StockLine { product_id: Sku::new(id), quantity }],
            expires_at: None,
            reason: None,
        };
        self.send(&topics::STOCK_COMMANDS, "main", &command);
    }

    pub(super) fn command(&mut self, command: &OrderCommand) -> Option<CommandOutcome> {
        self.send(&topics::ORDER_COMMANDS, &command.order_id.to_string(), command);
        self.outcomes(&command.command_id).pop()
    }

    pub(super) fn outcomes(&self, command_id: &str) -> Vec<CommandOutcome> {
        let mut outcomes = self.read(&topics::ORDER_COMMAND_OUTCOMES);
        outcomes.retain(|outcome| outcome.command_id == command_id);
        outcomes
    }

    /// Customer 1 places lines of (product, quantity, minor units each).
    pub(super) fn place(
        &mut self,
        number: u128,
        lines: &[(&str, i64, i64)],
        token: Option<&str>,
    ) -> OrderId {
        self.place_as(1, number, lines, token)
    }

    pub(super) fn place_as(
        &mut self,
        user: u128,
        number: u128,
        lines: &[(&str, i64, i64)],
        token: Option<&str>,
    ) -> OrderId {
        let id = samples::order_id(number);
        let name = format!("place-{number}");
        let mut command = samples::place(&name, id, samples::user_id(user), lines, token);
        command.created_at = schemas::Micros(self.now() * 1_000 + 7);
        self.command(&command);
        id
    }

    pub(super) fn cancel(&mut self, order: OrderId, actor: ActorKind) -> Option<CommandOutcome> {
        self.next_command += 1;
        let name = format!("cancel-{}", self.next_command);
        let mut command = samples::command(&name, order, samples::user_id(1), CommandKind::Cancel);
        command.actor = Actor { kind: actor, id: "somebody".to_owned() };
        command.cancel =
            Some(CancelOrder { reason: "customer".to_owned(), ..CancelOrder::default() });
        self.command(&command)
    }

    // What one sees.

    pub(super) fn orders(&self) -> BTreeMap<OrderId, Order> {
        let orders = self.read(&topics::ORDERS);
        orders.into_iter().map(|order| (order.order_id, order)).collect()
    }

    pub(super) fn order(&self, id: OrderId) -> Order {
        self.orders().remove(&id).unwrap()
    }

    pub(super) fn status(&self, id: OrderId) -> OrderStatus {
        self.order(id).status
    }

    pub(super) fn events(&self, id: OrderId) -> Vec<OrderEvent> {
        let mut events = self.read(&topics::ORDER_EVENTS);
        events.retain(|event| event.order_id == id);
        events
    }

    pub(super) fn stock_of(&self, id: &str) -> StockLevel {
        let mut levels = self.read(&topics::STOCK_LEVELS);
        levels.retain(|level| level.product_id.as_str() == id);
        levels.pop().unwrap()
    }

    pub(super) fn balances(&self, id: OrderId) -> Balances {
        let mut balances = Balances::default();
        for entry in self.read(&topics::LEDGER).iter().filter(|entry| entry.order_id == id) {
            balances.add(entry).unwrap();
            assert!(balances.balanced(), "{balances:?}");
        }
        balances
    }
}

fn start(application: Application) -> Running {
    let options = DriverOptions { partitions: 3, now_ms: START, ..DriverOptions::default() };
    let driver = TopologyTestDriver::with(&application.topology, options);
    let parts = application.topology.subtopologies();
    let own = |topic: &str| topic.starts_with(application.id);
    let globals = application.topology.global_tables().iter().map(|table| table.topic.to_string());
    let sources = parts.iter().flat_map(|part| &part.sources).map(ToString::to_string);
    let sinks: BTreeSet<_> = parts.iter().flat_map(|part| &part.sinks).collect();
    let writes = sinks.into_iter().filter(|topic| !own(topic)).map(|topic| {
        let raw = Topic::<[u8], [u8]>::new(topic.to_string(), RawBytes, RawBytes);
        (topic.to_string(), driver.output(&raw))
    });
    let writes = writes.collect();
    let reads = sources.chain(globals).filter(|topic| !own(topic)).collect();
    Running { id: application.id, driver, reads, writes }
}

impl Running {
    /// Hands a record to this application alone.
    pub(super) fn enqueue(&mut self, topic: &str, record: &Raw) {
        let raw = Topic::<[u8], [u8]>::new(topic, RawBytes, RawBytes);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        self.driver.input(&raw).enqueue(key, value, record.timestamp, &record.headers);
    }
}
