-- +goose Up
CREATE TABLE messaging_profile (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  callback_url TEXT,
  callback_url2 TEXT,
  callback_secret TEXT,
  number_pool BOOLEAN NOT NULL,
  long_code_weight BIGINT NOT NULL CHECK (long_code_weight BETWEEN 0 AND 9),
  tollfree_weight BIGINT NOT NULL CHECK (tollfree_weight BETWEEN 0 AND 9),
  skip_unhealthy BOOLEAN NOT NULL,
  sticky BOOLEAN NOT NULL,
  queue_timeout BIGINT NOT NULL CHECK (queue_timeout BETWEEN 60 AND 172800), -- seconds
  opt_out_enable BOOLEAN NOT NULL,
  opt_out_message TEXT,
  opt_in_message TEXT,
  help_message TEXT,
  auto_replies TEXT, -- JSON
  created_by TEXT,
  modified_by TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX messaging_profile_account ON messaging_profile (account, created_on);

CREATE TABLE sms_brand (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  brand_id TEXT,
  status TEXT NOT NULL,
  details TEXT NOT NULL, -- JSON: what the registry was told
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (account, brand_id)
);
CREATE TABLE sms_campaign (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  brand TEXT NOT NULL REFERENCES sms_brand (uuid),
  campaign_id TEXT,
  status TEXT NOT NULL,
  details TEXT NOT NULL,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (account, campaign_id)
);

-- The consent ledger: rows are ended, never erased.
CREATE TABLE opt_out (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  phone TEXT NOT NULL, -- digits
  profile TEXT, -- NULL: the whole account
  is_active BOOLEAN NOT NULL,
  source TEXT NOT NULL CHECK (source IN ('keyword', 'api', 'xml', 'admin')),
  keyword TEXT,
  sms TEXT,
  reason TEXT,
  created_on BIGINT NOT NULL,
  ended_on BIGINT,
  CHECK (is_active = (ended_on IS NULL))
);
CREATE INDEX opt_out_account ON opt_out (account, created_on);
CREATE UNIQUE INDEX opt_out_active ON opt_out (account, phone, COALESCE(profile, '')) WHERE is_active;

-- Messages of all three types. due_on is set while the message waits for, or is in, a carrier's hands: the queue is this table.
CREATE TABLE sms (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  type TEXT NOT NULL CHECK (type IN ('smso', 'smsi', 'smsr')),
  state TEXT NOT NULL CHECK (state IN ('created', 'sending', 'success', 'failed')),
  sender TEXT, -- digits
  recipient TEXT, -- digits, or a name
  recipients TEXT, -- JSON array of a bulk smsr
  message TEXT NOT NULL,
  thread TEXT,
  delivered BOOLEAN NOT NULL,
  automated BOOLEAN NOT NULL,
  readed BOOLEAN,
  reason TEXT,
  reference_id TEXT, -- carrier's id as it was given
  callback_url TEXT,
  profile TEXT,
  campaign TEXT, -- campaignId
  parent TEXT, -- smsr
  created_by TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  sent_on BIGINT,
  delivered_on BIGINT,
  encoding TEXT NOT NULL,
  segments BIGINT NOT NULL,
  price BIGINT,
  country TEXT,
  operator TEXT,
  error TEXT,
  meta TEXT,
  context TEXT, -- sms_context
  due_on BIGINT,
  expires_on BIGINT,
  attempt BIGINT NOT NULL,
  node TEXT, -- that has it in hand
  link TEXT, -- carrier link that took it
  ref TEXT, -- link and carrier's id, for receipts
  CHECK (due_on IS NULL OR state IN ('created', 'sending')),
  CHECK (NOT delivered OR state = 'success')
);
CREATE INDEX sms_account ON sms (account, uuid);
CREATE INDEX sms_due ON sms (uuid, due_on, account) WHERE due_on IS NOT NULL;
CREATE INDEX sms_thread_due ON sms (thread, uuid) WHERE due_on IS NOT NULL;
CREATE INDEX sms_ref ON sms (ref) WHERE ref IS NOT NULL;
CREATE INDEX sms_parent ON sms (parent) WHERE parent IS NOT NULL;

-- What messages keep of their number, lease and subscription as they were, in JSON: the same for most of a number's messages, so it is kept once, under a
-- digest of its text.
CREATE TABLE sms_context (
  id TEXT PRIMARY KEY,
  body TEXT NOT NULL
);

-- Nodes claim one after the other, so that no node overtakes another within a thread.
CREATE TABLE sms_gate (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  claims BIGINT NOT NULL
);
INSERT INTO sms_gate (one, claims) VALUES (1, 0);

-- Segments of messages with several.
CREATE TABLE sms_part (
  ref TEXT PRIMARY KEY,
  sms TEXT NOT NULL,
  delivered BOOLEAN NOT NULL
);
CREATE INDEX sms_part_sms ON sms_part (sms);

-- Receipts that nothing matched yet: early ones, and those of unknown ids.
CREATE TABLE sms_receipt (
  uuid TEXT PRIMARY KEY,
  ref TEXT NOT NULL,
  receipt TEXT NOT NULL, -- JSON
  expires_on BIGINT NOT NULL,
  unknown BOOLEAN NOT NULL -- given up; kept for the operator
);
CREATE INDEX sms_receipt_ref ON sms_receipt (ref);
CREATE INDEX sms_receipt_open ON sms_receipt (expires_on) WHERE NOT unknown;

-- Segments of inbound messages that wait for the others.
CREATE TABLE sms_fragment (
  joint TEXT NOT NULL, -- link, numbers and reference
  seq BIGINT NOT NULL,
  total BIGINT NOT NULL,
  inbound TEXT NOT NULL, -- JSON
  created_on BIGINT NOT NULL,
  PRIMARY KEY (joint, seq)
);

-- Which number last talked with whom, for sticky senders.
CREATE TABLE sms_contact (
  profile TEXT NOT NULL,
  far TEXT NOT NULL,
  near TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (profile, far)
);

-- When a thread last got an automatic reply.
CREATE TABLE sms_auto_reply (
  thread TEXT PRIMARY KEY,
  at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE sms_auto_reply;
DROP TABLE sms_contact;
DROP TABLE sms_fragment;
DROP TABLE sms_receipt;
DROP TABLE sms_part;
DROP TABLE sms_gate;
DROP TABLE sms_context;
DROP TABLE sms;
DROP TABLE opt_out;
DROP TABLE sms_campaign;
DROP TABLE sms_brand;
DROP TABLE messaging_profile;
