//! Random callers, random crashes, all applications: whatever happens in
//! whatever order, no order is stuck, nothing is oversold, no money is made,
//! every command has one answer, every feed is without holes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use schemas::messages::{
    Actor, ActorKind, AmendOrder, CommandKind, OrderStatus, OutcomeKind, PaymentStatus, SetStatus,
};
use schemas::topics;

use super::world::{Running, World};
use crate::{FlowSettings, samples};

#[derive(Clone, Debug)]
enum Act {
    Place { order: u8, quantity: i64, token: Option<&'static str> },
    Again { order: u8 },
    Cancel { order: u8, actor: ActorKind },
    Amend { order: u8 },
    Ship { order: u8 },
    Wait(i64),
}

/// What happens to an application after its turn.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Commit,
    Abort,
    DieBefore,
    DieBetween,
}

fn act() -> impl Strategy<Value = Act> {
    let token = select(vec![
        None,
        None,
        None,
        Some("pm_card_declined"),
        Some("pm_slow"),
        Some("pm_provider_down"),
        Some("pm_auth_expires"),
        Some("pm_refund_fails_once"),
    ]);
    let actor = select(vec![ActorKind::Customer, ActorKind::Admin]);
    prop_oneof![
        4 => (0..6_u8, 1..4_i64, token)
            .prop_map(|(order, quantity, token)| Act::Place { order, quantity, token }),
        1 => (0..6_u8).prop_map(|order| Act::Again { order }),
        2 => (0..6_u8, actor).prop_map(|(order, actor)| Act::Cancel { order, actor }),
        1 => (0..6_u8).prop_map(|order| Act::Amend { order }),
        1 => (0..6_u8).prop_map(|order| Act::Ship { order }),
        3 => select(vec![50, 150, 250, 700, 2_500, 31_000]).prop_map(Act::Wait),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Commit),
        1 => Just(Fate::Abort),
        1 => Just(Fate::DieBefore),
        1 => Just(Fate::DieBetween),
    ]
}

fn suffer(app: &Running, fate: Fate) {
    match fate {
        Fate::Commit => app.driver.commit(),
        Fate::Abort => app.driver.abort(),
        Fate::DieBefore => app.driver.restart(),
        Fate::DieBetween => {
            app.driver.commit_and_die();
            app.driver.restart();
        }
    }
}

struct Chaos {
    world: World,
    fates: std::vec::IntoIter<Fate>,
    commands: BTreeMap<String, OutcomeKind>,
    next: u32,
}

impl Chaos {
    fn new(fates: Vec<Fate>) -> Self {
        let settings = FlowSettings { simulation_step_ms: 200, ..FlowSettings::default() };
        let world = World::new(&settings);
        for app in &world.apps {
            app.driver.auto_commit(false);
        }
        Self { world, fates: fates.into_iter(), commands: BTreeMap::new(), next: 0 }
    }

    fn run(&mut self) {
        let fates = &mut self.fates;
        self.world.run_with(&mut |app| suffer(app, fates.next().unwrap_or(Fate::Commit)));
    }

    fn wait(&mut self, ms: i64) {
        let end = self.world.now() + ms;
        while self.world.now() < end {
            let step = 100.min(end - self.world.now());
            for app in &self.world.apps {
                app.driver.advance_wall_clock(step);
            }
            self.run();
        }
    }

    fn act(&mut self, act: Act) {
        self.next += 1;
        let name = format!("c{}", self.next);
        let user = |order: u8| samples::user_id(u128::from(order % 2));
        let id = |order: u8| samples::order_id(u128::from(order));
        let command = |order, kind| samples::command(&name, id(order), user(order), kind);
        let command = match act {
            Act::Place { order, quantity, token } => {
                let lines = [("a", quantity, 1_000), ("b", 1, 2_500)];
                samples::place(&name, id(order), user(order), &lines, token)
            }
            Act::Again { order } => {
                samples::place(&name, id(order), user(order), &[("a", 1, 1_000)], None)
            }
            Act::Cancel { order, actor } => {
                let mut command = command(order, CommandKind::Cancel);
                command.actor = Actor { kind: actor, id: "x".to_owned() };
                let reason = "customer".to_owned();
                command.cancel =
                    Some(schemas::messages::CancelOrder { reason, ..Default::default() });
                command
            }
            Act::Amend { order } => {
                let mut command = command(order, CommandKind::Amend);
                let items = Some(samples::place_lines(&[("b", 1, 2_500)]));
                let total_minor = Some(2_500);
                command.amend = Some(AmendOrder { items, total_minor, ..AmendOrder::default() });
                command
            }
            Act::Ship { order } => {
                let mut command = command(order, CommandKind::SetStatus);
                command.actor = Actor { kind: ActorKind::Admin, id: "x".to_owned() };
                command.set_status = Some(SetStatus {
                    status: OrderStatus::Shipped,
                    reason: None,
                    tracking_number: Some("T".to_owned()),
                    carrier: None,
                });
                command
            }
            Act::Wait(ms) => return self.wait(ms),
        };
        let key = command.order_id.to_string();
        self.world.write(&topics::ORDER_COMMANDS, &key, &command);
        self.commands.insert(name, OutcomeKind::Applied);
        self.run();
    }
}

fn check(world: &World, commands: usize) {
    let orders = world.orders();
    let mut gone = BTreeMap::new();
    for (id, order) in &orders {
        assert!(order.status.is_terminal(), "stuck: {order:?}");
        assert_ne!(order.payment_status, PaymentStatus::RefundPending, "{order:?}");
        assert_ne!(order.payment_status, PaymentStatus::Authorized, "{order:?}");
        let balances = world.balances(*id);
        let delivered = order.status == OrderStatus::Delivered;
        assert_eq!(balances.open, 0, "{order:?}");
        assert_eq!(balances.kept, if delivered { order.total_minor } else { 0 }, "{order:?}");
        let events = world.events(*id);
        for (event, version) in events.iter().zip(1..) {
            assert_eq!(event.version, version);
        }
        assert!(events.windows(2).all(|pair| pair[0].occurred_at < pair[1].occurred_at));
        let left = world.read(&topics::STOCK_RESULTS).into_iter().any(|result| {
            result.order_id == Some(*id)
                && result.kind == schemas::messages::StockResultKind::Committed
        });
        assert!(left || !delivered, "delivered from nowhere: {order:?}");
        for line in order.items.iter().filter(|_| left) {
            *gone.entry(line.product_id.to_string()).or_insert(0) += line.quantity;
        }
    }
    for level in world.read(&topics::STOCK_LEVELS) {
        assert!(level.held >= 0 && level.on_hand - level.held >= 0, "oversold: {level:?}");
    }
    for (product, on_hand) in [("a", 10), ("b", 3)] {
        let level = world.stock_of(product);
        let gone = gone.get(product).copied().unwrap_or(0);
        assert_eq!((level.held, level.on_hand), (0, on_hand - gone), "{product}");
    }
    let mut answers = BTreeMap::new();
    for outcome in world.read(&topics::ORDER_COMMAND_OUTCOMES) {
        *answers.entry(outcome.command_id).or_insert(0) += 1;
    }
    assert!(answers.len() == commands && answers.values().all(|n| *n == 1), "{answers:?}");
    let mut feeds = BTreeMap::new();
    for entry in world.read(&topics::USER_FEED) {
        let last = feeds.entry(entry.user_id).or_insert(0);
        *last += 1;
        assert_eq!(entry.number, *last);
    }
    let shown: i64 = feeds.values().sum();
    assert_eq!(shown as usize, world.read(&topics::ORDER_EVENTS).len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_the_books_are_right(
        acts in proptest::collection::vec(act(), 1..16),
        fates in proptest::collection::vec(fate(), 0..400),
    ) {
        let mut chaos = Chaos::new(fates);
        for act in acts {
            chaos.act(act);
        }
        for app in &chaos.world.apps {
            app.driver.auto_commit(true);
        }
        chaos.world.run_with(&mut |app| app.driver.commit());
        chaos.world.wait(300_000);
        check(&chaos.world, chaos.commands.len());
    }
}
