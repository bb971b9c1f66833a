-- +goose Up
CREATE TABLE event_subscription (
  uuid TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  usr TEXT NOT NULL,
  channel TEXT NOT NULL,
  type TEXT NOT NULL,
  is_active BOOLEAN NOT NULL,
  expired_on BIGINT,
  filter TEXT,
  created_on BIGINT NOT NULL,
  modified_on BIGINT NOT NULL,
  UNIQUE (usr, channel, type)
);

-- +goose Down
DROP TABLE event_subscription;
