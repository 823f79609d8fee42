//! The order flow under simulation: all its applications in every member, callers who place, repeat, cancel, amend and
//! ship at random. The books ([`Books`]) must be right.

use std::collections::BTreeMap;

use log::{Cleanup, TopicSpec};
use runtime::simulation::{Application, Dice, Flow, Scenario, Verdict, World};
use schemas::avro::{Decoder, Encoder, Local, Message};
use schemas::messages::{
    Actor, ActorKind, Address, AmendOrder, CancelOrder, CommandKind, OrderCommand, OrderStatus,
    PlaceLine, PlaceOrder, ProductCommand, SetStatus, StockCommand, StockCommandKind, StockLine,
};
use schemas::{Currency, Micros, Money, OrderId, Sku, UserId, topics};
use topology::books::Books;
use topology::payment::provider::Token;
use topology::{FlowSettings, applications};
use uuid::Uuid;

/// Product, minor units each, how many there are.
const PRODUCTS: [(&str, i64, i64); 2] = [("a", 1_000, 10), ("b", 2_500, 3)];
const ORDERS: u64 = 8;
const PARTITIONS: u32 = 3;

pub(super) fn flow() -> Flow {
    let about = "no order is stuck, nothing oversold, no money made, one answer per command, no hole in a feed";
    Flow::new("orders", about, Orders::default)
}

#[derive(Default)]
struct Orders {
    commands: usize,
}

/// Waits that a simulated hour isn't needed for.
fn settings() -> FlowSettings {
    FlowSettings {
        simulation_step_ms: 20,
        carrier_delivery_ms: Some(200),
        resend_at_most_ms: 10_000,
        ..FlowSettings::default()
    }
}

fn write<V: Message>(world: &World, topic: &topics::Topic<V>, key: &str, value: &V) {
    let encoder = Encoder::for_topic(topic, Local::source().as_ref());
    let bytes = encoder.and_then(|encoder| encoder.encode_to_vec(value));
    world.append(topic.name(), key.as_bytes(), &bytes.expect("our own messages can be written"));
}

fn read<V: Message>(world: &World, topic: &topics::Topic<V>) -> Vec<V> {
    let decoder = Decoder::for_topic(topic, Local::source()).expect("our own schemas are there");
    let records = world.committed(topic.name()).into_iter().filter(|(_, value)| !value.is_empty());
    let values = records.map(|(_, value)| decoder.decode(&value));
    values.map(|value| value.expect("our own messages can be read")).collect()
}

impl Scenario for Orders {
    fn applications(&self) -> Vec<Application> {
        let flow = applications(&settings(), Local::source()).expect("the flow can be built");
        flow.into_iter().map(|application| Application::new(application.topology)).collect()
    }

    /// Nothing is compacted or expires: the books need all of it.
    fn topics(&self) -> Vec<TopicSpec> {
        let topic = |topic: &topics::TopicInfo| TopicSpec {
            name: topic.name.to_owned(),
            partitions: PARTITIONS,
            replication: 1,
            cleanup: Cleanup::Keep,
        };
        topics::ALL.iter().map(topic).collect()
    }

    fn begin(&mut self, world: &World) {
        for (id, minor, on_hand) in PRODUCTS {
            let command = ProductCommand {
                command_id: format!("product-{id}"),
                product_id: Sku::new(id),
                name: id.to_owned(),
                price: Money { minor, currency: Currency::USD },
                on_hand,
            };
            write(world, &topics::PRODUCT_COMMANDS, id, &command);
            let command = StockCommand {
                request_id: format!("stock-{id}"),
                warehouse: "main".to_owned(),
                kind: StockCommandKind::SetOnHand,
                order_id: None,
                lines: vec![StockLine { product_id: Sku::new(id), quantity: on_hand }],
                expires_at: None,
                reason: None,
            };
            write(world, &topics::STOCK_COMMANDS, "main", &command);
        }
    }

    fn arrive(&mut self, world: &World, number: u64) {
        self.commands += 1;
        let command = command(self.commands, world.now(), &mut Dice::new(number));
        write(world, &topics::ORDER_COMMANDS, &command.order_id.to_string(), &command);
    }

    fn check(&mut self, world: &World) -> Verdict {
        let books = Books {
            orders: read(world, &topics::ORDERS),
            events: read(world, &topics::ORDER_EVENTS),
            outcomes: read(world, &topics::ORDER_COMMAND_OUTCOMES),
            stock_results: read(world, &topics::STOCK_RESULTS),
            levels: read(world, &topics::STOCK_LEVELS),
            ledger: read(world, &topics::LEDGER),
            feed: read(world, &topics::USER_FEED),
        };
        let letters = world.committed(operators::DEAD_LETTERS).len();
        if letters > 0 {
            return Verdict::Violated(format!("{letters} dead letters"));
        }
        if let Err(wrong) = books.wrong() {
            return Verdict::Violated(wrong);
        }
        match books.unfinished(self.commands, &PRODUCTS.map(|(id, _, on_hand)| (id, on_hand))) {
            Ok(()) => Verdict::Settled,
            Err(unfinished) => Verdict::Waiting(unfinished),
        }
    }
}

/// What some caller asks of one of a few orders.
fn command(number: usize, now: i64, dice: &mut Dice) -> OrderCommand {
    let order = dice.below(ORDERS);
    let user_id = UserId::new(Uuid::from_u128(0xB000_0000 + u128::from(order % 2)));
    let customer = Actor { kind: ActorKind::Customer, id: user_id.to_string() };
    let command = OrderCommand {
        command_id: format!("c{number}"),
        order_id: OrderId::new(Uuid::from_u128(0xA000_0000 + u128::from(order))),
        user_id,
        actor: customer,
        created_at: Micros(now * 1_000 + 7),
        fingerprint: None,
        expected_version: None,
        kind: CommandKind::Place,
        place: None,
        cancel: None,
        amend: None,
        set_status: None,
    };
    match dice.below(8) {
        0..=4 => placing(command, dice),
        5 => {
            let kind = dice.choose(&[ActorKind::Customer, ActorKind::Admin]);
            let cancel = CancelOrder { reason: "customer".to_owned(), ..CancelOrder::default() };
            let actor = Actor { kind, ..command.actor };
            OrderCommand { kind: CommandKind::Cancel, cancel: Some(cancel), actor, ..command }
        }
        6 => {
            let (items, total_minor) = (Some(vec![line("b", 1, 2_500)]), Some(2_500));
            let amend = AmendOrder { items, total_minor, ..AmendOrder::default() };
            OrderCommand { kind: CommandKind::Amend, amend: Some(amend), ..command }
        }
        _ => {
            let set_status = Some(SetStatus {
                status: OrderStatus::Shipped,
                reason: None,
                tracking_number: Some("T".to_owned()),
                carrier: None,
            });
            let actor = Actor { kind: ActorKind::Admin, id: "admin".to_owned() };
            OrderCommand { kind: CommandKind::SetStatus, set_status, actor, ..command }
        }
    }
}

fn placing(command: OrderCommand, dice: &mut Dice) -> OrderCommand {
    let quantity = 1 + dice.below(3) as i64;
    let named = Token::NAMES.map(|(name, _)| Some(name));
    let token = dice.choose(&[&[None; 3][..], &named].concat());
    let items = vec![line("a", quantity, 1_000), line("b", 1, 2_500)];
    let place = PlaceOrder {
        total_minor: items.iter().map(|line| line.quantity * line.unit_price).sum(),
        items,
        currency: Currency::USD,
        shipping_address: Address {
            street: "123 Main St".to_owned(),
            city: "New York".to_owned(),
            state: "NY".to_owned(),
            zip: "10001".to_owned(),
            country: None,
        },
        payment_method: "CREDIT_CARD".to_owned(),
        payment_token: token.map(str::to_owned),
        metadata: BTreeMap::new(),
        channel: None,
        idempotency_key_hash: None,
    };
    let fingerprint = Some(format!("{quantity} {token:?}"));
    OrderCommand { fingerprint, place: Some(place), ..command }
}

fn line(id: &str, quantity: i64, unit_price: i64) -> PlaceLine {
    PlaceLine { product_id: Sku::new(id), quantity, unit_price, price_override: false }
}
