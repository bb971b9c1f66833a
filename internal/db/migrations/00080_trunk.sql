-- +goose Up
-- Upstream voice trunks and SMS links. hosts, codecs and the like stand in voice and sms, each for its kind only.
CREATE TABLE carrier (
  uuid TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('voice', 'sms')),
  is_active BOOLEAN NOT NULL,
  priority BIGINT NOT NULL CHECK (priority >= 0),
  weight BIGINT NOT NULL CHECK (weight >= 0),
  prefixes TEXT NOT NULL,
  voice TEXT,
  sms TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  CONSTRAINT carrier_settings CHECK ((kind = 'voice' AND voice IS NOT NULL AND sms IS NULL) OR (kind = 'sms' AND sms IS NOT NULL AND voice IS NULL))
);

CREATE TABLE sip_product (
  id BIGINT PRIMARY KEY CHECK (id BETWEEN 1 AND 1024),
  name TEXT NOT NULL,
  description TEXT,
  type TEXT NOT NULL CHECK (type IN ('public', 'private')),
  account TEXT, -- owner of a private one
  tech_prefix BIGINT NOT NULL,
  rate_table BIGINT NOT NULL,
  route_plan BIGINT NOT NULL,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  CONSTRAINT sip_product_owner CHECK (type = 'private' OR account IS NULL)
);
INSERT INTO sip_product (id, name, description, type, tech_prefix, rate_table, route_plan, created_on, modified_on)
VALUES (1, 'Default', 'Calls to and from the public network', 'public', 10000, 1, 1, 1767225600000000, 1767225600000000);

-- Prefixes before called numbers that choose an object; one name space for all kinds.
CREATE TABLE tech_prefix (
  prefix BIGINT PRIMARY KEY CHECK (prefix BETWEEN 10000 AND 999999),
  kind TEXT NOT NULL CHECK (kind IN ('app', 'connection', 'profile')),
  account TEXT NOT NULL,
  ref TEXT NOT NULL UNIQUE
);

CREATE TABLE outbound_profile (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  is_active BOOLEAN NOT NULL,
  product BIGINT REFERENCES sip_product (id),
  lease TEXT,
  tech_prefix BIGINT NOT NULL UNIQUE REFERENCES tech_prefix (prefix),
  shaken_sign_policy BIGINT NOT NULL CHECK (shaken_sign_policy BETWEEN 0 AND 3),
  max_rate BIGINT CHECK (max_rate >= 0),
  daily_spend_limit BIGINT CHECK (daily_spend_limit >= 0),
  record_calls BIGINT NOT NULL CHECK (record_calls BETWEEN 0 AND 2),
  file_format TEXT NOT NULL CHECK (file_format IN ('wav', 'mp3')),
  audio_track_type BIGINT NOT NULL CHECK (audio_track_type BETWEEN 0 AND 1),
  max_duration BIGINT NOT NULL CHECK (max_duration BETWEEN 1 AND 86400), -- seconds
  settings TEXT NOT NULL,
  created_by TEXT,
  modified_by TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX outbound_profile_account ON outbound_profile (account, created_on);

-- Money that calls by a profile cost, by UTC day.
CREATE TABLE outbound_spend (
  profile TEXT NOT NULL,
  day BIGINT NOT NULL, -- days since 1970
  account TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (profile, day)
);
CREATE INDEX outbound_spend_account ON outbound_spend (account, day);

-- Prices of calls by the first digits of the called number.
CREATE TABLE rate (
  rate_table BIGINT NOT NULL,
  prefix TEXT NOT NULL,
  effective_on BIGINT NOT NULL,
  country TEXT,
  per_min BIGINT NOT NULL CHECK (per_min >= 0),
  setup BIGINT NOT NULL CHECK (setup >= 0),
  min_time BIGINT NOT NULL CHECK (min_time >= 0),
  step BIGINT NOT NULL CHECK (step >= 1),
  grace BIGINT NOT NULL CHECK (grace >= 0),
  PRIMARY KEY (rate_table, prefix, effective_on)
);

-- +goose Down
DROP TABLE rate;
DROP TABLE outbound_spend;
DROP TABLE outbound_profile;
DROP TABLE tech_prefix;
DROP TABLE sip_product;
DROP TABLE carrier;
