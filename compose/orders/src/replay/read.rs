//! Reading the published columns of the Online Retail files.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use csv::StringRecord;
use serde::Deserialize;

/// One line of a file, exact: the price in pence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileLine {
    /// `C…` = cancellation or return.
    pub invoice: String,
    /// Product or charge code.
    pub sku: String,
    /// May be empty.
    pub description: String,
    /// Negative on returns and write-offs.
    pub quantity: i64,
    /// As printed.
    pub date: String,
    /// Pence, never negative in these days.
    pub price_minor: i64,
    /// Empty where the shop didn't know.
    pub customer: String,
    /// Where it went.
    pub country: String,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "InvoiceNo")]
    invoice: String,
    #[serde(rename = "StockCode")]
    sku: String,
    #[serde(rename = "Description")]
    description: String,
    #[serde(rename = "Quantity")]
    quantity: i64,
    #[serde(rename = "InvoiceDate")]
    date: String,
    #[serde(rename = "UnitPrice")]
    price: String,
    #[serde(rename = "CustomerID")]
    customer: String,
    #[serde(rename = "Country")]
    country: String,
}

/// Reads one file.
///
/// # Errors
/// Names the file and the line that can't be read.
pub(crate) fn read(path: &Path) -> Result<Vec<FileLine>> {
    let mut reader =
        csv::Reader::from_path(path).with_context(|| format!("cannot open {}", path.display()))?;
    let headers = reader.headers().with_context(|| path.display().to_string())?.clone();
    let mut lines = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let place = || format!("{} line {}", path.display(), number + 2);
        let record = record.with_context(place)?;
        let row = record.deserialize::<Row>(Some(&headers));
        let row = row.map_err(|error| column(&error, &headers, &record)).with_context(place)?;
        lines.push(FileLine {
            price_minor: pence(&row.price).with_context(place)?,
            invoice: row.invoice,
            sku: row.sku.trim().to_owned(),
            description: row.description.trim().to_owned(),
            quantity: row.quantity,
            date: row.date,
            customer: row.customer.trim_end_matches(".0").to_owned(),
            country: row.country,
        });
    }
    Ok(lines)
}

/// Names the column that can't be read, and what it holds.
fn column(error: &csv::Error, headers: &StringRecord, record: &StringRecord) -> anyhow::Error {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else { return anyhow!("{error}") };
    let Some(place) = err.field().and_then(|place| usize::try_from(place).ok()) else {
        return anyhow!("{}; columns are read by the names of the first line", err.kind());
    };
    let name = headers.get(place).unwrap_or("a column without a name");
    anyhow!("{name} {:?}: {}", record.get(place).unwrap_or_default(), err.kind())
}

/// `2.55` → 255, `2.5` → 250, `0.0` → 0.
fn pence(text: &str) -> Result<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = match part.len() {
        0 => "00".to_owned(),
        1 => format!("{part}0"),
        2 => part.to_owned(),
        _ if part[2..].bytes().all(|digit| digit == b'0') => part[..2].to_owned(),
        _ => bail!("UnitPrice {text:?} has more than two decimals"),
    };
    format!("{whole}{part}")
        .parse()
        .with_context(|| format!("UnitPrice {text:?} is not a decimal number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_exactly() {
        for (text, minor) in [
            ("2.55", 255),
            ("2.5", 250),
            ("0.0", 0),
            ("1867.86", 186_786),
            ("7", 700),
            ("1.250", 125),
        ] {
            assert_eq!(pence(text).unwrap(), minor, "{text}");
        }
        assert!(pence("2.555").is_err() && pence("two").is_err());
    }

    #[test]
    fn a_value_that_cant_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.csv");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            format!("{:#}", read(&path).unwrap_err())
                .replace(&path.display().to_string(), "day.csv")
        };
        let names =
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
        let good = "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom\n";
        assert_eq!(
            refused(&format!("{names}{good}{}", good.replace(",6,", ",six,"))),
            "day.csv line 3: Quantity \"six\": invalid digit found in string"
        );
        assert_eq!(
            refused(&format!("{}{good}", names.replace("Country", "Land"))),
            "day.csv line 2: missing field `Country`; columns are read by the names of the first line"
        );
    }
}
