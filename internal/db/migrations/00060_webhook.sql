-- +goose Up
-- One row per notification to a customer's server.
CREATE TABLE webhook_delivery (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  ord TEXT, -- notifications with the same ord go one after the other
  trigger_name TEXT NOT NULL,
  schedule TEXT NOT NULL,
  urls TEXT NOT NULL, -- JSON array
  method TEXT NOT NULL,
  header TEXT, -- JSON
  body TEXT,
  secret TEXT,
  timeout_ms BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'success', 'failed')),
  tries BIGINT NOT NULL, -- attempts begun
  failures BIGINT NOT NULL, -- attempts that failed: the place in the schedule
  owner TEXT, -- node that sends it now
  due_on BIGINT, -- of the next try
  block_until BIGINT, -- newer ones of the same ord wait until then
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (due_on) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_delivery_ord ON webhook_delivery (ord, uuid) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_delivery_account ON webhook_delivery (account, uuid);
CREATE INDEX webhook_delivery_created ON webhook_delivery (created_on);

-- One row per request, written before it is sent.
CREATE TABLE webhook_attempt (
  delivery TEXT NOT NULL REFERENCES webhook_delivery (uuid),
  n BIGINT NOT NULL,
  url TEXT NOT NULL,
  started_on BIGINT NOT NULL,
  duration_ms BIGINT,
  status BIGINT,
  error TEXT,
  response TEXT,
  PRIMARY KEY (delivery, n)
);

-- +goose Down
DROP TABLE webhook_attempt;
DROP TABLE webhook_delivery;
