-- +goose Up
CREATE TABLE account (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  phone TEXT, -- digits
  address1 TEXT,
  address2 TEXT,
  zip_code TEXT,
  city TEXT,
  time_zone TEXT, -- IANA name
  level TEXT NOT NULL CHECK (level IN ('ServiceAccount', 'Level0', 'Level1', 'Level2')),
  profile_default TEXT, -- messaging profile
  limits TEXT, -- JSON; NULL means those of the level
  countries TEXT, -- JSON; NULL means the default ones
  notification TEXT, -- JSON; NULL means the defaults
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  disabled_on BIGINT,
  deleted_on BIGINT
);
CREATE INDEX account_created ON account (created_on);

CREATE TABLE account_user (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES account (id),
  admin BOOLEAN NOT NULL, -- the account's administrator
  email TEXT NOT NULL,
  email_key TEXT NOT NULL UNIQUE, -- lower case
  password TEXT NOT NULL,
  session BIGINT NOT NULL, -- grows when all JWTs of the user end
  role TEXT NOT NULL CHECK (role IN ('Admin', 'User', 'Provider')),
  phone_number TEXT,
  first_name TEXT,
  last_name TEXT,
  gender TEXT,
  dob BIGINT,
  avatar TEXT,
  gmail_user_id TEXT UNIQUE,
  facebook_user_id TEXT UNIQUE,
  apple_user_id TEXT UNIQUE,
  wechat_user_id TEXT UNIQUE,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  deleted_on BIGINT,
  CHECK (deleted_on IS NULL OR NOT admin)
);
CREATE UNIQUE INDEX account_user_admin ON account_user (account) WHERE admin;
CREATE INDEX account_user_account ON account_user (account, created_on);

-- Authenticated websockets, where more than one node may hold them.
CREATE TABLE account_socket (
  id TEXT PRIMARY KEY, -- of the connection
  user_id TEXT NOT NULL,
  node TEXT NOT NULL -- the run of the node that holds it
);
CREATE INDEX account_socket_user ON account_socket (user_id);
CREATE INDEX account_socket_node ON account_socket (node);

CREATE TABLE api_token (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES account_user (id),
  name TEXT,
  hash TEXT NOT NULL UNIQUE, -- SHA-256, hex
  prefix TEXT NOT NULL,
  last4 TEXT NOT NULL,
  ttl BIGINT NOT NULL CHECK (ttl > 0), -- seconds
  expired_on BIGINT NOT NULL,
  scopes TEXT NOT NULL, -- JSON array
  last_used_on BIGINT,
  last_used_ip TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX api_token_user ON api_token (user_id, created_on);
CREATE INDEX api_token_expired ON api_token (expired_on);

-- JWTs that ended before their time, by jti.
CREATE TABLE revoked_jwt (
  jti TEXT PRIMARY KEY,
  expired_on BIGINT NOT NULL
);
CREATE INDEX revoked_jwt_expired ON revoked_jwt (expired_on);

CREATE TABLE password_reset (
  hash TEXT PRIMARY KEY, -- SHA-256 of the token, hex
  user_id TEXT NOT NULL REFERENCES account_user (id),
  created_on BIGINT NOT NULL,
  expired_on BIGINT NOT NULL,
  used_on BIGINT
);
CREATE INDEX password_reset_user ON password_reset (user_id, created_on);
CREATE INDEX password_reset_expired ON password_reset (expired_on);

CREATE TABLE cart_entry (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES account_user (id),
  payload TEXT NOT NULL, -- JSON
  ttl BIGINT NOT NULL CHECK (ttl >= 60), -- seconds
  expired_on BIGINT NOT NULL,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX cart_entry_user ON cart_entry (user_id, created_on);
CREATE INDEX cart_entry_expired ON cart_entry (expired_on);

CREATE TABLE address (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES account (id),
  name TEXT NOT NULL,
  is_physical BOOLEAN NOT NULL,
  is_billing BOOLEAN NOT NULL,
  is_shipping BOOLEAN NOT NULL,
  address1 TEXT NOT NULL,
  address2 TEXT,
  zip_code TEXT NOT NULL,
  city TEXT NOT NULL,
  country TEXT NOT NULL, -- a2
  created_by TEXT NOT NULL REFERENCES account_user (id),
  modified_by TEXT REFERENCES account_user (id),
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);
CREATE INDEX address_account ON address (account, created_on);

CREATE TABLE office_hours (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES account (id),
  name TEXT,
  type TEXT NOT NULL CHECK (type IN ('nonworking', 'lunchtime', 'coffeebreak', 'weekends')),
  dow TEXT NOT NULL CHECK (dow IN ('sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat')),
  time_from BIGINT NOT NULL CHECK (time_from >= 0),
  time_to BIGINT NOT NULL CHECK (time_to <= 86400),
  created_by TEXT NOT NULL REFERENCES account_user (id),
  modified_by TEXT REFERENCES account_user (id),
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  CHECK (time_from < time_to)
);
CREATE INDEX office_hours_account ON office_hours (account, created_on);

-- +goose Down
DROP TABLE office_hours;
DROP TABLE address;
DROP TABLE cart_entry;
DROP TABLE password_reset;
DROP TABLE revoked_jwt;
DROP TABLE api_token;
DROP TABLE account_socket;
DROP TABLE account_user;
DROP TABLE account;
