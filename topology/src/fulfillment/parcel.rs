//! One order's parcel. Pure: time is an argument.
//!
//! Invariants: `shipped` comes after `packed`, `delivered` after `shipped`;
//! what was stopped never leaves; a repeated command gets the present state
//! reported again.

use schemas::messages::{
    FulfillmentCommand, FulfillmentCommandKind, FulfillmentEvent, FulfillmentEventKind,
};
use schemas::{Micros, OrderId};
use serde::{Deserialize, Serialize};

/// How far the parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Being picked and packed.
    Packing,
    /// Ready.
    Packed,
    /// Waiting for the carrier.
    Handing,
    /// With the carrier.
    Shipped,
    /// With the customer.
    Delivered,
    /// Called off; it stays.
    Stopped,
}

/// One order's parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    order_id: OrderId,
    stage: Stage,
    fulfill_id: String,
    ship_id: String,
    carrier: Option<String>,
    tracking_number: Option<String>,
    /// When the simulator takes the next step, ms.
    due: Option<i64>,
}

/// What can happen to a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The lifecycle asks.
    Command(FulfillmentCommand),
    /// The carrier reports.
    Carrier(FulfillmentEvent),
    /// The time a former step named has come.
    Timer,
}

/// The simulated times, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Packing, and waiting for the carrier; 0 = at once.
    pub step_ms: i64,
    /// The carrier's way; none = never arrives by itself.
    pub delivery_ms: Option<i64>,
}

/// What one input leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The new state; none = as it was.
    pub parcel: Option<Parcel>,
    /// Reports, in order.
    pub events: Vec<FulfillmentEvent>,
    /// When [`Input::Timer`] is due, ms.
    pub deadline: Option<i64>,
}

/// Carries out `input` at `now_ms`.
#[must_use]
pub fn step(parcel: Option<&Parcel>, input: Input, now_ms: i64, pace: Pace) -> Step {
    let known = parcel.cloned().or_else(|| match &input {
        Input::Command(command) => Some(Parcel::new(command, now_ms, pace)),
        _ => None,
    });
    // A carrier's notice about an order that was never packed here.
    let Some(new) = known else { return Step::default() };
    let mut work = Work { parcel: new, events: Vec::new(), now_ms, pace };
    match input {
        Input::Command(command) => work.command(&command),
        Input::Carrier(notice) => work.carrier(notice),
        Input::Timer => work.run_due(),
    }
    let deadline = work.parcel.due;
    let changed = parcel != Some(&work.parcel);
    Step { parcel: changed.then_some(work.parcel), events: work.events, deadline }
}

impl Parcel {
    fn new(command: &FulfillmentCommand, now: i64, pace: Pace) -> Self {
        let wanted = command.kind == FulfillmentCommandKind::Fulfill;
        Self {
            order_id: command.order_id,
            stage: if wanted { Stage::Packing } else { Stage::Stopped },
            fulfill_id: command.request_id.clone(),
            ship_id: String::new(),
            carrier: None,
            tracking_number: None,
            due: wanted.then_some(now + pace.step_ms),
        }
    }

    /// The simulated carrier's number: the same however often it is derived.
    fn simulated_tracking(&self) -> String {
        let id = self.order_id.uuid().simple().to_string().to_uppercase();
        format!("SIM{}", &id[..12])
    }
}

struct Work {
    parcel: Parcel,
    events: Vec<FulfillmentEvent>,
    now_ms: i64,
    pace: Pace,
}

impl Work {
    fn command(&mut self, command: &FulfillmentCommand) {
        match (command.kind, self.parcel.stage) {
            (FulfillmentCommandKind::Cancel, stage) if stage < Stage::Shipped => {
                self.parcel.stage = Stage::Stopped;
                self.parcel.due = None;
                self.report(FulfillmentEventKind::Stopped, &command.request_id);
            }
            (_, Stage::Stopped) => {
                self.report(FulfillmentEventKind::Stopped, &command.request_id);
            }
            (FulfillmentCommandKind::Fulfill, Stage::Packing) => self.run_due(),
            (FulfillmentCommandKind::Fulfill, _) => {
                self.report(FulfillmentEventKind::Packed, &command.request_id);
            }
            (FulfillmentCommandKind::Ship, Stage::Packed) => {
                self.parcel.stage = Stage::Handing;
                self.parcel.ship_id.clone_from(&command.request_id);
                self.parcel.due = Some(self.now_ms + self.pace.step_ms);
                self.run_due();
            }
            (_, Stage::Shipped | Stage::Delivered) => self.report_again(&command.request_id),
            // In hand already, or asked to ship before it was packed.
            _ => {}
        }
    }

    fn carrier(&mut self, notice: FulfillmentEvent) {
        let delivered = notice.kind == FulfillmentEventKind::Delivered;
        let shipped = delivered || notice.kind == FulfillmentEventKind::Shipped;
        if shipped && self.parcel.stage < Stage::Shipped {
            self.hand_over(notice.carrier, notice.tracking_number, &notice.request_id);
        }
        if delivered && self.parcel.stage == Stage::Shipped {
            self.deliver(&notice.request_id);
        }
    }

    fn run_due(&mut self) {
        while self.parcel.due.is_some_and(|due| due <= self.now_ms) {
            self.parcel.due = None;
            let ship_id = self.parcel.ship_id.clone();
            match self.parcel.stage {
                Stage::Packing => {
                    self.parcel.stage = Stage::Packed;
                    let id = self.parcel.fulfill_id.clone();
                    self.report(FulfillmentEventKind::Packed, &id);
                }
                Stage::Handing => {
                    let tracking = self.parcel.simulated_tracking();
                    self.hand_over(Some("simulated".to_owned()), Some(tracking), &ship_id);
                }
                Stage::Shipped => self.deliver(&ship_id),
                Stage::Packed | Stage::Delivered | Stage::Stopped => {}
            }
        }
    }

    fn hand_over(&mut self, carrier: Option<String>, tracking: Option<String>, id: &str) {
        self.parcel.stage = Stage::Shipped;
        self.parcel.carrier = carrier;
        self.parcel.tracking_number = tracking;
        self.parcel.due = self.pace.delivery_ms.map(|ms| self.now_ms + ms);
        self.report(FulfillmentEventKind::Shipped, id);
    }

    fn deliver(&mut self, id: &str) {
        self.parcel.stage = Stage::Delivered;
        self.parcel.due = None;
        self.report(FulfillmentEventKind::Delivered, id);
    }

    fn report_again(&mut self, id: &str) {
        self.report(FulfillmentEventKind::Shipped, id);
        if self.parcel.stage == Stage::Delivered {
            self.report(FulfillmentEventKind::Delivered, id);
        }
    }

    fn report(&mut self, kind: FulfillmentEventKind, request_id: &str) {
        self.events.push(FulfillmentEvent {
            request_id: request_id.to_owned(),
            order_id: self.parcel.order_id,
            kind,
            carrier: self.parcel.carrier.clone(),
            tracking_number: self.parcel.tracking_number.clone(),
            occurred_at: Micros::from_millis(self.now_ms),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::order_id;

    use FulfillmentCommandKind as Do;
    use FulfillmentEventKind as Is;

    struct Dock {
        parcel: Option<Parcel>,
        deadline: Option<i64>,
        now: i64,
        pace: Pace,
    }

    impl Dock {
        fn new(step_ms: i64, delivery_ms: Option<i64>) -> Self {
            Self { parcel: None, deadline: None, now: 0, pace: Pace { step_ms, delivery_ms } }
        }

        fn run(&mut self, input: Input) -> Vec<Is> {
            let step = step(self.parcel.as_ref(), input, self.now, self.pace);
            if let Some(parcel) = step.parcel {
                self.parcel = Some(parcel);
            }
            self.deadline = step.deadline;
            step.events.iter().map(|event| event.kind).collect()
        }

        fn ask(&mut self, kind: Do) -> Vec<Is> {
            self.run(Input::Command(FulfillmentCommand {
                request_id: format!("{kind:?}"),
                order_id: order_id(1),
                kind,
                lines: Vec::new(),
            }))
        }

        fn wait(&mut self) -> Vec<Is> {
            self.now = self.now.max(self.deadline.unwrap_or(self.now));
            self.run(Input::Timer)
        }

        fn carrier(&mut self, kind: Is) -> Vec<Is> {
            self.run(Input::Carrier(FulfillmentEvent {
                request_id: "notice".to_owned(),
                order_id: order_id(1),
                kind,
                carrier: Some("UPS".to_owned()),
                tracking_number: Some("1Z".to_owned()),
                occurred_at: Micros(0),
            }))
        }
    }

    #[test]
    fn each_step_takes_its_time() {
        let mut dock = Dock::new(200, Some(10_000));
        assert_eq!(dock.ask(Do::Fulfill), []);
        assert_eq!(dock.ask(Do::Fulfill), [], "a repeat is not another parcel");
        assert_eq!(dock.wait(), [Is::Packed]);
        assert_eq!(dock.ask(Do::Ship), []);
        assert_eq!(dock.wait(), [Is::Shipped]);
        assert_eq!((dock.now, dock.deadline), (400, Some(10_400)));
        assert_eq!(dock.ask(Do::Ship), [Is::Shipped]);
        assert_eq!(dock.wait(), [Is::Delivered]);
        assert_eq!(dock.ask(Do::Ship), [Is::Shipped, Is::Delivered]);
        assert_eq!(dock.deadline, None);
    }

    #[test]
    fn at_once_means_at_once_and_never_means_never() {
        let mut dock = Dock::new(0, None);
        assert_eq!(dock.ask(Do::Fulfill), [Is::Packed]);
        assert_eq!(dock.ask(Do::Ship), [Is::Shipped]);
        assert_eq!(dock.deadline, None);
        assert_eq!(dock.carrier(Is::Delivered), [Is::Delivered]);
        assert_eq!(dock.carrier(Is::Delivered), []);
    }

    #[test]
    fn what_is_stopped_stays_and_what_left_cannot_be_stopped() {
        let mut early = Dock::new(0, None);
        assert_eq!(early.ask(Do::Cancel), [Is::Stopped]);
        assert_eq!(early.ask(Do::Fulfill), [Is::Stopped]);
        let mut packing = Dock::new(200, None);
        packing.ask(Do::Fulfill);
        assert_eq!(packing.ask(Do::Cancel), [Is::Stopped]);
        assert_eq!(packing.deadline, None);
        assert_eq!(packing.carrier(Is::Shipped), []);
        let mut late = Dock::new(0, None);
        late.ask(Do::Fulfill);
        late.ask(Do::Ship);
        assert_eq!(late.ask(Do::Cancel), [Is::Shipped]);
    }

    #[test]
    fn a_carrier_that_delivers_must_have_had_the_parcel() {
        let mut dock = Dock::new(0, None);
        assert_eq!(dock.carrier(Is::Delivered), [], "never packed here");
        dock.ask(Do::Fulfill);
        assert_eq!(dock.carrier(Is::Delivered), [Is::Shipped, Is::Delivered]);
        assert_eq!(dock.parcel.unwrap().tracking_number.as_deref(), Some("1Z"));
    }
}
