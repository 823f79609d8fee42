//! One account under every token, and under random commands.

use proptest::prelude::*;
use schemas::Currency;

use super::ledger::Balances;
use super::*;
use crate::samples::order_id;

use PaymentCommandKind as Do;
use PaymentEventKind as Is;

struct Bank {
    account: Option<Account>,
    now: i64,
    step_ms: i64,
    balances: Balances,
    deadline: Option<i64>,
}

impl Bank {
    fn new(step_ms: i64) -> Self {
        Self { account: None, now: 0, step_ms, balances: Balances::default(), deadline: None }
    }

    fn run(&mut self, input: Input) -> Vec<Is> {
        let step = step(self.account.as_ref(), input, self.now, self.step_ms);
        if let Some(account) = step.account {
            self.account = Some(account);
        }
        self.deadline = step.deadline;
        for entry in &step.entries {
            self.balances.add(entry).unwrap();
        }
        step.events.iter().map(|event| event.kind).collect()
    }

    fn ask(&mut self, kind: Do, id: &str, token: Option<&str>) -> Vec<Is> {
        self.run(Input::Command(command(kind, id, token)))
    }

    /// Moves the clock to the next deadline, as the durable timer does.
    fn wait(&mut self) -> Vec<Is> {
        let Some(due) = self.deadline else { return Vec::new() };
        self.now = self.now.max(due);
        self.run(Input::Timer)
    }
}

fn command(kind: Do, id: &str, token: Option<&str>) -> PaymentCommand {
    PaymentCommand {
        request_id: id.to_owned(),
        order_id: order_id(1),
        kind,
        amount: Money { minor: 5_998, currency: Currency::USD },
        payment_token: token.map(str::to_owned),
        attempt: 1,
    }
}

fn callback(id: &str, result: &str) -> Input {
    Input::Callback(PaymentCallback {
        callback_id: format!("cb-{id}-{result}"),
        request_id: id.to_owned(),
        order_id: order_id(1),
        result: result.to_owned(),
    })
}

#[test]
fn tokens_do_what_the_contract_says() {
    for (token, answer) in [
        (None, Is::Authorized),
        (Some("pm_card_ok"), Is::Authorized),
        (Some("pm_card_declined"), Is::Declined),
        (Some("pm_card_insufficient_funds"), Is::InsufficientFunds),
        (Some("pm_refund_fails_once"), Is::Authorized),
    ] {
        assert_eq!(Bank::new(0).ask(Do::Authorize, "a", token), [answer], "{token:?}");
    }
}

#[test]
fn slow_answers_after_two_seconds_and_down_never() {
    let mut slow = Bank::new(0);
    assert_eq!(slow.ask(Do::Authorize, "a", Some("pm_slow")), []);
    assert_eq!(slow.deadline, Some(2_000));
    assert_eq!(slow.wait(), [Is::Authorized]);
    let mut down = Bank::new(200);
    assert_eq!(down.ask(Do::Authorize, "a", Some("pm_provider_down")), []);
    assert_eq!(down.deadline, None);
    assert_eq!(down.ask(Do::Void, "v", None), []);
    assert_eq!(down.wait(), [Is::Voided]);
    assert_eq!(down.balances, Balances::default(), "nothing was ever reserved");
}

#[test]
fn an_authorisation_can_run_out_before_its_capture() {
    let mut bank = Bank::new(0);
    bank.ask(Do::Authorize, "a", Some("pm_auth_expires"));
    assert_eq!(bank.ask(Do::Capture, "c", None), []);
    assert_eq!(bank.wait(), [Is::Expired]);
    assert_eq!((bank.now, bank.balances.expired), (2_000, 5_998));
    assert_eq!(bank.ask(Do::Capture, "c", None), [Is::Expired], "a repeat gets the same answer");
}

#[test]
fn a_refund_can_fail_once() {
    let mut bank = Bank::new(0);
    bank.ask(Do::Authorize, "a", Some("pm_refund_fails_once"));
    bank.ask(Do::Capture, "c", None);
    assert_eq!(bank.ask(Do::Refund, "r1", None), [Is::RefundFailed]);
    assert_eq!(bank.ask(Do::Refund, "r1", None), [Is::RefundFailed]);
    assert_eq!(bank.balances.kept, 5_998, "a failed refund leaves the ledger alone");
    assert_eq!(bank.ask(Do::Refund, "r2", None), [Is::Refunded]);
    assert_eq!(bank.ask(Do::Refund, "r3", None), [Is::RefundFailed], "there is no more");
    assert_eq!((bank.balances.kept, bank.balances.refunded), (0, 5_998));
}

#[test]
fn callbacks_are_matched_at_any_age_and_count_once() {
    let mut bank = Bank::new(0);
    bank.ask(Do::Authorize, "a", Some("pm_provider_down"));
    assert_eq!(bank.run(callback("a", "authorized")), [Is::Authorized]);
    assert_eq!(bank.run(callback("a", "authorized")), []);
    assert_eq!(bank.run(callback("nobody", "captured")), []);
    assert_eq!(bank.run(callback("a", "nonsense")), []);
    assert_eq!(bank.balances.open, 5_998);
}

#[test]
fn an_authorisation_called_off_that_succeeds_late_is_open_again() {
    let mut bank = Bank::new(0);
    bank.ask(Do::Authorize, "a", Some("pm_provider_down"));
    assert_eq!(bank.ask(Do::Void, "v", None), [Is::Voided]);
    assert_eq!(bank.run(callback("a", "authorized")), [Is::Authorized]);
    assert_eq!(bank.balances.open, 5_998);
    assert_eq!(bank.ask(Do::Void, "v2", None), [Is::Voided]);
    assert_eq!((bank.balances.open, bank.balances.voided), (0, 5_998));
}

#[derive(Clone, Debug)]
enum Action {
    Ask(Do, u8),
    Callback(u8, &'static str),
    Wait,
}

fn action() -> impl Strategy<Value = Action> {
    let kind =
        prop_oneof![Just(Do::Authorize), Just(Do::Capture), Just(Do::Void), Just(Do::Refund)];
    let result = prop_oneof![
        Just("authorized"),
        Just("captured"),
        Just("voided"),
        Just("refunded"),
        Just("expired"),
        Just("declined"),
    ];
    prop_oneof![
        3 => (kind, 0..4_u8).prop_map(|(kind, n)| Action::Ask(kind, n)),
        1 => (0..4_u8, result).prop_map(|(n, result)| Action::Callback(n, result)),
        2 => Just(Action::Wait),
    ]
}

proptest! {
    #[test]
    fn no_money_is_made_or_lost(
        actions in proptest::collection::vec(action(), 1..40),
        token in prop_oneof![
            Just(None), Just(Some("pm_slow")), Just(Some("pm_provider_down")),
            Just(Some("pm_auth_expires")), Just(Some("pm_refund_fails_once")),
        ],
        step_ms in prop_oneof![Just(0_i64), Just(200)],
    ) {
        let mut bank = Bank::new(step_ms);
        for action in actions {
            match action {
                Action::Ask(kind, n) => { bank.ask(kind, &format!("{kind:?}{n}"), token); }
                Action::Callback(n, result) => {
                    for kind in ["Authorize", "Capture", "Void", "Refund"] {
                        bank.run(callback(&format!("{kind}{n}"), result));
                    }
                }
                Action::Wait => { bank.wait(); }
            }
            prop_assert!(bank.balances.balanced(), "{:?}", bank.balances);
        }
    }
}
