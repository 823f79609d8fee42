//! What the lines of a file become: products, orders, and a counted outcome for
//! every line that becomes neither. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::read::FileLine;

/// A line of an order: lines of one SKU and price are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedLine {
    /// The product.
    pub sku: String,
    /// At least 1.
    pub quantity: i64,
    /// Pence, at least 1.
    pub price_minor: i64,
}

/// One ordinary invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedOrder {
    /// The file's number; the idempotency key is made of it.
    pub invoice: String,
    /// Empty: a user of its own.
    pub customer: String,
    /// Goes into the address and the metadata.
    pub country: String,
    /// As printed in the file.
    pub date: String,
    /// At least one.
    pub lines: Vec<PlannedLine>,
    /// Σ quantity × price, pence.
    pub total_minor: i64,
}

/// A product as the file shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedProduct {
    /// First description that isn't empty, else the code.
    pub name: String,
    /// The price most lines have, pence.
    pub price_minor: i64,
    /// Everything the file sells of it.
    pub quantity: i64,
}

/// Everything a set of files asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// By SKU.
    pub products: BTreeMap<String, PlannedProduct>,
    /// In the order of the files.
    pub orders: Vec<PlannedOrder>,
    /// What happened to everything else, by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Invoices read, of every kind.
    pub invoices: u64,
    /// Lines read.
    pub lines: u64,
}

/// Decides every line's fate (table in the README).
#[must_use]
pub(crate) fn plan(lines: &[FileLine]) -> Plan {
    let mut plan = Plan { lines: lines.len() as u64, ..Plan::default() };
    let mut invoices: Vec<(&str, Vec<&FileLine>)> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        let at = *known.entry(&line.invoice).or_insert_with(|| {
            invoices.push((&line.invoice, Vec::new()));
            invoices.len() - 1
        });
        if let Some((_, lines)) = invoices.get_mut(at) {
            lines.push(line);
        }
    }
    plan.invoices = invoices.len() as u64;
    let sold: BTreeSet<(&str, &str)> = lines
        .iter()
        .filter(|line| is_sale(line) && !line.customer.is_empty())
        .map(|line| (line.customer.as_str(), line.sku.as_str()))
        .collect();
    for (number, lines) in &invoices {
        if number.starts_with('C') {
            let matched = lines
                .iter()
                .all(|line| sold.contains(&(line.customer.as_str(), line.sku.as_str())));
            plan.count(
                if matched {
                    "return invoice, sale found"
                } else {
                    "return invoice, sale not in these files"
                },
                1,
            );
            plan.count("lines on return invoices", lines.len() as u64);
            continue;
        }
        plan.invoice(number, lines);
    }
    for (sku, product) in &mut plan.products {
        product.price_minor = usual_price(lines, sku).unwrap_or(product.price_minor);
    }
    plan
}

impl Plan {
    /// Σ of all orders, pence.
    #[must_use]
    pub(crate) fn total_minor(&self) -> i64 {
        self.orders.iter().map(|order| order.total_minor).sum()
    }

    fn count(&mut self, outcome: &'static str, more: u64) {
        *self.outcomes.entry(outcome).or_default() += more;
    }

    fn invoice(&mut self, number: &str, lines: &[&FileLine]) {
        let mut merged: Vec<PlannedLine> = Vec::new();
        for line in lines {
            if !is_sale(line) {
                self.count(if line.quantity < 0 { "write-off line" } else { "zero-price line" }, 1);
                continue;
            }
            self.product(line);
            let same = merged
                .iter_mut()
                .find(|known| known.sku == line.sku && known.price_minor == line.price_minor);
            match same {
                Some(known) => {
                    known.quantity += line.quantity;
                    self.count("line merged into one of the same SKU and price", 1);
                }
                None => merged.push(PlannedLine {
                    sku: line.sku.clone(),
                    quantity: line.quantity,
                    price_minor: line.price_minor,
                }),
            }
        }
        let Some(first) = lines.first().filter(|_| !merged.is_empty()) else {
            self.count("invoice without anything sold", 1);
            return;
        };
        let total_minor = merged.iter().map(|line| line.quantity * line.price_minor).sum();
        self.orders.push(PlannedOrder {
            invoice: number.to_owned(),
            customer: first.customer.clone(),
            country: first.country.clone(),
            date: first.date.clone(),
            lines: merged,
            total_minor,
        });
    }

    fn product(&mut self, line: &FileLine) {
        let product = self.products.entry(line.sku.clone()).or_insert_with(|| PlannedProduct {
            name: line.sku.clone(),
            price_minor: line.price_minor,
            quantity: 0,
        });
        product.quantity += line.quantity;
        if product.name == line.sku && !line.description.is_empty() {
            product.name.clone_from(&line.description);
        }
    }
}

/// Something changed hands for money. Codes such as POST, DOT, M, C2 and BANK
/// CHARGES are charges: sold like goods.
fn is_sale(line: &FileLine) -> bool {
    line.quantity > 0 && line.price_minor > 0 && !line.invoice.starts_with('C')
}

/// The price most lines of this SKU have; the lower one of equals.
fn usual_price(lines: &[FileLine], sku: &str) -> Option<i64> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.sku == sku && is_sale(line)) {
        *counts.entry(line.price_minor).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(price, count)| (*count, -price)).map(|(price, _)| price)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(invoice: &str, sku: &str, quantity: i64, price_minor: i64, customer: &str) -> FileLine {
        FileLine {
            invoice: invoice.to_owned(),
            sku: sku.to_owned(),
            description: String::new(),
            quantity,
            date: "2010-12-01 08:26:00".to_owned(),
            price_minor,
            customer: customer.to_owned(),
            country: "United Kingdom".to_owned(),
        }
    }

    #[test]
    fn lines_of_one_sku_and_price_are_merged_and_others_stay_apart() {
        let plan = plan(&[
            line("1", "A", 2, 100, "7"),
            line("1", "A", 3, 100, "7"),
            line("1", "A", 1, 90, "7"),
        ]);
        let lines: Vec<_> =
            plan.orders[0].lines.iter().map(|line| (line.quantity, line.price_minor)).collect();
        assert_eq!(lines, [(5, 100), (1, 90)]);
        assert_eq!(plan.orders[0].total_minor, 590);
        assert_eq!(plan.products["A"].quantity, 6);
        assert_eq!(plan.products["A"].price_minor, 100);
    }

    #[test]
    fn every_line_that_is_no_sale_is_counted() {
        let plan = plan(&[
            line("1", "A", 1, 100, "7"),
            line("1", "B", 1, 0, "7"),
            line("2", "C", -4, 0, ""),
            line("C3", "A", -1, 100, "7"),
            line("C4", "A", -1, 100, "8"),
        ]);
        assert_eq!(plan.orders.len(), 1);
        assert_eq!(plan.outcomes["zero-price line"], 1);
        assert_eq!(plan.outcomes["write-off line"], 1);
        assert_eq!(plan.outcomes["invoice without anything sold"], 1);
        assert_eq!(plan.outcomes["return invoice, sale found"], 1);
        assert_eq!(plan.outcomes["return invoice, sale not in these files"], 1);
        assert_eq!((plan.invoices, plan.lines, plan.total_minor()), (4, 5, 100));
    }
}
