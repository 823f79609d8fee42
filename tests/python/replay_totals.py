#!/usr/bin/env python3
"""What the orders of Online Retail files must add up to, from the published
columns alone: an independent sum, exact, that shares nothing with our code.

Usage: replay_totals.py [--enforce] FILE.csv…   prints one JSON object

--enforce: what is left, and what fails, where the catalogue's prices and the
fraud limit are applied and orders arrive one by one. An order fails
price_mismatch if a line's price isn't its product's usual one, the price most
lines of these files have, of equals the lower. Otherwise it fails fraud_limit if
its customer has now ordered for 2000 or more, failed orders included.
"""

import csv
import json
import sys
from collections import Counter, defaultdict
from decimal import Decimal

FRAUD_LIMIT = Decimal(2000)


def sales(paths):
    """All invoices' numbers, and the rows sold by invoice, in the order of the files."""
    invoices, sold = set(), {}
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                number = row["InvoiceNo"]
                invoices.add(number)
                row["Quantity"], row["UnitPrice"] = int(row["Quantity"]), Decimal(row["UnitPrice"])
                if not number.startswith("C") and row["Quantity"] > 0 and row["UnitPrice"] > 0:
                    sold.setdefault(number, []).append(row)
    return invoices, sold


def total(rows):
    return sum(row["Quantity"] * row["UnitPrice"] for row in rows)


def refusals(sold):
    """Why each invoice that breaks a rule fails."""
    seen = defaultdict(Counter)
    for rows in sold.values():
        for row in rows:
            seen[row["StockCode"]][row["UnitPrice"]] += 1
    usual = {code: min(prices, key=lambda price: (-prices[price], price)) for code, prices in seen.items()}
    ordered, reasons = Counter(), {}
    for number, rows in sold.items():
        customer = rows[0]["CustomerID"] or f"invoice {number}"
        ordered[customer] += total(rows)
        if any(row["UnitPrice"] != usual[row["StockCode"]] for row in rows):
            reasons[number] = "price_mismatch"
        elif ordered[customer] >= FRAUD_LIMIT:
            reasons[number] = "fraud_limit"
    return reasons


def totals(paths, enforce):
    invoices, sold = sales(paths)
    reasons = refusals(sold) if enforce else {}
    by_country = defaultdict(Decimal)
    for number, rows in sold.items():
        if number not in reasons:
            by_country[rows[0]["Country"]] += total(rows)
    return {
        "invoices": len(invoices),
        "orders": len(sold),
        "failures": Counter(reasons.values()),
        "revenue": str(sum(by_country.values()).quantize(Decimal("0.01"))),
        "revenue_by_country": {
            country: str(amount.quantize(Decimal("0.01"))) for country, amount in sorted(by_country.items())
        },
    }


if __name__ == "__main__":
    paths = [argument for argument in sys.argv[1:] if argument != "--enforce"]
    if not paths:
        sys.exit(__doc__)
    print(json.dumps(totals(paths, "--enforce" in sys.argv), indent=2))
