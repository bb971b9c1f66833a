-- +goose Up
-- The event log: one row per event, in one order. seq is the cursor.
CREATE TABLE event_head (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  seq BIGINT NOT NULL,
  removed BIGINT NOT NULL -- newest seq taken away by the retention
);
INSERT INTO event_head (one, seq, removed) VALUES (1, 0, 0);

CREATE TABLE event (
  seq BIGINT PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL,
  type TEXT NOT NULL,
  ref_id TEXT NOT NULL,
  created_on BIGINT NOT NULL,
  block BIGINT NOT NULL -- of its envelope
);
CREATE INDEX event_account ON event (account, seq);
CREATE INDEX event_ref ON event (ref_id, seq);

-- Envelopes, many together and compressed; seq is that of the last event in the block.
CREATE TABLE event_block (
  seq BIGINT PRIMARY KEY,
  body BYTEA NOT NULL
);

-- Named readers of the log remember how far they came.
CREATE TABLE event_cursor (
  name TEXT PRIMARY KEY,
  seq BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);

-- Durable delayed work.
CREATE TABLE job (
  id TEXT PRIMARY KEY,
  queue TEXT NOT NULL,
  ord TEXT, -- jobs of one queue with the same ord run one after the other, in the order of id
  run_at BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  owner TEXT,
  lease_until BIGINT,
  created_on BIGINT NOT NULL,
  payload TEXT NOT NULL,
  last_error TEXT
);
CREATE INDEX job_due ON job (queue, run_at);
CREATE INDEX job_ord ON job (queue, ord, id);
CREATE UNIQUE INDEX job_running ON job (queue, ord) WHERE lease_until IS NOT NULL AND ord IS NOT NULL;
CREATE INDEX job_lease ON job (queue, lease_until) WHERE lease_until IS NOT NULL;

-- Answers of POSTs and live commands with an Idempotency-Key.
CREATE TABLE idempotency (
  scope TEXT PRIMARY KEY, -- account, method, path and key; of secret operations a hash of the key
  body_hash TEXT NOT NULL,
  status BIGINT, -- NULL while a live operation has not come to its effect
  header TEXT,
  body TEXT,
  node TEXT NOT NULL, -- the run of the node that has it, or had it
  created_on BIGINT NOT NULL
);
CREATE INDEX idempotency_created ON idempotency (created_on);
CREATE INDEX idempotency_claimed ON idempotency (node) WHERE status IS NULL;

-- Recurring work: one node does it in each period.
CREATE TABLE lease (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL, -- the run of the node that does it, or did
  until BIGINT NOT NULL, -- end of the period
  is_done BOOLEAN NOT NULL -- false: in hand, another node takes it when the owner dies
);

-- Small facts of the installation: keys of signatures, flags.
CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  modified_on BIGINT NOT NULL
);

-- +goose Down
DROP TABLE setting;
DROP TABLE lease;
DROP TABLE idempotency;
DROP TABLE job;
DROP TABLE event_cursor;
DROP TABLE event_block;
DROP TABLE event;
DROP TABLE event_head;
