-- additive: a table of events
CREATE TABLE event (
  realm TEXT NOT NULL, admin INTEGER NOT NULL, id TEXT NOT NULL, happened BIGINT NOT NULL, -- milliseconds
  type TEXT NOT NULL, client TEXT NOT NULL, user_id TEXT NOT NULL, remote TEXT NOT NULL, resource TEXT NOT NULL, path TEXT NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY (realm, admin, id));
CREATE INDEX event_happened ON event (realm, admin, happened);
