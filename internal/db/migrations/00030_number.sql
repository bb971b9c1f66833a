-- +goose Up
-- The inventory. state: available, reserved, leased, quarantined, blocked.
CREATE TABLE tn (
  tn BIGINT PRIMARY KEY,
  kind TEXT NOT NULL, -- long_code, toll_free, short_code
  plan TEXT NOT NULL REFERENCES plan (uuid),
  state TEXT NOT NULL CHECK (state IN ('available', 'reserved', 'leased', 'quarantined', 'blocked')),
  voice BOOLEAN NOT NULL,
  sms BOOLEAN NOT NULL,
  mms BOOLEAN NOT NULL,
  fax BOOLEAN NOT NULL,
  emergency BOOLEAN NOT NULL,
  country TEXT NOT NULL,
  province TEXT,
  city TEXT,
  rate_center TEXT,
  postal_code TEXT,
  last_account TEXT, -- the last owner, while quarantined
  free_on BIGINT, -- end of the quarantine
  source TEXT NOT NULL, -- sandbox, upload, or a supplier's name
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX tn_state ON tn (state, tn);

CREATE TABLE tn_order (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  created_by TEXT,
  state TEXT NOT NULL,
  total BIGINT NOT NULL,
  success BIGINT NOT NULL,
  processing BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  price BIGINT,
  request TEXT,
  items TEXT NOT NULL,
  errors TEXT NOT NULL,
  oldest_form BOOLEAN NOT NULL,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  CHECK (total = success + failed + processing)
);
CREATE INDEX tn_order_account ON tn_order (account, created_on);

CREATE TABLE tn_lease (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  tn BIGINT NOT NULL REFERENCES tn (tn),
  state TEXT NOT NULL CHECK (state IN ('active', 'releasing', 'released')),
  plan TEXT NOT NULL,
  name TEXT,
  autorenew BOOLEAN NOT NULL,
  voice BOOLEAN NOT NULL,
  sms BOOLEAN NOT NULL,
  mms BOOLEAN NOT NULL,
  fax BOOLEAN NOT NULL,
  emergency BOOLEAN NOT NULL,
  app TEXT,
  connection TEXT,
  sip_user TEXT,
  messaging_profile TEXT,
  caller_filter TEXT,
  tn_order TEXT,
  created_by TEXT,
  modified_by TEXT,
  expires_on BIGINT NOT NULL,
  released_on BIGINT,
  retry_on BIGINT, -- of an unpaid renewal
  notice BIGINT NOT NULL, -- days before the end that its owner heard of last; 0: none yet
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  CHECK (app IS NULL OR connection IS NULL)
);
-- A number has one lease at a time.
CREATE UNIQUE INDEX tn_lease_one ON tn_lease (tn) WHERE state <> 'released';
CREATE INDEX tn_lease_account ON tn_lease (account, created_on);
CREATE INDEX tn_lease_order ON tn_lease (tn_order);
CREATE INDEX tn_lease_app ON tn_lease (app);
CREATE INDEX tn_lease_connection ON tn_lease (connection);
CREATE INDEX tn_lease_profile ON tn_lease (messaging_profile);
CREATE INDEX tn_lease_expires ON tn_lease (state, expires_on);

CREATE TABLE subscription (
  uuid TEXT PRIMARY KEY,
  lease TEXT NOT NULL REFERENCES tn_lease (uuid),
  account TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('sms', 'voice')),
  messaging_profile TEXT,
  campaign TEXT,
  state TEXT NOT NULL CHECK (state IN ('pending', 'active', 'failed')),
  reason TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (lease, kind)
);
CREATE INDEX subscription_profile ON subscription (messaging_profile);
CREATE INDEX subscription_campaign ON subscription (campaign);

-- +goose Down
DROP TABLE subscription;
DROP TABLE tn_lease;
DROP TABLE tn_order;
DROP TABLE tn;
