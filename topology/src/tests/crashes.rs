//! Random callers, random crashes, all applications: whatever happens in
//! whatever order, no order is stuck, nothing is oversold, no money is made,
//! every command has one answer, every feed is without holes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use schemas::messages::{
    Actor, ActorKind, AmendOrder, CommandKind, OrderStatus, OutcomeKind, SetStatus,
};
use schemas::topics;

use super::world::{Running, World};
use crate::books::Books;
use crate::payment::provider::Token;
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
    let named = Token::NAMES.map(|(name, _)| Some(name));
    let token = select([&[None; 3][..], &named].concat());
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
    let books = Books {
        orders: world.read(&topics::ORDERS),
        events: world.read(&topics::ORDER_EVENTS),
        outcomes: world.read(&topics::ORDER_COMMAND_OUTCOMES),
        stock_results: world.read(&topics::STOCK_RESULTS),
        levels: world.read(&topics::STOCK_LEVELS),
        ledger: world.read(&topics::LEDGER),
        feed: world.read(&topics::USER_FEED),
    };
    books.wrong().unwrap();
    books.unfinished(commands, &[("a", 10), ("b", 3)]).unwrap();
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
