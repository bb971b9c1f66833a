-- +goose Up
CREATE TABLE control_app (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  is_active BOOLEAN NOT NULL,
  product BIGINT,
  tech_prefix BIGINT NOT NULL UNIQUE,
  auto_answer BOOLEAN NOT NULL,
  max_minutes BIGINT CHECK (max_minutes BETWEEN 1 AND 1440),
  verify_policy BIGINT NOT NULL CHECK (verify_policy BETWEEN 0 AND 3),
  min_attest TEXT NOT NULL CHECK (min_attest IN ('A', 'B', 'C')),
  webhook_url TEXT,
  webhook_method TEXT NOT NULL,
  webhook_timeout BIGINT,
  webhook_secret TEXT,
  flow_url TEXT,
  flow_method TEXT NOT NULL,
  flow_timeout BIGINT,
  fallback_url TEXT,
  ingress TEXT,
  egress TEXT,
  profile TEXT, -- outbound voice profile
  park_timeout BIGINT NOT NULL,
  static_flow TEXT,
  created_by TEXT,
  modified_by TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX control_app_account ON control_app (account, created_on);

-- One row per leg; it is written when the leg begins, so that one without finished_on after a crash tells of a lost call.
CREATE TABLE call_leg (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  node TEXT NOT NULL, -- that owns the live call
  parent TEXT,
  kind TEXT NOT NULL, -- CallSCA, CallXML, CallSIP
  direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
  party_from TEXT NOT NULL,
  party_to TEXT NOT NULL,
  tn BIGINT, -- the account's own number
  lease TEXT,
  app TEXT,
  profile TEXT,
  thread TEXT,
  country TEXT, -- of the far number
  state TEXT NOT NULL CHECK (state IN ('init', 'ringing', 'live', 'bridged', 'hangup', 'destroyed')),
  duration BIGINT NOT NULL,
  init_on BIGINT,
  ring_on BIGINT,
  answer_on BIGINT,
  bridge_on BIGINT,
  hangup_on BIGINT,
  destroy_on BIGINT,
  finished_on BIGINT,
  bridged_to TEXT,
  q850 BIGINT,
  stack TEXT,
  reason TEXT,
  hangup_by TEXT,
  machine TEXT,
  charge TEXT, -- in, out, or nothing to charge
  rate BIGINT,
  billed BIGINT,
  price BIGINT,
  sip_call_id TEXT,
  remote_ip TEXT,
  codec TEXT,
  quality TEXT,
  meta TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX call_leg_account ON call_leg (account, created_on);
CREATE INDEX call_leg_parent ON call_leg (parent);
CREATE INDEX call_leg_app ON call_leg (app, created_on);
CREATE INDEX call_leg_sip ON call_leg (sip_call_id);
CREATE INDEX call_leg_open ON call_leg (node) WHERE finished_on IS NULL;

-- Executed commands of call XML.
CREATE TABLE call_log (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  call TEXT NOT NULL,
  app TEXT,
  name TEXT NOT NULL,
  success BOOLEAN NOT NULL,
  reason TEXT NOT NULL,
  path TEXT NOT NULL,
  element TEXT NOT NULL,
  command TEXT NOT NULL,
  response TEXT,
  started_on BIGINT NOT NULL,
  ended_on BIGINT NOT NULL,
  created_on BIGINT NOT NULL
);
CREATE INDEX call_log_call ON call_log (call, created_on);
CREATE INDEX call_log_app ON call_log (app, created_on);

CREATE TABLE call_record (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  call TEXT NOT NULL,
  tag TEXT,
  state TEXT NOT NULL CHECK (state IN ('recording', 'processing', 'available', 'failed', 'deleted')),
  format TEXT NOT NULL,
  channels TEXT NOT NULL,
  duration BIGINT NOT NULL, -- milliseconds
  size BIGINT,
  sha256 TEXT,
  asr BOOLEAN NOT NULL,
  lang TEXT,
  blob_key TEXT,
  reason TEXT,
  transcript_state TEXT NOT NULL CHECK (transcript_state IN ('none', 'pending', 'available', 'failed')),
  transcript TEXT,
  transcript_facts TEXT,
  available_on BIGINT,
  expired_on BIGINT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX call_record_call ON call_record (call, created_on);

-- +goose Down
DROP TABLE call_record;
DROP TABLE call_log;
DROP TABLE call_leg;
DROP TABLE control_app;
