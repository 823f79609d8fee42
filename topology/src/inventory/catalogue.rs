//! The product catalogue: last command wins, each counted once.

use schemas::messages::{Product, ProductCommand};

/// The product after `command`; none if the command was seen before.
#[must_use]
pub fn apply(known: Option<&Product>, command: &ProductCommand) -> Option<Product> {
    if known.is_some_and(|product| product.command_id == command.command_id) {
        return None;
    }
    Some(Product {
        product_id: command.product_id.clone(),
        name: command.name.clone(),
        price: command.price,
        version: known.map_or(1, |product| product.version + 1),
        command_id: command.command_id.clone(),
    })
}

#[cfg(test)]
mod tests {
    use schemas::{Currency, Money, Sku};

    use super::*;

    #[test]
    fn versions_count_commands_and_a_repeat_is_none() {
        let mut command = ProductCommand {
            command_id: "1".to_owned(),
            product_id: Sku::new("p"),
            name: "P".to_owned(),
            price: Money { minor: 1, currency: Currency::USD },
            on_hand: 3,
        };
        let first = apply(None, &command).unwrap();
        assert_eq!(first.version, 1);
        assert_eq!(apply(Some(&first), &command), None);
        command.command_id = "2".to_owned();
        assert_eq!(apply(Some(&first), &command).unwrap().version, 2);
    }
}
