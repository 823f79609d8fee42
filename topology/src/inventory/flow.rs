//! The inventory's flow: the keeper of the stock, and the catalogue.

use operators::{Input, StreamsBuilder, Topology};
use schemas::messages::Product;
use schemas::topics;

use super::catalogue;
use super::keeper::{Said, Stores};
use crate::wire::{self, Wire};
use crate::{FlowError, FlowSettings};

/// `inventory-worker`.
///
/// # Errors
/// A schema id is missing.
pub fn topology(settings: &FlowSettings, wire: &Wire) -> Result<Topology, FlowError> {
    let builder = StreamsBuilder::new("inventory-worker");

    let stores = Stores::new();
    let defs = stores.defs();
    let settings = settings.clone();
    let said =
        builder
            .stream(&wire.on(&topics::STOCK_COMMANDS)?)
            .process("keeper", &defs, move |tasks| Box::new(stores.keeper(tasks, &settings)));
    said.flat_map_values(|said, emit| {
        if let Said::Result(result) = said {
            emit(result);
        }
    })
    .to(&wire.on(&topics::STOCK_RESULTS)?);
    said.flat_map_values(|said, emit| {
        if let Said::Level(level) = said {
            emit(level);
        }
    })
    .to(&wire.on(&topics::STOCK_LEVELS)?);
    said.flat_map_values(|said, emit| {
        if let Said::Low(low) = said {
            emit(low);
        }
    })
    .to(&wire.on(&topics::STOCK_LOW)?);

    builder
        .stream(&wire.on(&topics::PRODUCT_COMMANDS)?)
        .state_machine("catalogue", wire::state::<Product>("product", 1), |_, known, input, ctx| {
            let Input::Message(command) = input else { return };
            if let Some(product) = catalogue::apply(known, command) {
                ctx.set(product.clone());
                ctx.emit(product);
            }
        })
        .to(&wire.on(&topics::PRODUCTS)?);

    Ok(builder.build()?)
}
