//! The flow of mode `orders`: JSON orders split by status, enriched and summed up per customer, joined with payments.

use anyhow::Result;
use operators::{
    JoinWindows, Materialized, Serde, StreamsBuilder, TimeWindows, Topic, Utf8, codec_fn,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::progress::Progress;
use crate::topologies::{FIVE_MINUTES, Plan, timed};

const TEN_MINUTES: i64 = 600_000;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Order {
    order_id: String,
    customer_id: String,
    status: String,
    amount_cents: i64,
    currency: String,
    items: i32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Payment {
    payment_id: String,
    order_id: String,
    amount_cents: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Customer {
    customer_id: String,
    name: String,
    tier: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Enriched {
    order: Order,
    name: String,
    tier: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Totals {
    orders: i64,
    amount_cents: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Settled {
    order_id: String,
    payment_id: String,
    due_cents: i64,
    paid_cents: i64,
}

fn json<T: Serialize + DeserializeOwned + Send + 'static>(format: &str) -> Serde<T> {
    codec_fn(
        format,
        |value, out| Ok(serde_json::to_writer(out, value)?),
        |bytes| Ok(serde_json::from_slice(bytes)?),
    )
}

/// The flow, with its topics.
pub(crate) fn plan(
    options: &Options,
    builder: StreamsBuilder,
    progress: &Progress,
) -> Result<Plan> {
    let ticks = || {
        let progress = progress.clone();
        move || progress.tick()
    };
    let order = json::<Order>("order");
    let (tick_order, tick_payment, tick_customer) = (ticks(), ticks(), ticks());
    let orders = builder
        .stream(&Topic::<str, Order>::new(options.topic("orders"), Utf8, &order))
        .peek(move |_| tick_order());
    let payments = Topic::<str, Payment>::new(options.topic("payments"), Utf8, json("payment"));
    let payments = builder.stream(&payments).peek(move |_| tick_payment());
    let customers = timed(json::<Customer>("customer"), progress);
    let customers = builder
        .table("customers", &Topic::<str, _>::new(options.topic("customers"), Utf8, customers));

    let by_status = orders.split();
    let to = |name: &str| Topic::<str, Order>::new(options.out_topic(name), Utf8, &order);
    by_status.branch("created", |_, order| order.status == "CREATED").to(&to("created"));
    by_status.branch("paid", |_, order| order.status == "PAID").to(&to("paid"));
    by_status.default_branch("cancelled").to(&to("cancelled"));

    let totals = Materialized::as_("totals", Utf8, json::<Totals>("totals"));
    let totals = orders
        .select_key::<str>(|_, order| order.customer_id.clone())
        .with_key_serde(Utf8)
        .repartition("by-customer")
        .peek(move |_| tick_customer())
        .join("enrich", &customers, |order: &Order, customer: &Customer| Enriched {
            order: order.clone(),
            name: customer.name.clone(),
            tier: customer.tier.clone(),
        })
        .group_by_key()
        .windowed_by(TimeWindows::of_size(FIVE_MINUTES).grace(TEN_MINUTES))
        .aggregate(&totals, Totals::default, |_, enriched, totals| Totals {
            orders: totals.orders + 1,
            amount_cents: totals.amount_cents + enriched.order.amount_cents,
        });
    if let Some(key) = totals.key_serde() {
        totals.to_stream().to(&Topic::new(options.out_topic("totals"), key, json("totals")));
    }

    let windows = JoinWindows::of_time_difference(TEN_MINUTES);
    let settle = |order: &Order, payment: &Payment| Settled {
        order_id: order.order_id.clone(),
        payment_id: payment.payment_id.clone(),
        due_cents: order.amount_cents,
        paid_cents: payment.amount_cents,
    };
    let settled = Topic::new(options.out_topic("settled"), Utf8, json("settled"));
    orders.join_stream("settle", &payments, windows, settle).to(&settled);

    Ok(Plan {
        topology: builder.build()?,
        inputs: ["orders", "payments", "customers"].map(|name| options.topic(name)).to_vec(),
        outputs: ["created", "paid", "cancelled", "totals", "settled"]
            .map(|name| options.out_topic(name))
            .to_vec(),
        ticks: 2 * options.records + options.records / 2,
    })
}
