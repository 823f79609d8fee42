#!/usr/bin/env python3
"""What the orders of Online Retail files must add up to, from the published
columns alone: an independent sum, exact, that shares nothing with our code.

Usage: replay_totals.py FILE.csv…   prints one JSON object
"""

import csv
import json
import sys
from collections import defaultdict
from decimal import Decimal


def totals(paths):
    by_country = defaultdict(Decimal)
    invoices, sold = set(), set()
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                invoices.add(row["InvoiceNo"])
                quantity, price = int(row["Quantity"]), Decimal(row["UnitPrice"])
                if row["InvoiceNo"].startswith("C") or quantity <= 0 or price <= 0:
                    continue
                sold.add(row["InvoiceNo"])
                by_country[row["Country"]] += quantity * price
    return {
        "invoices": len(invoices),
        "orders": len(sold),
        "revenue": str(sum(by_country.values()).quantize(Decimal("0.01"))),
        "revenue_by_country": {
            country: str(amount.quantize(Decimal("0.01"))) for country, amount in sorted(by_country.items())
        },
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(json.dumps(totals(sys.argv[1:]), indent=2))
