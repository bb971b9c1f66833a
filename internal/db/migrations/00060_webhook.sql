-- +goose Up
-- Where the fan-out of the event log stands, which endpoints it knows, and which node does it now.
CREATE TABLE webhook_fanout (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  seq BIGINT NOT NULL, -- events up to here have their deliveries
  version BIGINT NOT NULL, -- grows with each change of an endpoint
  owner TEXT,
  until BIGINT NOT NULL,
  kept_on BIGINT NOT NULL -- deliveries of events up to this time have a copy of the body
);
INSERT INTO webhook_fanout (one, seq, version, until, kept_on) SELECT 1, seq, 0, 0, 0 FROM event_head;
-- The row that nodes lock while they claim.
CREATE TABLE webhook_gate (one BIGINT PRIMARY KEY CHECK (one = 1));
INSERT INTO webhook_gate (one) VALUES (1);

CREATE TABLE webhook_endpoint (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  url TEXT NOT NULL,
  description TEXT,
  own BOOLEAN NOT NULL, -- made as an endpoint; else by a subscription, and gone with the last one
  types TEXT NOT NULL, -- JSON array
  filter TEXT, -- JSON
  is_active BOOLEAN NOT NULL,
  disabled_on BIGINT,
  disabled_reason TEXT,
  secret TEXT NOT NULL,
  old_secret TEXT, -- signs too until old_until
  old_until BIGINT,
  after_seq BIGINT NOT NULL, -- gets the events after this one
  fails BIGINT NOT NULL, -- attempts that failed since the last success
  failing_since BIGINT,
  probe_on BIGINT, -- of the next attempt while it takes nothing
  released_on BIGINT, -- what was not tried since then goes at once, in the order of the log
  slow_until BIGINT,
  pace_us BIGINT NOT NULL, -- between two attempts until slow_until
  paced_on BIGINT, -- of the next attempt until slow_until
  last_success_on BIGINT,
  last_failure_on BIGINT,
  last_try TEXT, -- delivery of the last failure
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (account, url),
  CHECK ((old_secret IS NULL) = (old_until IS NULL))
);

-- Event subscriptions of the channel webhook.
CREATE TABLE webhook_subscription (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  usr TEXT NOT NULL,
  endpoint TEXT NOT NULL REFERENCES webhook_endpoint (uuid) ON DELETE CASCADE,
  type TEXT NOT NULL,
  is_active BOOLEAN NOT NULL,
  expired_on BIGINT,
  filter TEXT,
  after_seq BIGINT NOT NULL, -- counts for events after this one
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (endpoint, type)
);
CREATE INDEX webhook_subscription_user ON webhook_subscription (usr);

-- Bodies of events that the log is about to forget while their deliveries may still be sent again.
CREATE TABLE webhook_body (
  event TEXT PRIMARY KEY,
  body TEXT NOT NULL,
  created_on BIGINT NOT NULL
);
CREATE INDEX webhook_body_created ON webhook_body (created_on);

-- One row per notification: of an app or a message with all it needs, of an event with the endpoint and the event's place in the log.
CREATE TABLE webhook_delivery (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  lane TEXT NOT NULL, -- the endpoint, or account and host: one cannot use up the time of others
  ord TEXT, -- those with the same ord start one after the other; NULL: a test, which has no place in a queue
  seq BIGINT NOT NULL, -- place in its order
  endpoint TEXT,
  event TEXT,
  trigger_name TEXT NOT NULL,
  schedule TEXT NOT NULL,
  urls TEXT, -- JSON array
  method TEXT,
  header TEXT, -- JSON
  body TEXT,
  secret TEXT,
  timeout_ms BIGINT,
  state TEXT NOT NULL CHECK (state IN ('pending', 'success', 'failed', 'canceled')),
  tries BIGINT NOT NULL, -- attempts begun
  failures BIGINT NOT NULL, -- attempts that failed: the place in the schedule
  owner TEXT, -- node that sends it now
  due_on BIGINT, -- of the next try, or until when the owner has it
  not_before BIGINT, -- the answer to the last try asked for no other one until then
  planned_on BIGINT, -- what due_on was before the owner took it
  tried_on BIGINT, -- start of the last try
  block_until BIGINT, -- newer ones of the same ord wait until then
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (event, endpoint),
  CHECK ((endpoint IS NULL) = (event IS NULL)),
  CHECK ((state = 'pending') = (due_on IS NOT NULL))
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (lane, due_on, seq, uuid) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_delivery_lane ON webhook_delivery (lane, seq, uuid) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_delivery_front ON webhook_delivery (lane, ord, seq, uuid) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_delivery_ord ON webhook_delivery (ord, seq, uuid) WHERE due_on IS NOT NULL;
CREATE INDEX webhook_delivery_owner ON webhook_delivery (owner, lane) WHERE owner IS NOT NULL;
CREATE INDEX webhook_delivery_endpoint ON webhook_delivery (endpoint, created_on) WHERE endpoint IS NOT NULL;
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
  header TEXT, -- JSON, of the answer
  response TEXT,
  PRIMARY KEY (delivery, n)
);

-- +goose Down
DROP TABLE webhook_attempt;
DROP TABLE webhook_delivery;
DROP TABLE webhook_body;
DROP TABLE webhook_subscription;
DROP TABLE webhook_endpoint;
DROP TABLE webhook_gate;
DROP TABLE webhook_fanout;
