//! What only shows in a flow: waiting for the catalogue, restarts, repeats.

use operators::Utf8;
use schemas::messages::{AmendOrder, CommandKind, OrderStatus, OutcomeKind, StockCommandKind};
use schemas::topics;

use super::world::World;
use crate::{FlowSettings, samples};

use OrderStatus as Is;

#[test]
fn a_price_that_seems_wrong_waits_for_the_catalogue() {
    let mut world = World::new(&FlowSettings::default());
    world.app("order-validator").driver.pause_globals(true);
    world.product("new", 700, 5);
    world.product("a", 1_100, 10);
    let new = world.place(1, &[("new", 1, 700)], None);
    let dearer = world.place_as(2, 2, &[("a", 1, 1_100)], None);
    assert_eq!((world.status(new), world.status(dearer)), (Is::Pending, Is::Pending));
    world.app("order-validator").driver.pause_globals(false);
    world.run();
    assert_eq!((world.status(new), world.status(dearer)), (Is::Shipped, Is::Shipped));
}

#[test]
fn an_amended_order_is_checked_anew_by_everybody() {
    // The warehouse is away, so that the order stays pending.
    let mut world = World::new(&FlowSettings::default());
    let place = world.apps.iter().position(|app| app.id == "inventory-worker").unwrap();
    let mut away = world.apps.remove(place);
    let id = world.place(1, &[("a", 1, 1_000)], None);
    assert_eq!(world.status(id), Is::Pending);
    let mut amend = samples::command("amend", id, samples::user_id(1), CommandKind::Amend);
    amend.amend = Some(AmendOrder {
        items: Some(samples::place_lines(&[("b", 2, 2_500)])),
        total_minor: Some(5_000),
        ..AmendOrder::default()
    });
    assert_eq!(world.command(&amend).unwrap().kind, OutcomeKind::Applied);
    let versions: Vec<_> =
        world.read(&topics::ORDER_VALIDATIONS).iter().map(|v| v.version).collect();
    assert_eq!(versions.iter().filter(|version| **version == 2).count(), 2);
    let missed = world.records("stock_commands").to_vec();
    for record in &missed[2..] {
        away.enqueue("stock_commands", record);
    }
    world.apps.push(away);
    world.run();
    assert_eq!(world.status(id), Is::Shipped);
    assert_eq!((world.stock_of("a").on_hand, world.stock_of("b").on_hand), (10, 1));
    assert_eq!(world.balances(id).kept, 5_000);
}

#[test]
fn a_restart_anywhere_changes_nothing() {
    let settings = FlowSettings { simulation_step_ms: 200, ..Default::default() };
    let run = |restart: Option<usize>| {
        let mut world = World::new(&settings);
        let mut turn = 0;
        let ids = [
            world.place(1, &[("a", 2, 1_000)], Some("pm_slow")),
            world.place_as(2, 2, &[("b", 4, 2_500)], None),
            world.place_as(3, 3, &[("b", 1, 2_500)], Some("pm_auth_expires")),
        ];
        for _ in 0..30 {
            world.run_with(&mut |app| {
                turn += 1;
                if restart == Some(turn % 7) {
                    app.driver.restart();
                    app.driver.run().unwrap();
                }
            });
            world.wait(1_000);
        }
        let events: Vec<_> = ids.iter().flat_map(|id| world.events(*id)).collect();
        (events, world.read(&topics::LEDGER), world.read(&topics::STOCK_LEVELS))
    };
    let undisturbed = run(None);
    assert_eq!(undisturbed.0.len(), 7 + 2 + 4);
    for turn in 0..7 {
        assert_eq!(run(Some(turn)), undisturbed, "restarting every turn {turn}");
    }
}

#[test]
fn a_repeated_command_is_answered_again_and_done_once() {
    let mut world = World::new(&FlowSettings::default());
    let id = samples::order_id(1);
    let lines = [("a", 1, 1_000)];
    let command = samples::place("p", id, samples::user_id(1), &lines, None);
    world.command(&command);
    world.command(&command);
    let mut retry = command.clone();
    retry.command_id = "p2".to_owned();
    assert_eq!(world.command(&retry).unwrap().kind, OutcomeKind::Replayed);
    retry.command_id = "p3".to_owned();
    retry.fingerprint = Some("other".to_owned());
    assert_eq!(world.command(&retry).unwrap().kind, OutcomeKind::Conflict);
    let outcomes = world.outcomes("p");
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(world.stock_of("a").on_hand, 9);
    assert_eq!(world.balances(id).authorized, 1_000);
}

#[test]
fn stock_is_adjusted_and_low_stock_announced() {
    let settings = FlowSettings { stock_low_threshold: 3, ..Default::default() };
    let mut world = World::new(&settings);
    world.stock(StockCommandKind::Adjust, "a", -6);
    assert!(world.read(&topics::STOCK_LOW).is_empty());
    world.stock(StockCommandKind::Adjust, "a", -2);
    world.stock(StockCommandKind::Adjust, "a", -3);
    let low = world.read(&topics::STOCK_LOW);
    assert_eq!((low.len(), low[0].available), (1, 2));
    assert_eq!(world.stock_of("a").on_hand, 2, "below zero available is refused");
}

#[test]
fn a_finished_hold_is_forgotten_after_a_while() {
    let settings = FlowSettings { hold_memory_ms: 60_000, ..Default::default() };
    let mut world = World::new(&settings);
    world.place(1, &[("a", 1, 1_000)], None);
    assert_eq!(world.app("inventory-worker").driver.rows("holds").len(), 1);
    world.wait(61_000);
    assert_eq!(world.app("inventory-worker").driver.rows("holds").len(), 0);
}

#[test]
fn an_adjustment_is_forgotten_after_a_while() {
    let mut world = World::new(&FlowSettings::default());
    let rows = |world: &mut World| world.app("inventory-worker").driver.rows("adjustments").len();
    assert_eq!(rows(&mut world), 2, "the two products of the world were counted");
    world.stock(StockCommandKind::Adjust, "a", -1);
    assert_eq!(rows(&mut world), 3);
    world.wait(24 * 3_600_000);
    assert_eq!(rows(&mut world), 0);
    assert_eq!(world.stock_of("a").on_hand, 9);
}

#[test]
fn the_lifecycles_state_can_be_read() {
    let mut world = World::new(&FlowSettings::default());
    let id = world.place(1, &[("a", 1, 1_000)], Some("pm_provider_down"));
    let states = crate::wire::state::<crate::traced::Traced<crate::lifecycle::OrderState>>("o", 1);
    let driver = &world.app("order-lifecycle").driver;
    let state = driver.machine_state("orders", Utf8, &states, &*id.to_string()).unwrap();
    assert_eq!(state.state.order.status, Is::Processing);
    assert!(state.trace.is_some());
    assert_eq!(driver.next_timer(), state.state.deadline());
}
