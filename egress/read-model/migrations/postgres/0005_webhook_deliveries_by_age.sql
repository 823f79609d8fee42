-- How many are pending and how old the oldest is, without their bodies; what was settled long ago.
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (status, created_at);
DROP INDEX webhook_deliveries_settled;
