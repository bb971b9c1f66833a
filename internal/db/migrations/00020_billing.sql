-- +goose Up
CREATE TABLE balance (
  account TEXT PRIMARY KEY,
  balance BIGINT NOT NULL,
  reserved BIGINT NOT NULL CHECK (reserved >= 0),
  credit_limit BIGINT NOT NULL CHECK (credit_limit >= 0),
  notified_on BIGINT NOT NULL,
  notify_pending BOOLEAN NOT NULL,
  low_at BIGINT, -- a balance that falls below this is told of
  CONSTRAINT balance_covered CHECK (balance + credit_limit - reserved >= 0)
);

-- Money set aside for one object: a call, a message, an order. Neither this table nor the ledger refers to balance: their rows are only written after the
-- balance's own row was changed in the same transaction, and looking for it again costs as much as the row itself.
CREATE TABLE hold (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  kind TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0),
  expires_on BIGINT NOT NULL
);
CREATE INDEX hold_expires ON hold (expires_on);

-- The ledger: rows are only ever added.
CREATE TABLE ledger (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  amount BIGINT NOT NULL,
  balance_before BIGINT NOT NULL,
  balance_after BIGINT NOT NULL,
  ref_type TEXT NOT NULL,
  ref_uuid TEXT,
  source_action TEXT NOT NULL,
  description TEXT,
  created_on BIGINT NOT NULL,
  CONSTRAINT ledger_adds_up CHECK (balance_before + amount = balance_after)
);
CREATE INDEX ledger_account ON ledger (account, created_on);
CREATE INDEX ledger_ref ON ledger (ref_uuid);

CREATE TABLE plan (
  uuid TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  description TEXT,
  is_active BOOLEAN NOT NULL,
  toll_free BOOLEAN NOT NULL,
  country TEXT NOT NULL,
  priority TEXT,
  prices TEXT NOT NULL,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL
);

CREATE TABLE special_price (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES balance (account),
  plan TEXT NOT NULL REFERENCES plan (uuid),
  prices TEXT NOT NULL,
  expired_on BIGINT NOT NULL,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (account, plan)
);

-- +goose Down
DROP TABLE special_price;
DROP TABLE plan;
DROP TABLE ledger;
DROP TABLE hold;
DROP TABLE balance;
