//! The table at the end of a replay, for people and as JSON.

use anyhow::Result;
use comfy_table::{CellAlignment, Table};

use super::plan::Plan;
use super::send::Report;
use crate::output::say;
use crate::table::table;

/// Prints what became of the files.
pub(crate) fn print(plan: &Plan, report: &Report, settled: bool, json: bool) -> Result<()> {
    if json {
        let value = serde_json::json!({
            "invoices": plan.invoices,
            "lines": plan.lines,
            "orders": plan.orders.len(),
            "file_total": decimal(plan.total_minor()),
            "placed": report.placed,
            "replayed": report.replayed,
            "settled": settled,
            "file_outcomes": plan.outcomes,
            "statuses": report.statuses,
            "failures": report.failures,
            "refused": report.refused,
            "revenue_by_country": report.revenue.iter().map(|(country, minor)| (country.clone(), decimal(*minor))).collect::<std::collections::BTreeMap<_, _>>(),
            "revenue": decimal(report.revenue.values().sum()),
            "currency": "GBP",
            "seconds": report.elapsed.as_secs_f64(),
        });
        say!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    let mut table = sheet("read from the files", "count");
    table.add_row(["invoices".to_owned(), plan.invoices.to_string()]);
    table.add_row(["lines".to_owned(), plan.lines.to_string()]);
    table.add_row(["orders to place".to_owned(), plan.orders.len().to_string()]);
    for (outcome, count) in &plan.outcomes {
        table.add_row([format!("  {outcome}"), count.to_string()]);
    }
    say!("{table}\n");
    let mut table = sheet("orders", "count");
    table.add_row(["placed now".to_owned(), report.placed.to_string()]);
    table.add_row(["placed by an earlier run".to_owned(), report.replayed.to_string()]);
    for (status, count) in &report.statuses {
        table.add_row([format!("  {status}"), count.to_string()]);
    }
    for (reason, count) in &report.failures {
        table.add_row([format!("  failed: {reason}"), count.to_string()]);
    }
    for (reason, count) in &report.refused {
        table.add_row([format!("refused: {reason}"), count.to_string()]);
    }
    say!("{table}\n");
    let mut table = sheet("revenue by country", "GBP");
    for (country, minor) in &report.revenue {
        table.add_row([country.clone(), decimal(*minor)]);
    }
    table.add_row(["total".to_owned(), decimal(report.revenue.values().sum())]);
    say!("{table}");
    let per_second = report.placed as f64 / report.elapsed.as_secs_f64().max(0.001);
    say!("{} orders in {:.1} s ({per_second:.0}/s)", report.placed, report.elapsed.as_secs_f64());
    Ok(())
}

fn sheet(left: &str, right: &str) -> Table {
    let mut table = table();
    table.set_header([left, right]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Pence as pounds.
pub(crate) fn decimal(minor: i64) -> String {
    format!("{}{}.{:02}", if minor < 0 { "-" } else { "" }, minor.abs() / 100, minor.abs() % 100)
}
