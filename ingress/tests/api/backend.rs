//! Stands in for the dataflow and the sink: executes commands one by one, answers
//! on the outcome topics, then writes the read model.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{AppendExt as _, Appender, Log, NewRecord, Tail, TailFrom, TailOptions};
use parking_lot::Mutex;
use read_model::{Batch, Database};
use schemas::avro::{Decoder, Encoder, Message, SchemaSource};
use schemas::messages::*;
use schemas::topics::{self, Topic};
use schemas::{Micros, OrderId, UserId, transitions};

pub(crate) struct Backend {
    /// While set, commands are left unanswered.
    pub(crate) silent: Arc<AtomicBool>,
    /// What arrived, in order.
    pub(crate) commands: Arc<Mutex<Vec<OrderCommand>>>,
    machine: Arc<tokio::sync::Mutex<Machine>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Machine {
    schemas: Arc<dyn SchemaSource>,
    database: Database,
    appender: Box<dyn Appender>,
    orders: HashMap<OrderId, (Order, Option<String>)>,
    feeds: HashMap<UserId, i64>,
    stock: HashMap<String, StockLevel>,
    adjusted: HashMap<String, (StockCommand, StockResult)>,
}

impl Backend {
    pub(crate) fn start(
        log: Arc<dyn Log>,
        schemas: Arc<dyn SchemaSource>,
        database: Database,
    ) -> Self {
        let names = [
            topics::ORDER_COMMANDS.name(),
            topics::PRODUCT_COMMANDS.name(),
            topics::STOCK_COMMANDS.name(),
        ];
        let mut tail =
            Tail::start(log.as_ref(), &TailOptions::new("backend", &names, TailFrom::Start))
                .unwrap();
        let silent = Arc::new(AtomicBool::new(false));
        let commands: Arc<Mutex<Vec<OrderCommand>>> = Arc::default();
        let machine = Machine {
            appender: log.appender("backend").unwrap(),
            schemas: Arc::clone(&schemas),
            database,
            orders: HashMap::new(),
            feeds: HashMap::new(),
            stock: HashMap::new(),
            adjusted: HashMap::new(),
        };
        let machine = Arc::new(tokio::sync::Mutex::new(machine));
        let (quiet, seen, worker) =
            (Arc::clone(&silent), Arc::clone(&commands), Arc::clone(&machine));
        let task = tokio::spawn(async move {
            while let Some(Ok(batch)) = tail.next().await {
                for record in batch.records {
                    let value = record.value.as_deref().unwrap();
                    let mut machine = worker.lock().await;
                    match &*record.topic {
                        "order_commands" => {
                            let command = machine.decode(&topics::ORDER_COMMANDS, value);
                            assert_eq!(
                                record.key.as_deref(),
                                Some(command.order_id.to_string().as_bytes())
                            );
                            seen.lock().push(command.clone());
                            if !quiet.load(Ordering::Relaxed) {
                                machine.execute(command).await;
                            }
                        }
                        "product_commands" => {
                            let command = machine.decode(&topics::PRODUCT_COMMANDS, value);
                            machine.product(command).await;
                        }
                        _ => {
                            let command = machine.decode(&topics::STOCK_COMMANDS, value);
                            machine.stock(command).await;
                        }
                    }
                }
            }
        });
        Self { silent, commands, machine, task }
    }

    /// Moves an order along, as the dataflow does by itself.
    pub(crate) async fn advance(&self, order_id: &str, status: OrderStatus) {
        let mut machine = self.machine.lock().await;
        let id: OrderId = order_id.parse().unwrap();
        let (mut order, fingerprint) = machine.orders[&id].clone();
        order.status = status;
        machine.show(order, fingerprint).await;
    }
}

impl Machine {
    fn decode<V: Message>(&self, topic: &Topic<V>, value: &[u8]) -> V {
        Decoder::for_topic(topic, Arc::clone(&self.schemas)).unwrap().decode(value).unwrap()
    }

    async fn append<V: Message>(&self, topic: &Topic<V>, key: &str, value: &V) {
        let bytes =
            Encoder::for_topic(topic, self.schemas.as_ref()).unwrap().encode_to_vec(value).unwrap();
        let record = NewRecord {
            key: Some(key.as_bytes()),
            value: Some(&bytes),
            timestamp: 0,
            headers: &[],
        };
        self.appender.appended(topic.name(), None, record).await.unwrap();
    }

    async fn execute(&mut self, command: OrderCommand) {
        let existing = self.orders.get(&command.order_id).cloned();
        let visible = |order: &Order| {
            command.actor.kind == ActorKind::Admin || order.user_id == command.user_id
        };
        let (kind, changed) = match (command.kind, existing.clone()) {
            (CommandKind::Place, None) => (OutcomeKind::Applied, Some(placed(&command))),
            (CommandKind::Place, Some((_, print)))
                if print.is_some() && print == command.fingerprint =>
            {
                (OutcomeKind::Replayed, None)
            }
            (CommandKind::Place, Some(_)) => (OutcomeKind::Conflict, None),
            (_, None) => (OutcomeKind::NotFound, None),
            (_, Some((order, _))) if !visible(&order) => (OutcomeKind::NotFound, None),
            (_, Some((order, _)))
                if command.expected_version.is_some_and(|version| version != order.version) =>
            {
                (OutcomeKind::VersionMismatch, None)
            }
            (_, Some((order, _))) => change(&command, order),
        };
        let shown = changed.clone().or(existing.map(|(order, _)| order));
        let version =
            shown.as_ref().map_or(0, |order| order.version + i64::from(changed.is_some()));
        let status = shown.as_ref().map(|order| order.status);
        let outcome = CommandOutcome {
            command_id: command.command_id.clone(),
            order_id: command.order_id,
            kind,
            version,
            status,
            allowed: status
                .map(|status| transitions::allowed_from(status).to_vec())
                .unwrap_or_default(),
            detail: None,
        };
        self.append(&topics::ORDER_COMMAND_OUTCOMES, &command.order_id.to_string(), &outcome).await;
        if let Some(order) = changed {
            let fingerprint = command.fingerprint.clone();
            self.show(order, fingerprint).await;
        }
    }

    /// What the sink does with an event.
    async fn show(&mut self, mut order: Order, fingerprint: Option<String>) {
        order.version += 1;
        order.updated_at = Micros(order.created_at.0 + order.version * 1_000);
        let number = self.feeds.entry(order.user_id).or_default();
        *number += 1;
        let entry = UserFeedEntry { user_id: order.user_id, number: *number, event: event(&order) };
        let mut batch = Batch::default();
        batch.feed_entry(&entry, &order.to_json());
        let kept =
            self.orders.get(&order.order_id).and_then(|(_, print)| print.clone()).or(fingerprint);
        self.orders.insert(order.order_id, (order, kept));
        self.database.apply("backend", &[], &batch, &[]).await.unwrap();
    }

    async fn product(&mut self, command: ProductCommand) {
        let product = Product {
            product_id: command.product_id.clone(),
            name: command.name,
            price: command.price,
            version: 1,
            command_id: command.command_id,
        };
        let mut batch = Batch::default();
        batch.product(command.product_id.as_str(), Some(product));
        self.database.apply("backend", &[], &batch, &[]).await.unwrap();
    }

    async fn stock(&mut self, command: StockCommand) {
        if let Some((done, mut result)) = self.adjusted.get(&command.request_id).cloned() {
            if done != command {
                result.kind = StockResultKind::AdjustConflict;
            }
            let product = command.lines[0].product_id.as_str().to_owned();
            return self.append(&topics::STOCK_RESULTS, &product, &result).await;
        }
        let line = &command.lines[0];
        let key = format!("{}/{}", command.warehouse, line.product_id);
        let mut level = self.stock.get(&key).cloned().unwrap_or(StockLevel {
            warehouse: command.warehouse.clone(),
            product_id: line.product_id.clone(),
            on_hand: 0,
            held: 0,
            version: 0,
            request_id: String::new(),
        });
        level.on_hand = if command.kind == StockCommandKind::Adjust {
            level.on_hand + line.quantity
        } else {
            line.quantity
        };
        if level.on_hand < 0 {
            let short = vec![StockLine {
                product_id: line.product_id.clone(),
                quantity: level.on_hand - line.quantity,
            }];
            let result = StockResult {
                request_id: command.request_id,
                warehouse: command.warehouse,
                kind: StockResultKind::AdjustRefused,
                order_id: None,
                short,
            };
            return self.append(&topics::STOCK_RESULTS, line.product_id.as_str(), &result).await;
        }
        let result = StockResult {
            request_id: command.request_id.clone(),
            warehouse: command.warehouse.clone(),
            kind: StockResultKind::Adjusted,
            order_id: None,
            short: Vec::new(),
        };
        self.append(&topics::STOCK_RESULTS, line.product_id.as_str(), &result).await;
        self.adjusted.insert(command.request_id.clone(), (command.clone(), result));
        level.version += 1;
        level.request_id = command.request_id;
        self.stock.insert(key.clone(), level.clone());
        let mut batch = Batch::default();
        batch.stock_level(&key, Some(level));
        self.database.apply("backend", &[], &batch, &[]).await.unwrap();
    }
}

fn change(command: &OrderCommand, mut order: Order) -> (OutcomeKind, Option<Order>) {
    match command.kind {
        CommandKind::Cancel if order.status == OrderStatus::Cancelled => {
            (OutcomeKind::Replayed, None)
        }
        CommandKind::Cancel
            if matches!(order.status, OrderStatus::Pending | OrderStatus::Validated) =>
        {
            order.status = OrderStatus::Cancelled;
            order.cancel_reason = command.cancel.as_ref().map(|cancel| cancel.reason.clone());
            (OutcomeKind::Applied, Some(order))
        }
        CommandKind::Amend => {
            let amend = command.amend.clone().unwrap();
            if (amend.items.is_some() || amend.shipping_address.is_some())
                && order.status != OrderStatus::Pending
            {
                return (OutcomeKind::NotAllowed, None);
            }
            order.shipping_address = amend.shipping_address.unwrap_or(order.shipping_address);
            if let (Some(items), Some(total)) = (&amend.items, amend.total_minor) {
                order.items = lines(items);
                order.total_minor = total;
            }
            for (name, value) in amend.metadata {
                match value {
                    Some(value) => order.metadata.insert(name, value),
                    None => order.metadata.remove(&name),
                };
            }
            (OutcomeKind::Applied, Some(order))
        }
        CommandKind::SetStatus
            if transitions::is_allowed(
                order.status,
                command.set_status.as_ref().unwrap().status,
            ) =>
        {
            order.status = command.set_status.as_ref().unwrap().status;
            (OutcomeKind::Applied, Some(order))
        }
        _ => (OutcomeKind::NotAllowed, None),
    }
}

fn lines(items: &[PlaceLine]) -> Vec<Line> {
    let line = |(index, line): (usize, &PlaceLine)| Line {
        line_id: (index + 1).to_string(),
        product_id: line.product_id.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price,
        price_override: line.price_override,
    };
    items.iter().enumerate().map(line).collect()
}

fn placed(command: &OrderCommand) -> Order {
    let place = command.place.clone().unwrap();
    Order {
        order_id: command.order_id,
        user_id: command.user_id,
        status: OrderStatus::Pending,
        version: 0,
        created_at: command.created_at,
        updated_at: command.created_at,
        currency: place.currency,
        total_minor: place.total_minor,
        items: lines(&place.items),
        shipping_address: place.shipping_address,
        payment_method: place.payment_method,
        payment_token: place.payment_token,
        metadata: place.metadata,
        channel: place.channel,
        warehouse: "main".to_owned(),
        payment_status: PaymentStatus::None,
        fulfillment_status: FulfillmentStatus::Unfulfilled,
        payments: Vec::new(),
        refunds: Vec::new(),
        shipments: Vec::new(),
        cancel_reason: None,
        failure_reason: None,
        failure_detail: None,
    }
}

fn event(order: &Order) -> OrderEvent {
    let event_type = match order.status {
        OrderStatus::Pending if order.version == 1 => OrderEventType::Created,
        OrderStatus::Validated => OrderEventType::Validated,
        OrderStatus::Cancelled => OrderEventType::Cancelled,
        _ => OrderEventType::Updated,
    };
    OrderEvent {
        event_id: format!("{}-{}", order.order_id, order.version),
        event_type,
        order_id: order.order_id,
        user_id: order.user_id,
        status: order.status,
        previous_status: None,
        version: order.version,
        total_amount: order.total(),
        items: order.items.clone(),
        timestamp: order.created_at,
        occurred_at: order.updated_at,
        actor: Actor { kind: ActorKind::System, id: "backend".to_owned() },
        command_id: None,
        reason: None,
        order: order.clone(),
        idempotency_key_hash: None,
        payment_attempt: None,
        payment: None,
        shipment: None,
        delivered_at: None,
        failure_reason: None,
        errors: Vec::new(),
        changed: Vec::new(),
        refund: None,
        holds: Vec::new(),
        checks: Vec::new(),
        lines: Vec::new(),
        cancel: None,
        before: None,
    }
}

/// A log whose appends are never acknowledged.
pub(crate) fn deaf(log: Arc<dyn Log>) -> Arc<dyn Log> {
    Arc::new(Deaf(log))
}

struct Deaf(Arc<dyn Log>);

type Done = Box<dyn FnOnce(log::Appended) + Send>;

struct DeafAppender(Mutex<Vec<Done>>);

impl Appender for DeafAppender {
    fn append(&self, _topic: &str, _partition: Option<u32>, _record: NewRecord<'_>, done: Done) {
        self.0.lock().push(done);
    }
}

impl Log for Deaf {
    fn admin(&self) -> Result<Box<dyn log::Admin>, log::LogError> {
        self.0.admin()
    }

    fn appender(&self, _client_id: &str) -> Result<Box<dyn Appender>, log::LogError> {
        Ok(Box::new(DeafAppender(Mutex::default())))
    }

    fn txn_producer(
        &self,
        client_id: &str,
        transactional_id: &str,
    ) -> Result<Box<dyn log::TxnProducer>, log::LogError> {
        self.0.txn_producer(client_id, transactional_id)
    }

    fn plain_producer(&self, client_id: &str) -> Result<Box<dyn log::TxnProducer>, log::LogError> {
        self.0.plain_producer(client_id)
    }

    fn group_consumer(
        &self,
        options: &log::GroupOptions,
    ) -> Result<Box<dyn log::GroupConsumer>, log::LogError> {
        self.0.group_consumer(options)
    }

    fn reader(
        &self,
        client_id: &str,
        isolation: log::Isolation,
        visibility: log::Visibility,
    ) -> Result<Box<dyn log::Reader>, log::LogError> {
        self.0.reader(client_id, isolation, visibility)
    }

    fn sync(&self) -> Result<(), log::LogError> {
        self.0.sync()
    }
}
