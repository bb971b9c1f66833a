-- +goose Up
-- Runs of the program. What a run has in hand bears its id; a run with dead_on has nothing in hand and writes nothing more.
-- The row changes once in its life, so that transactions can hold it shared to prove that their node lives.
CREATE TABLE node (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL, -- of the data directory, the same for all of its runs
  started_on BIGINT NOT NULL,
  dead_on BIGINT, -- it stopped, or was declared dead
  dead_by TEXT, -- name of the node that declared it, its own when it stopped
  CHECK ((dead_on IS NULL) = (dead_by IS NULL))
);
CREATE INDEX node_living ON node (name) WHERE dead_on IS NULL;

-- A number that grows while the run lives. Its value means nothing; that it changes does.
CREATE TABLE node_beat (
  node TEXT PRIMARY KEY REFERENCES node (id) ON DELETE CASCADE,
  beat BIGINT NOT NULL
);

-- +goose Down
DROP TABLE node_beat;
DROP TABLE node;
